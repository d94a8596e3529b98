"""Divergences in closed form, of families with the capability: KL, Renyi, alpha and f-divergences, Wasserstein-2.

With I(a) = log sum_z p(z)^a q(z)^(1 - a), an integral for a `Chernoff` family, which is a sum over independent
dimensions, let J(a) = I(a) / (a (a - 1)): never negative, KL(q || p) at a = 0, KL(p || q) at a = 1. Then renyi is
alpha J(1 - alpha), alpha_divergence is (e^I(alpha) - 1) / (alpha (alpha - 1)) and chi2 is e^I(2) - 1. All is computed
in float64, J without the difference that vanishes near a = 0 and 1, and returned in q's type; at a = 0 and 1 it is q's
own `kl`. TypeError for q and p of two families, and for one without the capability.
"""

import math
from collections.abc import Callable
from functools import reduce
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import trees
from jensen.core.checks import check_function, check_number, described
from jensen.core.contracts import Chernoff, ClosedForm, Dimensional, Discrete, Distribution, Transportable, can
from jensen.core.distributions.shapes import check_enumerable, check_value
from jensen.core.divergences import generators
from jensen.core.numerics import double, log_sum_exp, narrow

C = TypeVar("C")


def reverse_kl(q: Distribution, p: Distribution) -> Float[Tensor, " n"]:
    """KL(q || p) = E_q log(q / p) in nats per datum: the exclusive one, which the ELBO has."""
    one, other = _one_family(q, p, ClosedForm, "a kl", "average log(q / p) over samples instead")
    return one.kl(other)


def forward_kl(q: Distribution, p: Distribution) -> Float[Tensor, " n"]:
    """KL(p || q) = E_p log(p / q) in nats per datum: the inclusive one, which wake-sleep has."""
    one, other = _one_family(q, p, ClosedForm, "a kl", "average log(q / p) over samples instead")
    return other.kl(one)


def kl_per_dimension(q: Distribution, p: Distribution) -> Float[Tensor, "n d"]:
    """The terms of KL(q || p) by dimension, in nats per datum, for a `Dimensional` family."""
    what, instead = "a kl that is a sum over independent dimensions", "take the whole KL, as `beta` does"
    one, other = _one_family(q, p, Dimensional, what, instead)
    return one.kl_per_dimension(other)


def renyi(q: Distribution, p: Distribution, alpha: float) -> Float[Tensor, " n"]:
    """D_alpha(q || p) = log sum_z q^alpha p^(1 - alpha) / (alpha - 1) in nats per datum (Renyi, 1961; Gil, 2013).

    For a `Chernoff` family or a `Discrete` one. alpha = 1 is KL(q || p). `bounds.Renyi(alpha)` is log p(x) less that of
    q from the posterior. inf where the integral diverges: normals, alpha > 1, and alpha p's variance + (1 - alpha) q's
    not positive. ValueError unless alpha > 0 and finite.
    """
    fix = "alpha_divergence takes any sign, and a large alpha is near the limit at infinity, the greatest log(q / p)"
    alpha = check_number("alpha", alpha, "(0, inf)", fix)
    return _like(alpha * _per_order(q, p, 1 - alpha), q)


def alpha_divergence(q: Distribution, p: Distribution, alpha: float) -> Float[Tensor, " n"]:
    """(E_q[(p / q)^alpha] - 1) / (alpha (alpha - 1)) per datum (Amari, 1985; Minka, 2005).

    For a `Chernoff` family or a `Discrete` one. alpha -> 0 is KL(q || p), mode-seeking; alpha -> 1 is KL(p || q),
    mass-covering; alpha = 1/2 is four times the squared Hellinger distance, alpha = 2 is chi2 / 2. inf, with no
    gradient, where the integral diverges or overflows. ValueError unless alpha is finite.
    """
    alpha = check_number("alpha", alpha, fix="renyi of a large alpha stays in range")
    j = _per_order(q, p, alpha)
    if alpha in (0, 1):
        return _like(j, q)
    log_most = math.log(torch.finfo(_like(j, q).dtype).max)
    log_integral = j * alpha * (alpha - 1)
    overflows = log_integral > log_most + min(0.0, math.log(abs(alpha)) + math.log(abs(alpha - 1)))
    value = torch.expm1(torch.where(overflows, 0.0, log_integral)) / alpha / (alpha - 1)
    return _like(torch.where(overflows, torch.inf, value), q)


def chi2(q: Distribution, p: Distribution) -> Float[Tensor, " n"]:
    """E_q[(p / q)^2] - 1 per datum, the divergence that `bounds.Cubo(2)` contains (Dieng et al., 2017).

    For the families of `alpha_divergence`. inf, with no gradient, where it overflows or diverges: for normals,
    where q's variance is half of p's or less.
    """
    return 2 * alpha_divergence(q, p, 2.0)


