"""Optimal transport between independent coordinates: the cost of each adds up."""

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import trees
from jensen.core.distributions import DiagNormal
from jensen.core.divergences.exact import Family, check_families
from jensen.core.numerics import at_least_float32, bounded


def squared_wasserstein2(q: Family, p: Family) -> Float[Tensor, " n"]:
    """The least mean squared distance |z - z'|^2 of a joint draw z ~ q, z' ~ p: (n,), in squared units of z, not nats.

    Diagonal normals: sum_d (q_loc - p_loc)^2 + (q_scale - p_scale)^2 (Dowson and Landau, 1982). Bernoullis: sum_d of
    |q(1) - p(1)|. Categoricals, one-hot: sum_d sum_k |q(k) - p(k)|. Squared, as its root has no gradient where q = p.
    TypeError for other families, or two.
    """
    check_families(q, p, "compare samples with squared_mmd")
    if isinstance(q, DiagNormal) and isinstance(p, DiagNormal):
        q_log_scale, p_log_scale = bounded(q.log_scale), bounded(p.log_scale)
        scales = torch.exp(p_log_scale) * torch.expm1(q_log_scale - p_log_scale)
        return ((at_least_float32(q.loc) - at_least_float32(p.loc)).square() + scales.square()).sum(-1)
    q_mean, p_mean = (trees.map(at_least_float32, d).mean() for d in (q, p))
    return (q_mean - p_mean).abs().flatten(1).sum(-1)
