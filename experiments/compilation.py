"""How the shell compiles: at the outermost layer, as one graph, with what makes its networks faster on a CPU."""

from collections.abc import Callable
from typing import Any

import torch


def compiled(f: Callable[..., Any]) -> Callable[..., Any]:
    """f under torch.compile, with biases as `BiasLast` says.

    On a CPU tanh is computed from exp, which is vectorised: its error is 1e-7, absolute.
    """
    from jensen.experiments.bias_last import BiasLast

    options = {"cpp.use_decompose_tanh": True, "post_grad_custom_post_pass": BiasLast()}
    return torch.compile(f, fullgraph=True, options=options)
