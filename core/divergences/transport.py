"""Optimal transport between independent coordinates: the cost of each adds up."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.distributions import Bernoulli, DiagNormal
from jensen.core.divergences.exact import check_families
from jensen.core.ops.log_scale import at_least_float32, bounded


def squared_wasserstein2(q: Any, p: Any) -> Float[Tensor, " n"]:
    """The least mean squared distance |z - z'|^2 of a joint draw z ~ q, z' ~ p: (n,), in squared units of z, not nats.

    Diagonal normals: sum_d (q_loc - p_loc)^2 + (q_scale - p_scale)^2 (Dowson and Landau, 1982). Bernoullis: sum_d of
    |q(1) - p(1)|. Categoricals, one-hot: sum_d sum_k |q(k) - p(k)|. Squared, as its root has no gradient where q = p.
    TypeError for other families, or two.
    """
    check_families(q, p, "compare samples with squared_mmd")
    if isinstance(q, DiagNormal):
        q_log_scale, p_log_scale = bounded(q.log_scale), bounded(p.log_scale)
        scales = torch.exp(p_log_scale) * torch.expm1(q_log_scale - p_log_scale)
        return ((at_least_float32(q.loc) - at_least_float32(p.loc)).square() + scales.square()).sum(-1)
    q_logits, p_logits = at_least_float32(q.logits), at_least_float32(p.logits)
    if isinstance(q, Bernoulli):
        return (torch.sigmoid(q_logits) - torch.sigmoid(p_logits)).abs().sum(-1)
    return (torch.softmax(q_logits, -1) - torch.softmax(p_logits, -1)).abs().sum((-2, -1))
