"""Divergences in closed form: between diagonal normals, and between Bernoullis or categoricals.

With I(a) = log sum_z p(z)^a q(z)^(1 - a), an integral for normals, which adds up over independent dimensions, let
J(a) = I(a) / (a (a - 1)): never negative, KL(q || p) at a = 0, KL(p || q) at a = 1. Then renyi is alpha J(1 - alpha),
alpha_divergence is (e^I(alpha) - 1) / (alpha (alpha - 1)) and chi2 is e^I(2) - 1. All is computed in float64, J
without the difference that vanishes near a = 0 and 1, and returned in q's type; at a = 0 and 1 it is q's own `kl`.
"""

import math
from collections.abc import Callable
from functools import reduce
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core import trees
from jensen.core.contracts import ClosedForm, Distribution, can
from jensen.core.distributions import Bernoulli, Categorical, DiagNormal
from jensen.core.distributions.shapes import check_fields, check_value
from jensen.core.divergences import generators
from jensen.core.numerics import bounded, double, exp_less_tangent, log_sum_exp, narrow

MOST = 2**20  # values to sum over
Family: TypeAlias = DiagNormal | Bernoulli | Categorical


def reverse_kl(q: ClosedForm, p: ClosedForm) -> Float[Tensor, " n"]:
    """KL(q || p) = E_q log(q / p) in nats per datum: the exclusive one, which the ELBO has.

    For every family with a `kl`; TypeError for another, or two.
    """
    _check_kl(q, p)
    return q.kl(p)


def forward_kl(q: ClosedForm, p: ClosedForm) -> Float[Tensor, " n"]:
    """KL(p || q) = E_p log(p / q) in nats per datum: the inclusive one, which wake-sleep has.

    For every family with a `kl`; TypeError for another, or two.
    """
    _check_kl(q, p)
    return p.kl(q)


def renyi(q: Family, p: Family, alpha: float) -> Float[Tensor, " n"]:
    """D_alpha(q || p) = log sum_z q^alpha p^(1 - alpha) / (alpha - 1) in nats per datum (Renyi, 1961; Gil, 2013).

    alpha = 1 is KL(q || p). `bounds.Renyi(alpha)` is log p(x) less that of q from the posterior. inf where the
    integral diverges: normals, alpha > 1, and alpha p's variance + (1 - alpha) q's not positive. ValueError unless
    alpha > 0 and finite; TypeError for other families, or two.
    """
    check_families(q, p)
    if not 0 < alpha < math.inf:
        raise ValueError(
            f"expected alpha > 0 and finite, got {alpha}: alpha_divergence takes any sign, "
            "and a large alpha is near the limit at infinity, the greatest log(q / p)"
        )
    return narrow(alpha * _per_order(p, q, alpha), q[0])


def alpha_divergence(q: Family, p: Family, alpha: float) -> Float[Tensor, " n"]:
    """(E_q[(p / q)^alpha] - 1) / (alpha (alpha - 1)) per datum (Amari, 1985; Minka, 2005).

    alpha -> 0 is KL(q || p), which seeks a mode; alpha -> 1 is KL(p || q), which covers; alpha = 1/2 is four times the
    squared Hellinger distance, alpha = 2 is chi2 / 2. inf, with no gradient, where the integral diverges or overflows.
    ValueError unless alpha is finite; TypeError for other families, or two.
    """
    check_families(q, p)
    if not math.isfinite(alpha):
        raise ValueError(f"expected a finite alpha, got {alpha}: renyi of a large alpha stays in range")
    j = _per_order(q, p, alpha)
    if alpha in (0, 1):
        return narrow(j, q[0])
    log_most = math.log(torch.finfo(narrow(j, q[0]).dtype).max)
    log_integral = j * alpha * (alpha - 1)
    overflows = log_integral > log_most + min(0.0, math.log(abs(alpha)) + math.log(abs(alpha - 1)))
    value = torch.expm1(torch.where(overflows, 0.0, log_integral)) / alpha / (alpha - 1)
    return narrow(torch.where(overflows, torch.inf, value), q[0])


def chi2(q: Family, p: Family) -> Float[Tensor, " n"]:
    """E_q[(p / q)^2] - 1 per datum, the divergence that `bounds.Cubo(2)` contains (Dieng et al., 2017).

    inf, with no gradient, where it overflows or diverges: for normals, where q's variance is half of p's or less.
    TypeError for other families, or two.
    """
    return 2 * alpha_divergence(q, p, 2.0)


def jensen_shannon(q: Family, p: Family) -> Float[Tensor, " n"]:
    """(KL(q || m) + KL(p || m)) / 2, m = (q + p) / 2, in nats per datum, at most log 2 (Lin, 1991).

    Summed over all values: TypeError for normals, which have no closed form, ValueError for more than 2^20 values.
    """
    return f_divergence(generators.jensen_shannon, q, p)


def f_divergence(f: Callable[[Tensor], Tensor], q: Family, p: Family) -> Float[Tensor, " n"]:
    """E_q f(p / q) per datum, by a sum over all values; f is a function of log(p / q), as in `generators`.

    Where q = 0 the term is its limit, p times f's slope at infinity. For an f that is not in `generators`, ratios
    beyond e^700 count as e^700. TypeError for a q of infinitely many values, ValueError for more than 2^20.
    """
    check_families(q, p)
    log_q, log_p = _log_masses(q), _log_masses(p)
    d, k = log_q.shape[-2:]
    if k**d > MOST:
        raise ValueError(f"expected at most {MOST} values to sum over, got {k}^{d}: average f over samples")
    return narrow(_terms(f, _joint(log_q), _joint(log_p)).sum(-1), q[0])


