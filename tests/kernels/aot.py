"""Compiles every kernel ahead of time, with no GPU, in a process without the interpreter.

    python -m tests.kernels.aot > tests/kernels/resources.jsonl    # for all architectures; or for those named, "80 90"

Prints Triton's version, then registers, shared memory and spills per kernel and architecture.
"""

import importlib
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from jensen.kernels import launch, nearest_code, normal_sample, stein_direction

ARCHITECTURES = (80, 90, 100)
FLOAT, DOUBLE = triton.language.float32, triton.language.float64
TILE = launch.tile(2**20, 1024, FLOAT)  # the widest
ROWS = {"ACC": FLOAT, "WIDTH": 0.5}
IN_DOUBLE = {"ACC": DOUBLE, **launch.tile(2**20, 1024, DOUBLE)}
SAMPLE = {"NEED_LOC": True, "NEED_SCALE": True}
KL = {"TERMS": 9, "NEED_LOC": True, "NEED_Q_SCALE": True, "NEED_P_SCALE": True}


class Kernel(NamedTuple):
    """A kernel's runtime arguments by type ("p", "h" and "d" pointers to 32, 16 and 64 bits), and its constants."""

    name: str
    types: str
    constants: dict


TYPES = {"p": "*fp32", "h": "*bf16", "d": "*fp64", "k": "*i64", "i": "i32", "l": "i64", "f": "fp32"}
ACC = {"ACC": FLOAT}
KERNELS = [
    Kernel("normal_log_prob._forward", "hpppiiiiif", {**ROWS, **TILE}),
    Kernel("normal_log_prob._forward", "hpppllllif", {**ROWS, **TILE, "ROW": triton.language.int64}),
    Kernel("normal_log_prob._forward", "hpppiiiiif", {**ROWS, **launch.tile(10_000, 1, FLOAT)}),
    Kernel("normal_log_prob._backward", "ppppppiiiiiif", {**ROWS, **TILE, "NEED_Z": True, "NEED_SCALE": True}),
    Kernel("normal_kl._forward", "pppppiiiiiiff", {**ROWS, **TILE, "TERMS": 9}),
    Kernel("normal_kl._backward", "ppppppppiiiiiiiff", {**ROWS, **TILE, **KL}),
    Kernel("normal_kl._backward", "ddddddddiiiiiiiff", {**ROWS, **KL, **IN_DOUBLE, "TERMS": 14}),
    Kernel("normal_sample._forward", "kppppiiif", {**ROWS, **normal_sample.sample_tile(2**20, 64, FLOAT)}),
    Kernel("normal_sample._backward", "ppkpppiiif", {**ROWS, **SAMPLE, **normal_sample.sample_tile(2**20, 64, FLOAT)}),
    Kernel("bernoulli_log_prob._forward", "hppiiii", {**ACC, **TILE}),
    Kernel("bernoulli_log_prob._backward", "ppppiiiii", {**ACC, **TILE}),
    Kernel("categorical_log_prob._forward", "hppiiii", {**ACC, **TILE}),
    Kernel("categorical_log_prob._backward", "ppppiiiii", {**ACC, **TILE}),
    Kernel("indexed_log_prob._forward", "khpiiii", {**ACC, **TILE}),
    Kernel("indexed_log_prob._backward", "pkppiiiii", {**ACC, **TILE}),
    Kernel("importance._forward", "pppppii", {**ACC, "BLOCK_S": 16, "BLOCK_N": 64}),
    Kernel("nearest_code._forward", "ppkiii", {**ACC, **nearest_code.BLOCKS}),
    *(
        Kernel("stein_direction._forward", types, {"ACC": acc, "IMQ": imq, **stein_direction.tile(d, acc)})
        for types, acc, imq, d in (
            ("ppppii", FLOAT, False, 16),
            ("ppppii", FLOAT, True, 32),
            ("ppppii", FLOAT, False, 64),
            ("ppppii", FLOAT, True, 128),
            ("ppppii", FLOAT, False, 256),
            ("ddddii", DOUBLE, True, 16),
            ("ddddii", DOUBLE, True, 64),
            ("ddddii", DOUBLE, False, 128),
        )
    ),
]


def compiled(kernel: Kernel, architecture: int) -> triton.compiler.CompiledKernel:
    module, function = kernel.name.split(".")
    jitted = getattr(importlib.import_module(f"jensen.kernels.{module}"), function)
    constants = {name: value for name, value in kernel.constants.items() if name != "num_warps"}
    names = [name for name in jitted.arg_names if name not in constants]
    signature = dict(zip(names, (TYPES[t] for t in kernel.types), strict=True)) | dict.fromkeys(constants, "constexpr")
    source = ASTSource(jitted, signature, {(jitted.arg_names.index(name),): v for name, v in constants.items()})
    options = {"num_warps": kernel.constants.get("num_warps", 4)}
    return triton.compile(source, target=GPUTarget("cuda", architecture, 32), options=options)


def usage(ptx: str, architecture: int) -> dict[str, int]:
    """Registers and spilled bytes, as the assembler tells them."""
    tools = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
    tool = tools / ("ptxas-blackwell" if architecture >= 90 else "ptxas")
    target = re.search(r"\.target (\w+)", ptx).group(1)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "kernel.ptx")
        source.write_text(ptx)
        command = [tool, "-v", f"--gpu-name={target}", source, "-o", source.with_suffix(".cubin")]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    patterns = {"registers": r"Used (\d+) registers", "spilled": r"(\d+) bytes spill stores"}
    return {name: int(re.search(pattern, text).group(1)) for name, pattern in patterns.items()}


def narrow_offsets(ir: str) -> list[str]:
    """Pointer arithmetic on tensors whose offsets are not 64-bit: it would wrap beyond 2^31 elements."""
    return [line.strip() for line in ir.splitlines() if "tt.addptr" in line and re.search(r"tensor<[\dx]+xi32", line)]


def narrow_products(ir: str) -> list[str]:
    """Products in 32 bits of two sizes or numbers known at run time alone: that of s and n would wrap beyond 2^31."""
    known = set(re.findall(r"(%[\w#]+) = arith\.constant", ir))
    found = []
    for line in ir.splitlines():
        if splat := re.search(r"(%[\w#]+) = tt\.splat (%[\w#]+)", line):
            known |= {splat[1]} if splat[2] in known else set()
        if product := re.search(r"arith\.muli (%[\w#]+), (%[\w#]+) : .*i32", line):
            found += [] if {product[1], product[2]} & known else [line.strip()]
    return found


def rows(architectures: Sequence[int]) -> list[dict]:
    found = []
    for kernel in KERNELS:
        for architecture in architectures:
            built = compiled(kernel, architecture)
            sizes = "x".join(str(v) for name, v in kernel.constants.items() if name.startswith("BLOCK"))
            found.append({
                "kernel": kernel.name,
                "tile": sizes + (" of int64 rows" if kernel.constants.get("ROW") == triton.language.int64 else ""),
                "sm": architecture,
                **usage(built.asm["ptx"], architecture),
                "shared": built.metadata.shared,
                "narrow": narrow_offsets(built.asm["ttir"]) + narrow_products(built.asm["ttir"]),
            })  # fmt: skip
    return found


def main() -> None:
    architectures = [int(name) for name in sys.argv[1:]] or ARCHITECTURES
    for row in [{"triton": triton.__version__}, *rows(architectures)]:
        print(json.dumps(row))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
