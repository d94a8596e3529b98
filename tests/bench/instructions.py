"""python -m tests.bench.instructions: what a kernel's loop costs an H100 or H200, with no GPU.

Each of a processor's four schedulers issues one instruction a clock for 32 threads: a kernel whose loop has more of
them for each byte than a copy takes clocks is bound by them, however fast the memory. They are counted in the
assembler's output, whose loop is taken to be the longest backward branch.
"""

import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import triton

from tests.kernels import aot

ISSUES = 132 * 4 * 1.755e9 * 32  # instructions of a thread in a second, all processors
COPY = 4.17e12  # bytes that a copy reads and writes in a second, as measured on an H200
CODE = re.compile(r"/\*([0-9a-f]{4,})\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]+)\s*(.*?);")
TARGET = re.compile(r"0x([0-9a-f]+)")


class Loop(NamedTuple):
    """A kernel's tile of `used` elements that count, each of which moves `moved` bytes."""

    kernel: aot.Kernel
    used: int
    moved: int


def loops() -> Iterator[Loop]:
    """The memory-bound kernels as `make gpu-bench` runs them, in float32."""
    for kernel in (kernel._replace(types=kernel.types.replace("h", "p")) for kernel in aot.KERNELS):
        tile = {name: size for name, size in kernel.constants.items() if name.startswith("BLOCK_")}
        if kernel.types.startswith("d") or kernel.constants.get("WHOLE") is False:
            continue
        if kernel.name in MOVED and tile.get("BLOCK_D") != 1:
            used = tile["BLOCK_R"] * min(tile["BLOCK_D"], 784) * tile.get("BLOCK_P", 1)
            yield Loop(kernel, used, MOVED[kernel.name])
        if kernel.name in WEIGHED:
            yield Loop(kernel, tile["BLOCK_S"] * tile["BLOCK_N"], WEIGHED[kernel.name])


MOVED = {
    "normal_sample._forward": 4,
    "normal_sample._backward": 4,
    "shared_normal_log_prob._forward": 4,
    "shared_normal_log_prob._backward": 8,
    "bernoulli_log_prob._forward": 4,
    "bernoulli_log_prob._backward": 8,
    "categorical_log_prob._forward": 4,
    "categorical_log_prob._backward": 8,
    "indexed_log_prob._forward": 4,
    "indexed_log_prob._backward": 8,
}
WEIGHED = {"importance._forward_sums": 8, "importance._forward": 12}


def instructions(kernel: aot.Kernel) -> int:
    """In the longest loop, of one thread."""
    tools = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(aot.compiled(kernel, 90, aligned=True).asm["cubin"])
        file.flush()
        command = [tools / "cuobjdump", "-sass", file.name]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = [(int(place, 16), name, rest) for place, name, rest in CODE.findall(text)]
    jumps = [(int(to[1], 16), place) for place, name, rest in found if name == "BRA" and (to := TARGET.search(rest))]
    first, last = max(((to, place) for to, place in jumps if to < place), key=lambda ends: ends[1] - ends[0])
    return sum(first <= place <= last for place, _, _ in found)


def main() -> None:
    print(f"{'kernel':36} {'tile':14} instructions an element, and the part of a copy's speed that they allow")
    for loop in loops():
        threads = 32 * loop.kernel.constants.get("num_warps", 4)
        each = instructions(loop.kernel) * threads / loop.used
        allowed = loop.moved * ISSUES / each / COPY
        print(f"{loop.kernel.name:36} {aot.sizes(loop.kernel):14} {each:5.1f} {allowed:6.0%}", flush=True)


if __name__ == "__main__":
    main()
