"""Laws of closed forms: mean, entropy, KL and its terms, other divergences, quantiles, weak derivatives."""

import torch
from hypothesis import strategies as st
from torch import Tensor
from torch.func import grad

from jensen.core import trees
from jensen.core.contracts import (
    Chernoff,
    ClosedForm,
    Dimensional,
    Event,
    MeasureValued,
    Transportable,
    WeakDerivative,
)
from jensen.core.distributions import Bernoulli, DiagNormal
from jensen.laws._law import law, spoiled
from jensen.laws.assertions import mean_is_exact
from jensen.laws.distributions import COINS, KEY, NORMAL, ZERO, data, partner, per_sample
from jensen.laws.regions import flat


@law(
    "distribution",
    needs=ClosedForm,
    planted=lambda: [
        spoiled(NORMAL, entropy=lambda q: q.log_scale.sum(-1)),
        spoiled(COINS, entropy=lambda q: Bernoulli.entropy(q) / 0.69),  # in bits
    ],
)
def entropy_is_that_of_samples(q: ClosedForm) -> None:
    """entropy() = E_q[-log q(z)], (n,), in nats."""
    assert q.entropy().shape == (data(q),), q.entropy().shape
    mean_is_exact(lambda key, s: -q.log_prob(q.sample(q.noise(key, s))), q.entropy(), KEY)


@law(
    "distribution",
    needs=ClosedForm,
    planted=lambda: [
        spoiled(NORMAL, kl=lambda q, p: DiagNormal.kl(p, q)),
        spoiled(COINS, kl=lambda q, p: 0.5 * Bernoulli.kl(q, p)),
    ],
)
def kl_is_that_of_samples(q: ClosedForm) -> None:
    """kl(p) = E_q[log q(z) - log p(z)], (n,), for p the row of another datum."""
    p = partner(q, data(q))
    assert q.kl(p).shape == (data(q),), q.kl(p).shape

    def draw(key: Tensor, s: int) -> Tensor:
        z = q.sample(q.noise(key, s))
        return q.log_prob(z) - p.log_prob(z)

    mean_is_exact(draw, q.kl(p), KEY)


@law(
    "distribution",
    needs=ClosedForm,
    planted=lambda: [
        spoiled(NORMAL, kl=lambda q, p: DiagNormal.kl(q, p) + 1e-6),
        spoiled(NORMAL, kl=lambda q, p: (q.loc - p.loc).square().sum(-1) * 0),
        spoiled(NORMAL, kl=lambda q, p: DiagNormal.kl(q, p) * torch.tensor([1.0, -1.0])),
    ],
)
def kl_is_zero_only_at_equality(q: ClosedForm) -> None:
    """KL(q || p) >= 0, 0 for p = q with a gradient of 0, above 0 for the row of another datum."""
    p = partner(q, data(q))
    assert (q.kl(q).abs() <= 1e-9).all(), q.kl(q)
    if data(q) > 1:
        assert (q.kl(p) > 0).all(), f"{q.kl(p)} to the next row, which is to differ: give data with rows that do"
    vector, unravel = trees.ravel(q)
    slope = grad(lambda v: unravel(v).kl(q).sum())(vector)
    assert (slope.abs() <= 1e-7).all(), slope


def _cancelling(q: DiagNormal, p: DiagNormal) -> Tensor:
    """Minus an entropy and a cross-entropy."""
    cross = p.log_scale + 0.5 * ((2 * q.log_scale).exp() + (q.loc - p.loc).square()) / (2 * p.log_scale).exp()
    return (cross - q.log_scale - 0.5).sum(-1)


@law(
    "distribution",
    needs=ClosedForm,
    given=lambda q: st.floats(-12, -3).map(lambda digits: 10**digits),
    planted=lambda: [spoiled(NORMAL, kl=_cancelling)],
)
def kl_of_neighbours_is_quadratic(q: ClosedForm, distance: float) -> None:
    """KL(q || q moved by a relative 1e-12 … 1e-3) >= 0, and four times as large for twice the distance, to 5 %."""

    def kl(distance: float) -> Tensor:
        return q.kl(trees.map(lambda t: t * (1 + distance), q)).double()

    one, two = kl(distance), kl(2 * distance)
    assert (one >= 0).all(), one
    assert ((two - 4 * one).abs() <= 0.2 * one).all(), (one, two)