def jensen_shannon(q: Distribution, p: Distribution) -> Float[Tensor, " n"]:
    """(KL(q || m) + KL(p || m)) / 2, m = (q + p) / 2, in nats per datum, at most log 2 (Lin, 1991).

    A sum over all values of a `Discrete` family, as normals have no closed form. ValueError for more than 2^20 values.
    """
    return f_divergence(generators.jensen_shannon, q, p)


def f_divergence(f: Callable[[Tensor], Tensor], q: Distribution, p: Distribution) -> Float[Tensor, " n"]:
    """E_q f(p / q) per datum, by a sum over all values; f is a function of log(p / q), as in `generators`.

    For a `Discrete` family. Where q = 0 the term is its limit, p times f's slope at infinity. For an f that is not in
    `generators`, ratios beyond e^700 count as e^700. ValueError for more than 2^20 values.
    """
    check_function("f", f, "generators.chi2")
    one, other = _one_family(q, p, Discrete, "finitely many values", "average f over samples of q")
    log_q, log_p = _log_masses(one, other)
    d, k = log_q.shape[-2:]
    check_enumerable(k, d)
    return _like(_terms(f, _joint(log_q), _joint(log_p)).sum(-1), q)


def squared_wasserstein2(q: Distribution, p: Distribution) -> Float[Tensor, " n"]:
    """The least mean squared distance |z - z'|^2 of a joint draw z ~ q, z' ~ p: (n,), in squared units of z, not nats.

    The optimal transport cost between `Transportable` distributions. Squared, as its root has no gradient where q = p.
    """
    one, other = _one_family(q, p, Transportable, "a squared_wasserstein2", "compare samples with squared_mmd instead")
    return one.squared_wasserstein2(other)


def _per_order(q: Distribution, p: Distribution, a: float) -> Tensor:
    """J(a), (n,), in float64; +inf where the integral diverges."""
    what, instead = "divergences of every order, as normals and discrete ones have", "average over samples instead"
    swap = a > 0.5  # J(a) of (q, p) is J(1 - a) of (p, q), and 1 - a is exact where a -> 1
    a = 1 - a if swap else a
    if can(q, Chernoff):
        pair = _one_family(q, p, Chernoff, what, instead)
        one, other = reversed(pair) if swap else pair
        return one.kl(other) if a == 0 else one.chernoff(other, a)
    pair = _one_family(q, p, Discrete, what, instead)
    one, other = reversed(pair) if swap else pair
    return one.kl(other) if a == 0 else _discrete_per_order(*_log_masses(one, other), a).sum(-1)


def _discrete_per_order(log_q: Tensor, log_p: Tensor, a: float) -> Tensor:
    """log(1 + a (a - 1) E_q Alpha(a)) / (a (a - 1)) where I is small, I / (a (a - 1)) elsewhere: (n, d)."""
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
    """q f(p / q), as p f*(q / p) where p > q: f and f* = `generators.swapped(f)` at ratios of at most 1."""
    never = (log_q == -torch.inf) & (log_p == -torch.inf)
    t = torch.where(never, 0.0, log_p) - torch.where(never, 0.0, log_q)
    more = t > 0
    values = torch.where(more, generators.swapped(f)(torch.where(more, -t, 0.0)), f(torch.where(more, 0.0, t)))
    root = torch.exp(0.5 * torch.where(more, log_p, log_q))
    return root * values * root  # in halves: e^-800 is 0, and NaN times a value that overflows


def _log_masses(q: Discrete, p: Discrete) -> tuple[Tensor, Tensor]:
    """log q and log p of the values of each component, (n, d, k) each, in float64."""
    log_q, log_p = (trees.map(double, each).log_masses() for each in (q, p))
    check_value(log_q, log_p)
    return log_q, log_p


def _joint(log_masses: Tensor) -> Tensor:
    """(n, d, k) -> (n, k^d), the sums over every choice of one value for each dimension."""
    none = log_masses.new_zeros(*log_masses.shape[:-2], 1)
    return reduce(lambda joint, each: (joint[..., None] + each[..., None, :]).flatten(-2), log_masses.unbind(-2), none)


def _one_family(q: Distribution, p: Distribution, capability: type[C], what: str, instead: str) -> tuple[C, C]:
    """Both, if they are of one family with the capability; else a TypeError that says what to do instead."""
    if type(q) is type(p) and can(q, capability) and can(p, capability):
        return q, p
    raise TypeError(
        f"expected q and p, two distributions of one family with {what}, "
        f"got {described(q)} and {described(p)}: {instead}"
    )


def _like(value: Tensor, q: Distribution) -> Tensor:
    """In q's type, or float32 for half precision."""
    return narrow(value, trees.leaves(q)[0])
