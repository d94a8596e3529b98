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

from jensen.kernels import (
    bernoulli_log_prob,
    categorical_log_prob,
    importance,
    launch,
    nearest_code,
    normal_sample,
    shared_normal_log_prob,
    stein_direction,
)

ARCHITECTURES = (80, 90, 100)
FLOAT, DOUBLE = triton.language.float32, triton.language.float64
TILE = launch.tile(2**20, 1024, FLOAT)  # the widest
REPEATED = {"ACC": FLOAT, **launch.repeated(2**20, 2**10, 2**20, 784, FLOAT)[2]}
LONG = {"ACC": FLOAT, **launch.repeated(2**20, 2**10, 2**20, 2048, FLOAT)[2]}
ROWS = {"ACC": FLOAT, "WIDTH": 0.5}
IN_DOUBLE = {"ACC": DOUBLE, **launch.tile(2**20, 1024, DOUBLE)}
SAMPLE = {"NEED_LOC": True, "NEED_SCALE": True}
KL = {"TERMS": 9, "NEED_LOC": True, "NEED_Q_SCALE": True, "NEED_P_SCALE": True}
SHARED = {d: {**ROWS, **normal_sample.tile(5000, 128, d, FLOAT)[2]} for d in (2, 64, 1024)}
SAMPLES = {**ROWS, **launch.shared(5000, 128, 64, FLOAT, **shared_normal_log_prob.TILE)[2]}


class Kernel(NamedTuple):
    """A kernel's runtime arguments by type ("p", "h" and "d" pointers to 32, 16 and 64 bits), and its constants."""

    name: str
    types: str
    constants: dict
    architectures: tuple[int, ...] = ARCHITECTURES


TYPES = {"p": "*fp32", "h": "*bf16", "d": "*fp64", "k": "*i64", "i": "i32", "l": "i64", "f": "fp32"}
ACC = {"ACC": FLOAT}
WEIGHTS = {**ACC, **importance.tile(5000, 128)[2], "num_warps": importance.WARPS}
OPTIONS = {"num_warps": 4, "num_stages": 3}  # of a launch, with their defaults
KERNELS = [
    Kernel("normal_log_prob._forward", "hpppiiiiiiiif", {**ROWS, **TILE}),
    Kernel("normal_log_prob._forward", "hppplllliiiif", {**ROWS, **TILE, "ROW": triton.language.int64}),
    Kernel("normal_log_prob._forward", "hpppiiiiiiiif", {**ROWS, **launch.tile(10_000, 1, FLOAT)}),
    Kernel("normal_log_prob._backward", "ppppppiiiiiiiiif", {**ROWS, **TILE, "NEED_Z": True, "NEED_SCALE": True}),
    Kernel("normal_kl._forward", "pppppiiiiiiiiiiff", {**ROWS, **TILE, "TERMS": 9}),
    Kernel("normal_kl._backward", "ppppppppiiiiiiiiiiiff", {**ROWS, **TILE, **KL}),
    Kernel("normal_kl._backward", "ddddddddiiiiiiiiiiiff", {**ROWS, **KL, **IN_DOUBLE, "TERMS": 14}),
    *(Kernel("normal_sample._forward", "kppppiiiif", SHARED[d]) for d in SHARED),
    *(Kernel("normal_sample._backward", "ppkpppiiiif", {**SHARED[d], **SAMPLE}) for d in SHARED),
    Kernel("shared_normal_log_prob._forward", "ppppiiiif", SAMPLES),
    Kernel("shared_normal_log_prob._backward", "pppppppiiiif", {**SAMPLES, **SAMPLE, "NEED_Z": True}),
    *(
        Kernel(name, types, {**constants, "num_warps": warps})
        for name, types, warps in (
            ("bernoulli_log_prob._forward", "hppiiiiii", bernoulli_log_prob.WARPS),
            ("bernoulli_log_prob._backward", "ppppiiiiii", 4),
            ("categorical_log_prob._forward", "hppiiiiii", categorical_log_prob.WARPS),
            ("categorical_log_prob._backward", "ppppiiiiii", 4),
            ("indexed_log_prob._forward", "khpiiiiii", categorical_log_prob.WARPS),
            ("indexed_log_prob._backward", "pkppiiiiii", 4),
        )
        for constants in (REPEATED, LONG)
    ),
    Kernel("importance._forward_sums", "pppiii", WEIGHTS),
    Kernel("importance._forward", "ppppppiii", {**WEIGHTS, "BLOCK_P": importance.PARTS, "LEAST": 2**-63}),
    *(Kernel("nearest_code._forward", "pppkiii", {**ACC, **nearest_code.tile(d, FLOAT)}) for d in (16, 64, 256)),
    *(
        Kernel("nearest_code._forward", "pppkiii", {**ACC, **nearest_code.tile(d, FLOAT, True)}, (90,))
        for d in (64, 256)
    ),
    Kernel("nearest_code._forward", "dddkiii", {"ACC": DOUBLE, **nearest_code.tile(64, DOUBLE)}),
    *(
        Kernel(
            "stein_direction._forward",
            types,
            {"ACC": acc, "IMQ": imq, **stein_direction.tile(64, acc, imq, hopper)},
            on,
        )
        for imq in (False, True)
        for types, acc, hopper, on in (
            ("ppppppiii", FLOAT, False, ARCHITECTURES),
            ("ppppppiii", FLOAT, True, (90,)),
            ("ddddddiii", DOUBLE, False, ARCHITECTURES),
        )
    ),
]


def compiled(kernel: Kernel, architecture: int, aligned: bool = False) -> triton.compiler.CompiledKernel:
    """aligned: all pointers and sizes are multiples of 16, as those of a launch often are."""
    module, function = kernel.name.split(".")
    jitted = getattr(importlib.import_module(f"jensen.kernels.{module}"), function)
    constants = {name: value for name, value in kernel.constants.items() if name not in OPTIONS}
    names = [name for name in jitted.arg_names if name not in constants]
    signature = dict(zip(names, (TYPES[t] for t in kernel.types), strict=True)) | dict.fromkeys(constants, "constexpr")
    values = {(jitted.arg_names.index(name),): value for name, value in constants.items()}
    known = [name for name in names if aligned and signature[name] != "fp32"]
    attributes = {(jitted.arg_names.index(name),): [["tt.divisibility", 16]] for name in known}
    source = ASTSource(jitted, signature, values, attributes)
    options = {name: kernel.constants.get(name, default) for name, default in OPTIONS.items()}
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


def sizes(kernel: Kernel) -> str:
    """Of the tile, in words."""
    blocks = "x".join(str(value) for name, value in kernel.constants.items() if name.startswith("BLOCK"))
    return blocks + (" of int64 rows" if kernel.constants.get("ROW") == triton.language.int64 else "")


def rows(architectures: Sequence[int]) -> list[dict]:
    found = []
    for kernel in KERNELS:
        for architecture in sorted({*architectures} & {*kernel.architectures}):
            built = compiled(kernel, architecture)
            found.append({
                "kernel": kernel.name,
                "tile": sizes(kernel),
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
