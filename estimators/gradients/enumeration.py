"""Enumeration: sums over all values of a discrete q, or over the most probable ones.

Approximates  grad E_q[log p(x, z) - log q(z | x)]
With          sum_z q(z) log_w(z) over all of q.support() (`exact`), or over the `top` most probable values, and
              samples of the rest with the weight that is left (`sum_and_sample`)
Requires      a q of finite support with few values
Unbiased when always; `exact` has no variance
Cost          one evaluation of log_p per value summed and sampled; memory for log q of the whole support
Reference     Liu et al., 2019, Rao-Blackwellised stochastic gradients for discrete distributions
"""

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import bounds
from jensen.core.checks import check_count, check_tensor
from jensen.core.contracts import Bound, Enumerable, LogDensity, Noise
from jensen.core.distributions.shapes import check_value
from jensen.estimators.gradients import catalogue
from jensen.estimators.gradients.contract import density, shares, sizes, weighted


def exact(
    log_p: LogDensity, q: Enumerable, noise: Noise = None, /, *, bound: Bound = bounds.elbo
) -> Float[Tensor, " n"]:
    """E_q[log_w], the exact ELBO in nats per datum, (n,), by enumeration; noise is ignored.

    TypeError for a q without finite support, ValueError for one of more than 2^20 values, or another bound.
    """
    catalogue.check("exact", q)
    z, log_q = support("exact", q)
    catalogue.check("exact", q, bound, *log_q.shape)
    return weighted(log_q.exp(), density(log_p, z) - log_q)


def sum_and_sample(
    log_p: LogDensity, q: Enumerable, noise: Noise, /, *, top: int, bound: Bound = bounds.elbo
) -> Float[Tensor, " n"]:
    """An unbiased estimate of the ELBO in nats per datum, (n,), exact in the `top` most probable values of each datum.

    sum_{z in top} q(z) log_w(z) + b rest + mean_s r(z_s) (log_w(z_s) - b) over s samples of the rest, with rest its
    mass, r(z) = q(z) / stop(q(z)) stop(rest), and b the mean of log_w in top, detached. It uses one uniform number
    of noise per sample. Its value is not the bound of the samples, but an estimate of the ELBO that is exact in part.

    TypeError for a q without finite support, ValueError for another bound, or unless 1 <= top < the number of values.
    """
    catalogue.check("sum_and_sample", q, bound, *sizes(noise))
    z, log_q = support("sum_and_sample", q)
    check_value(noise, z[0])
    check_tensor("noise", noise, " ".join(["s", "n", "d", "k"][: z.ndim]), "draw q.noise(key, s)")
    top = check_count("top", top)
    if top >= len(z):
        raise ValueError(f"expected 1 <= top < {len(z)}, the number of values, got {top}: use exact to sum over all")
    best = log_q.detach().topk(top, 0).indices  # (top, n)
    rest = log_q.detach().exp().scatter(0, best, 0.0).cumsum(0)  # (m, n)
    mass = rest[-1]
    choice = (noise.flatten(2)[..., 0][:, None] * mass >= rest).sum(1).clamp_max(len(z) - 1)  # (s, n)
    log_drawn = log_q.detach().gather(0, choice)
    index = torch.cat([best, choice])
    picked = log_q.gather(0, index)
    log_w = density(log_p, _take(z, index)) - picked.detach()  # its mean gradient, sum_z grad q(z), is 0
    log_drawn = torch.where(log_drawn == -torch.inf, 0.0, log_drawn)
    share = shares(bound, log_drawn)
    summed, sampled = picked[:top].exp(), torch.exp(picked[top:] - log_drawn) * mass * share
    b = (weighted(summed, log_w[:top]) / summed.sum(0)).detach()
    b = torch.where(b == -torch.inf, 0.0, b)
    return weighted(torch.cat([summed, sampled]), log_w) + b * (1 - summed.sum(0) - sampled.sum(0))


def support(name: str, q: Enumerable) -> tuple[Tensor, Tensor]:
    """Every value of q, (m, n, *d), and its log probability (m, n)."""
    try:
        z = q.support()
    except ValueError as error:
        raise ValueError(f"{name} sums over every value: use disarm or score with a baseline ({error})") from error
    return z, q.log_prob(z)


def _take(z: Tensor, index: Tensor) -> Tensor:
    """z (m, n, *d) at one index per row and datum, (rows, n): (rows, n, *d)."""
    return z[index, torch.arange(z.shape[1], device=z.device)]