def _per_order(q: Family, p: Family, a: float) -> Tensor:
    """J(a), (n,), in float64; +inf where the integral diverges."""
    if a > 0.5:
        q, p, a = p, q, 1 - a  # the same J, and 1 - a is exact where a -> 1
    if a == 0:
        return reverse_kl(q, p)
    if isinstance(q, DiagNormal) and isinstance(p, DiagNormal):
        return _normal_per_order(q, p, a).sum(-1)
    return _finite_per_order(q, p, a).sum(-1)


def _normal_per_order(q: DiagNormal, p: DiagNormal, a: float) -> Tensor:
    """((log(1 + a (e^t - 1)) - a t) / (a (1 - a)) + u^2 / (1 + a (e^t - 1))) / 2 with t, u of `ops.normal_kl`."""
    q_log_scale, p_log_scale = double(bounded(q.log_scale)), double(bounded(p.log_scale))
    t = 2 * (q_log_scale - p_log_scale)
    u = (double(q.loc) - double(p.loc)) * torch.exp(-p_log_scale)
    ratio = 1 + a * torch.expm1(t)  # (a q's variance + (1 - a) p's) / p's
    diverges = ratio <= 0
    t, ratio = torch.where(diverges, 0.0, t), torch.where(diverges, 1.0, ratio)
    near = t.abs() < 0.5
    small, large = torch.where(near, t, 0.0), torch.where(near, 0.0, t)
    close = (exp_less_tangent(small) - exp_less_tangent(torch.log1p(a * torch.expm1(small))) / a) / (1 - a)
    far = (torch.log1p(a * torch.expm1(large)) - a * large) / a / (1 - a)
    return torch.where(diverges, torch.inf, 0.5 * (torch.where(near, close, far) + u.square() / ratio))


def _finite_per_order(q: Family, p: Family, a: float) -> Tensor:
    """log(1 + a (a - 1) E_q Alpha(a)) / (a (a - 1)) where I is small, I / (a (a - 1)) elsewhere."""
    log_q, log_p = _log_masses(q), _log_masses(p)
    never = log_q == -torch.inf
    powers = torch.where(never, -torch.inf, log_q + a * (log_p - torch.where(never, 0.0, log_q)))
    diverges = powers == torch.inf
    whole = log_sum_exp(torch.where(diverges, 0.0, powers), -1)
    whole = torch.where(diverges.any(-1), torch.inf, whole)
    near = whole.abs() < 0.5
    far = ~near.unsqueeze(-1)
    excess = _terms(generators.Alpha(a), torch.where(far, 0.0, log_q), torch.where(far, 0.0, log_p)).sum(-1)
    return torch.where(near, torch.log1p(excess * a * (a - 1)), whole) / a / (a - 1)


def _terms(f: Callable[[Tensor], Tensor], log_q: Tensor, log_p: Tensor) -> Tensor:
    """q f(p / q), as p f*(q / p) where p > q: f and f* = `generators.swapped(f)` meet no ratio above 1."""
    never = (log_q == -torch.inf) & (log_p == -torch.inf)
    t = torch.where(never, 0.0, log_p) - torch.where(never, 0.0, log_q)
    more = t > 0
    values = torch.where(more, generators.swapped(f)(torch.where(more, -t, 0.0)), f(torch.where(more, 0.0, t)))
    root = torch.exp(0.5 * torch.where(more, log_p, log_q))
    return root * values * root  # in halves: e^-800 is 0, and NaN times a value that overflows


def _log_masses(d: Family) -> Tensor:
    """(n, d, k) in float64."""
    if isinstance(d, DiagNormal):
        raise TypeError("expected distributions of finitely many values, got DiagNormal: average f over samples of q")
    logits = double(d.logits)
    if isinstance(d, Bernoulli):
        return torch.stack([F.logsigmoid(logits), F.logsigmoid(-logits)], -1)
    return torch.log_softmax(logits, -1)


def _joint(log_masses: Tensor) -> Tensor:
    """(n, d, k) -> (n, k^d), the sums over every choice of one value for each dimension."""
    none = log_masses.new_zeros(*log_masses.shape[:-2], 1)
    return reduce(lambda joint, each: (joint[..., None] + each[..., None, :]).flatten(-2), log_masses.unbind(-2), none)


def _check_kl(q: ClosedForm, p: ClosedForm) -> None:
    if type(q) is not type(p) or not can(q, ClosedForm):
        raise TypeError(
            "expected two distributions of one family with a kl, "
            f"got {type(q).__name__} and {type(p).__name__}: average log(q / p) over samples instead"
        )


def check_families(q: Distribution, p: Distribution, instead: str = "average over samples") -> None:
    """TypeError that says what to do instead, unless both are of one family that has closed forms."""
    if type(q) is not type(p) or not isinstance(q, DiagNormal | Bernoulli | Categorical):
        raise TypeError(
            "expected two normals, two Bernoullis or two categoricals, "
            f"got {type(q).__name__} and {type(p).__name__}: {instead} instead"
        )
    q_fields, p_fields = trees.leaves(q), trees.leaves(p)
    for fields in (q_fields, p_fields):
        check_fields(fields[0], fields[-1])
    check_value(q_fields[0], p_fields[0])
