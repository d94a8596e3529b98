"""One graph of a function, compiled afresh."""

from collections.abc import Callable
from typing import TypeVar

import torch

Result = TypeVar("Result")
BACKEND = "eager"  # the tracing alone, where a backward of one's own is lost (PyTorch issue 129845); `aot_eager` too


def compiled(f: Callable[..., Result]) -> Callable[..., Result]:
    """f as one graph, whatever was compiled before: a function that many values share is compiled for each."""
    torch._dynamo.reset()
    return torch.compile(f, fullgraph=True, backend=BACKEND)
