"""How the shell compiles: at the outermost layer, as one graph, with what makes its networks faster on a CPU."""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import torch

P = ParamSpec("P")
R = TypeVar("R")


def compiled(f: Callable[P, R]) -> Callable[P, R]:
    """f under torch.compile, with biases as `BiasLast` says.

    Every shape has a graph of its own, so that a resumed run computes with the graphs of an uninterrupted one. On a
    CPU tanh is computed from exp, which is vectorised: its error is 1e-7, absolute.
    """
    return torch.compile(f, fullgraph=True, dynamic=False, options=options())


def options() -> dict[str, Any]:
    """Of the compiler, for packages that are compiled ahead of time too."""
    from jensen.experiments.run.bias_last import BiasLast

    return {"cpp.use_decompose_tanh": True, "post_grad_custom_post_pass": BiasLast()}