@law("distribution", needs=ClosedForm, planted=lambda: [spoiled(COINS, mean=lambda q: (q.logits > 0).double())])
def mean_is_that_of_samples(q: ClosedForm) -> None:
    """mean() = E_q[z], (n, *event)."""
    exact = flat(trees.map(lambda t: t[None], q.mean()))[0]
    mean_is_exact(lambda key, s: flat(q.sample(q.noise(key, s))), exact, KEY)


@law(
    "distribution",
    needs=Dimensional,
    planted=lambda: [
        spoiled(NORMAL, kl_per_dimension=lambda q, p: DiagNormal.kl_per_dimension(q, p) / 3),
        spoiled(NORMAL, kl_per_dimension=lambda q, p: DiagNormal.kl_per_dimension(q, p).cumsum(-1).diff(dim=-1)),
    ],
)
def kl_per_dimension_sums(q: Dimensional) -> None:
    """kl_per_dimension(p), (n, d), is at least 0 and sums over d to kl(p)."""
    p = partner(q, data(q))
    terms = q.kl_per_dimension(p)
    assert (terms >= 0).all(), terms
    torch.testing.assert_close(terms.sum(-1), q.kl(p), rtol=1e-6, atol=1e-9)


@law(
    "distribution",
    needs=Chernoff,
    planted=lambda: [
        spoiled(NORMAL, chernoff=lambda q, p, a: a * (1 - a) * DiagNormal.chernoff(q, p, a)),
        spoiled(NORMAL, chernoff=lambda q, p, a: 2 * DiagNormal.kl(q, p)),
    ],
)
def chernoff_is_that_of_samples(q: Chernoff) -> None:
    """exp(-a (1 - a) chernoff(p, a)) = E_q[(p / q)^a], (n,), for p the row of another datum."""
    p, a = partner(q, data(q)), 0.4

    def draw(key: Tensor, s: int) -> Tensor:
        z = q.sample(q.noise(key, s))
        return torch.exp(a * (p.log_prob(z) - q.log_prob(z)).double())

    mean_is_exact(draw, torch.exp(-a * (1 - a) * q.chernoff(p, a)), KEY)


@law(
    "distribution",
    needs=Transportable,
    planted=lambda: [
        spoiled(NORMAL, squared_wasserstein2=lambda q, p: (q.log_scale - p.log_scale).exp().square().sum(-1)),
        spoiled(COINS, squared_wasserstein2=lambda q, p: 0.1 * Bernoulli.squared_wasserstein2(q, p)),
    ],
)
def transport_is_at_least_that_of_the_means(q: Transportable) -> None:
    """squared_wasserstein2(p), (n,), is symmetric, 0 for p = q, and at least |E_q[z] - E_p[z]|^2."""
    p = partner(q, data(q))
    distance = q.squared_wasserstein2(p)
    torch.testing.assert_close(distance, p.squared_wasserstein2(q), rtol=1e-6, atol=1e-9)
    assert (q.squared_wasserstein2(q) <= 1e-9).all(), q.squared_wasserstein2(q)
    if isinstance(q, ClosedForm) and isinstance(p, ClosedForm):
        gap = (flat(q.mean()[None]) - flat(p.mean()[None]))[0].square().sum(-1)
        assert (distance >= gap - 1e-9).all(), f"{distance} between means {gap} apart"


def _halved(q: Bernoulli, u: Tensor) -> tuple[WeakDerivative, ...]:
    return tuple(each._replace(constant=each.constant / 2) for each in Bernoulli.weak_derivatives(q, u))


def _of_loc_alone(q: DiagNormal, eps: Tensor) -> tuple[WeakDerivative, ...]:
    return DiagNormal.weak_derivatives(q, eps)[:1]


@law(
    "distribution",
    needs=MeasureValued,
    planted=lambda: [spoiled(COINS, weak_derivatives=_halved), spoiled(NORMAL, weak_derivatives=_of_loc_alone)],
)
def weak_derivatives_have_the_gradient_of_the_expectation(q: MeasureValued) -> None:
    """E[sum_i constant (f(plus_i) - f(minus_i))] = E_q[f(z) grad log q(z)] in every field, f(z) = sum_i sin z_i."""

    def difference(q: MeasureValued, noise: Event) -> Tensor:
        z = trees.stop(q.sample(noise))
        weak = torch.zeros_like(z)
        for parameter, constant, plus, minus in q.weak_derivatives(noise):
            weak = weak + constant * (plus.sin() - (z if minus is None else minus).sin()).detach() * parameter
        return weak.sum(-1) - z.sin().sum(-1) * q.log_prob(z)

    mean_is_exact(lambda key, s: per_sample(difference, q, q.noise(key, s)), ZERO, KEY)
