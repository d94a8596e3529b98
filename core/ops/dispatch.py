"""Which way an operation is computed: in plain torch, or by a Triton kernel where that pays."""

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor

from jensen.core.checks import check_choice

SMALL = 2**26  # elements below which the host takes longer than the memory traffic that a kernel saves
_path: Literal["reference", "triton", "auto"] = "auto"


@contextmanager
def use(path: Literal["reference", "triton", "auto"]) -> Iterator[None]:
    """Within the context operations run in plain torch, in Triton kernels, or in kernels for large CUDA tensors alone.

    For tests, benchmarks and debugging. On a CPU, "triton" needs TRITON_INTERPRET=1 in the environment before Python
    starts. A compiled function is compiled again for another path.
    """
    global _path
    check_choice("path", path, ("reference", "triton", "auto"))
    before, _path = _path, path
    try:
        yield
    finally:
        _path = before


def is_plain() -> bool:
    """Whether operations are asked for in plain torch, as what is exported is: none is opaque, however large."""
    return _path == "reference"


def uses_kernel(t: Tensor) -> bool:
    """Whether operations on t launch a kernel now."""
    return _path == "triton" or (_path == "auto" and t.is_cuda)


def deserves_kernel(t: Tensor, elements: int, eager: int = SMALL, compiled: int = 4 * SMALL) -> bool:
    """Likewise, of an operation that plain torch computes as well, with as much memory: from as many elements as pay.

    A compiler fuses plain torch, and the host takes 0.3 ms longer for an operation that it cannot see into.
    """
    least = compiled if torch.compiler.is_compiling() else eager
    return _path == "triton" or (uses_kernel(t) and elements >= least)


def launch(name: str, function: str = "forward") -> Callable[..., Any]:
    """jensen.kernels.<name>.<function>, imported at the first call, so that nothing else needs Triton."""

    def call(*args: Any) -> Any:
        try:
            module = importlib.import_module(f"jensen.kernels.{name}")
        except ImportError as error:
            raise RuntimeError(f'{name} needs Triton ({error}): install it, or use ops.use("reference")') from error
        return getattr(module, function)(*args)

    return call
