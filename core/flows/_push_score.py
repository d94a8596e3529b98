"""The gradient of a log density through a flow: from values to their images."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import vjp

from jensen.core.contracts import Flow, PushesScore, can


def push_score(
    flow: Flow, z: Float[Tensor, "*s n d"], score: Float[Tensor, "*s n d"], context: Tensor | None = None
) -> Tensor:
    """grad log q'(z') at z' = flow.forward(z), from score = grad log q(z): J^-T (score - grad log det), as z'.

    By the derivative of `inverse` at z', or what a flow that `PushesScore` has in its place. Differentiable in nothing:
    pass what is detached (Vaitl et al., 2022).
    """
    if can(flow, PushesScore):
        return flow.push_score(z, score, context)
    image, _ = flow.forward(z, context)
    (_, log_det), pull, *_ = vjp(lambda image: flow.inverse(image, context), image)
    return pull((score, torch.ones_like(log_det)))[0]
