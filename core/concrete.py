"""Whether a tensor's values can be read, so that invalid ones can be refused."""

import torch
from torch import Tensor
from torch._C import _functorch  # pyright: ignore[reportAttributeAccessIssue]
from torch.utils._python_dispatch import is_in_torch_dispatch_mode


def is_concrete(x: Tensor) -> bool:
    """False while compiling, tracing or capturing, and inside vmap: there a check would fail, or break the graph."""
    if torch.compiler.is_compiling() or is_in_torch_dispatch_mode():
        return False
    if x.is_cuda and torch.cuda.is_current_stream_capturing():
        return False
    while _functorch.is_gradtrackingtensor(x):  # it may wrap a batched tensor
        x = _functorch.get_unwrapped(x)
    return not _functorch.is_batchedtensor(x)
