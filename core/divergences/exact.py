"""Divergences in closed form: between diagonal normals, and between Bernoullis or categoricals.

With I(a) = log sum_z p(z)^a q(z)^(1 - a), an integral for normals, which adds up over independent dimensions,
renyi is I(1 - alpha) / (alpha - 1), alpha_divergence is (e^I(alpha) - 1) / (alpha (alpha - 1)) and chi2 is
e^I(2) - 1. I is a small difference of large terms, so it is computed in float64 and returned in q's type.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core.distributions import Bernoulli, Categorical, DiagNormal
from jensen.core.distributions.shapes import check_value
from jensen.core.divergences import generators
from jensen.core.ops.importance import log_sum_exp
from jensen.core.ops.log_scale import at_least_float32, bounded

MOST = 2**20  # values to sum over


def reverse_kl(q: Any, p: Any) -> Float[Tensor, " n"]:
    """KL(q || p) = E_q log(q / p) in nats per datum: the exclusive one, which the ELBO has."""
    return q.kl(p)


def forward_kl(q: Any, p: Any) -> Float[Tensor, " n"]:
    """KL(p || q) = E_p log(p / q) in nats per datum: the inclusive one, which wake-sleep has."""
    return p.kl(q)


def renyi(q: Any, p: Any, alpha: float) -> Float[Tensor, " n"]:
    """D_alpha(q || p) = log sum_z q^alpha p^(1 - alpha) / (alpha - 1) in nats per datum (Renyi, 1961; Gil, 2013).

    alpha = 1 is KL(q || p). `bounds.Renyi(alpha)` is log p(x) less that of q from the posterior. inf where the
    integral diverges: normals, alpha > 1, and alpha p's variance + (1 - alpha) q's not positive. ValueError unless
    alpha > 0; TypeError for other families, or two.
    """
    if not alpha > 0:
        raise ValueError(f"expected alpha > 0, got {alpha}: alpha_divergence takes any")
    if alpha == 1:
        return q.kl(p)
    return _narrow(_log_integral(q, p, 1 - alpha) / (alpha - 1), q)


def alpha_divergence(q: Any, p: Any, alpha: float) -> Float[Tensor, " n"]:
    """(E_q[(p / q)^alpha] - 1) / (alpha (alpha - 1)) per datum (Amari, 1985; Minka, 2005).

    alpha -> 0 is KL(q || p), which seeks a mode; alpha -> 1 is KL(p || q), which covers; alpha = 1/2 is four times the
    squared Hellinger distance, alpha = 2 is chi2 / 2. inf where the integral diverges. TypeError for other families.
    """
    if alpha in (0, 1):
        return forward_kl(q, p) if alpha else reverse_kl(q, p)
    return _narrow(torch.expm1(_log_integral(q, p, alpha)) / (alpha * (alpha - 1)), q)


def chi2(q: Any, p: Any) -> Float[Tensor, " n"]:
    """E_q[(p / q)^2] - 1 per datum, the divergence that `bounds.Cubo(2)` contains (Dieng et al., 2017).

    inf where it diverges: for normals, where q's variance is half of p's or less. TypeError for other families.
    """
    return _narrow(torch.expm1(_log_integral(q, p, 2.0)), q)


def jensen_shannon(q: Any, p: Any) -> Float[Tensor, " n"]:
    """(KL(q || m) + KL(p || m)) / 2, m = (q + p) / 2, in nats per datum, at most log 2 (Lin, 1991).

    Summed over all values: TypeError for normals, which have no closed form, ValueError for more than 2^20 values.
    """
    return f_divergence(generators.jensen_shannon, q, p)


def f_divergence(f: Callable[[Tensor], Tensor], q: Any, p: Any) -> Float[Tensor, " n"]:
    """E_q f(p / q) per datum, by a sum over q.support(); f is a function of log(p / q), as in `generators`.

    Exact where q > 0 at every value. TypeError for a q without a support, ValueError for more than 2^20 values.
    """
    _check(q, p)
    if isinstance(q, DiagNormal):
        raise TypeError("expected distributions of finitely many values, got DiagNormal: average f over samples of q")
    if _values(q) > MOST:
        raise ValueError(f"expected at most {MOST} values to sum over, got {_values(q):.3g}: average f over samples")
    z = q.support()
    log_q, log_p = q.log_prob(z), p.log_prob(z)
    terms = torch.where(log_q == -torch.inf, 0.0, f(log_p - torch.where(log_q == -torch.inf, 0.0, log_q)))
    return (log_q.exp() * terms).sum(0)


def _log_integral(q: Any, p: Any, a: float) -> Tensor:
    """log sum_z p^a q^(1 - a), (n,), in float64; +inf where it diverges."""
    _check(q, p)
    if isinstance(q, DiagNormal):
        q_scale, p_scale = bounded(q.log_scale).double(), bounded(p.log_scale).double()
        t = 2 * (q_scale - p_scale)
        u = (p.loc.double() - q.loc.double()) * torch.exp(-p_scale)
        ratio = 1 + a * torch.expm1(t)  # (a q's variance + (1 - a) p's) / p's
        diverges = ratio <= 0
        ratio = torch.where(diverges, 1.0, ratio)
        dimensions = 0.5 * (a * t - torch.log1p(torch.where(diverges, 0.0, a * torch.expm1(t))))
        return torch.where(diverges, torch.inf, dimensions - 0.5 * a * (1 - a) * u.square() / ratio).sum(-1)
    log_q, log_p = _log_masses(q), _log_masses(p)
    impossible = (log_q == -torch.inf) & (log_p == -torch.inf)
    terms = torch.where(impossible, -torch.inf, a * log_p + (1 - a) * log_q)
    return log_sum_exp(terms, -1).sum(-1)


def _log_masses(d: Any) -> Tensor:
    """(n, d, k) in float64."""
    logits = d.logits.double()
    if isinstance(d, Bernoulli):
        return torch.stack([F.logsigmoid(logits), F.logsigmoid(-logits)], -1)
    return torch.log_softmax(logits, -1)


def _values(d: Any) -> float:
    return 2.0 ** d.logits.shape[-1] if isinstance(d, Bernoulli) else float(d.logits.shape[-1]) ** d.logits.shape[-2]


def _check(q: Any, p: Any) -> None:
    if type(q) is not type(p) or not isinstance(q, DiagNormal | Bernoulli | Categorical):
        raise TypeError(
            "expected two normals, two Bernoullis or two categoricals, "
            f"got {type(q).__name__} and {type(p).__name__}: average over samples instead"
        )
    check_value(q[0], p[0])


def _narrow(t: Tensor, q: Any) -> Tensor:
    return t.to(at_least_float32(q[0]).dtype)
