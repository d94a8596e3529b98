"""Compiles every kernel ahead of time, with no GPU: python -m tests.kernels.aot, in a process without the interpreter.

Prints a table of registers, shared memory and spills per kernel and architecture; `rows` returns it.
"""

import importlib
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

ARCHITECTURES = (80, 90, 100)
TILE = {"BLOCK_R": 2, "BLOCK_D": 1024}
ROWS = {"ACC": triton.language.float32, "WIDTH": 0.5}


class Kernel(NamedTuple):
    """A kernel's runtime arguments by type ("p" a float32 pointer, "h" a bfloat16 one), and its constants."""

    name: str
    types: str
    constants: dict
    warps: int = 4


TYPES = {"p": "*fp32", "h": "*bf16", "k": "*i64", "i": "i32", "l": "i64", "f": "fp32"}
ACC = {"ACC": triton.language.float32}
KERNELS = [
    Kernel("normal_log_prob._forward", "hpppiiiiif", {**ROWS, **TILE}),
    Kernel("normal_log_prob._backward", "ppppppiiiiiif", {**ROWS, **TILE}),
    Kernel("normal_kl._forward", "pppppiiiiiiff", {**ROWS, **TILE, "TERMS": 9}),
    Kernel("normal_kl._backward", "ppppppppiiiiiiiff", {**ROWS, **TILE, "TERMS": 9}),
    Kernel("normal_sample._forward", "kpppplllf", {**ROWS, "BLOCK_R": 4, "BLOCK_D": 128}),
    Kernel("normal_sample._backward", "ppkpppiiif", {**ROWS, "BLOCK_R": 4, "BLOCK_D": 128}),
    Kernel("bernoulli_log_prob._forward", "hppiiii", {**ACC, **TILE}),
    Kernel("bernoulli_log_prob._backward", "ppppiiiii", {**ACC, **TILE}),
    Kernel("categorical_log_prob._forward", "hppiiii", {**ACC, **TILE}),
    Kernel("categorical_log_prob._backward", "ppppiiiii", {**ACC, **TILE}),
    Kernel("importance._forward", "pppppii", {**ACC, "BLOCK_S": 16, "BLOCK_N": 64}),
    Kernel("nearest_code._forward", "ppkiii", {**ACC, "BLOCK_R": 64, "BLOCK_C": 64, "BLOCK_D": 32}),
    *(
        Kernel("stein_direction._forward", "ppppii", {**ACC, "IMQ": imq, "BLOCK_I": i, "BLOCK_J": i, "BLOCK_D": d})
        for imq, i, d in ((False, 64, 16), (True, 64, 32), (False, 32, 128), (False, 16, 256))
    ),
]


def compiled(kernel: Kernel, architecture: int) -> triton.compiler.CompiledKernel:
    module, function = kernel.name.split(".")
    jitted = getattr(importlib.import_module(f"jensen.kernels.{module}"), function)
    names = [name for name in jitted.arg_names if name not in kernel.constants]
    signature = dict(zip(names, (TYPES[t] for t in kernel.types), strict=True))
    signature |= dict.fromkeys(kernel.constants, "constexpr")
    source = ASTSource(jitted, signature, {(jitted.arg_names.index(n),): v for n, v in kernel.constants.items()})
    return triton.compile(source, target=GPUTarget("cuda", architecture, 32), options={"num_warps": kernel.warps})


def usage(binary: bytes) -> dict[str, int]:
    """Registers, stack and shared bytes that a cubin asks for; a spill is a byte of stack or of local memory."""
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(binary)
        file.flush()
        text = subprocess.run([tool, "-res-usage", file.name], capture_output=True, text=True, check=True).stdout
    return {name.lower(): int(value) for name, value in re.findall(r"(REG|STACK|LOCAL):(\d+)", text)}


def narrow_offsets(ir: str) -> list[str]:
    """Pointer arithmetic on tensors whose offsets are not 64-bit: it would wrap beyond 2^31 elements."""
    return [line.strip() for line in ir.splitlines() if "tt.addptr" in line and re.search(r"tensor<[\dx]+xi32", line)]


def rows() -> list[dict]:
    found = []
    for kernel in KERNELS:
        for architecture in ARCHITECTURES:
            built = compiled(kernel, architecture)
            sizes = "x".join(str(v) for name, v in kernel.constants.items() if name.startswith("BLOCK"))
            found.append({
                "kernel": kernel.name,
                "tile": sizes,
                "sm": architecture,
                **usage(built.asm["cubin"]),
                "shared": built.metadata.shared,
                "narrow": narrow_offsets(built.asm["ttir"]),
            })  # fmt: skip
    return found


def main() -> None:
    for row in rows():
        print(json.dumps(row))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
