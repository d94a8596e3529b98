"""How the shell compiles: at the outermost layer, as one graph."""

from collections.abc import Callable
from typing import Any

import torch


def compiled(f: Callable[..., Any]) -> Callable[..., Any]:
    """f under torch.compile. On a CPU tanh is computed from exp, which is vectorised: its error is 1e-7, absolute."""
    return torch.compile(f, fullgraph=True, options={"cpp.use_decompose_tanh": True})
