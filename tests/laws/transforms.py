"""One graph of a function, compiled afresh."""

from collections.abc import Callable
from typing import TypeVar

import torch

Result = TypeVar("Result")


def compiled(f: Callable[..., Result]) -> Callable[..., Result]:
    """f as one graph by aot_eager, whatever was compiled before: what many values share is compiled for each."""
    torch._dynamo.reset()
    return torch.compile(f, fullgraph=True, backend="aot_eager")
