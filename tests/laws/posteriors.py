"""Laws of posteriors of Bayesian models: minibatches, draws of the prior, simulated data, names and transforms."""

import dataclasses
from collections.abc import Callable
from itertools import combinations
from typing import Any

import torch
from torch import Tensor
from torch.func import grad, jvp, vmap

from jensen.core import keys, trees
from jensen.core.models.bayes import Model, Posterior, condition, draws, positive
from jensen.core.trees import Static
from jensen.laws._law import Subject, law, spoiled
from jensen.laws.transforms import compiled

KEY = keys.key(51)
DRAWS, ERRORS = 1000, 5.0  # errors: a wrong alarm is one in two million for each direction
MOST = 20  # subsets of two data; else each datum is left out once


def _draw(key: Tensor, s: int) -> dict[str, Tensor]:
    mean = draws.exponential(keys.fold_in(key, 0), (s, 1))
    rate = mean[..., None] * draws.exponential(keys.fold_in(key, 1), (s, 1, 4))
    return {"mean": mean, "rate": rate}


def _simulate(key: Tensor, theta: Any, data: Any) -> dict[str, Tensor]:
    return {"y": draws.exponential(key, (4,)) / theta["rate"]}


RATES = Model(  # y_i ~ Exponential(rate_i), rate_i ~ Exponential(1 / mean), mean ~ Exponential(1): for planted bugs
    support={"mean": positive(), "rate": positive(4)},
    log_prior=lambda theta: -theta["mean"],
    log_likelihood=lambda theta, data: theta["rate"].log() - theta["rate"] * data["y"],
    local=("rate",),
    log_local=lambda theta: -theta["rate"] / theta["mean"][..., None] - theta["mean"][..., None].log(),
    draw=_draw,
    simulate=_simulate,
)
DATA = {"y": torch.tensor([0.5, 1.0, 2.0, 4.0], dtype=torch.float64)}


def of(**methods: Any) -> list[Subject]:
    return [Subject(spoiled(condition(RATES, DATA), **methods))]


def with_(**parts: Any) -> list[Subject]:
    """The posterior of a model with other parts."""
    return [Subject(condition(dataclasses.replace(RATES, **parts), DATA))]


def _unscaled(posterior: Posterior, z: Tensor) -> Tensor:
    prior, each = posterior.terms(z)
    assert each is not None
    return prior + each.sum(-1)


def _likelihood_alone_scaled(posterior: Posterior, z: Tensor) -> Tensor:
    each = posterior.log_likelihood(z)
    return _unscaled(posterior, z) + (4 / each.shape[-1] - 1) * each.sum(-1)


def _jacobian_not_scaled(posterior: Posterior, z: Tensor) -> Tensor:
    log_det = z[..., 1:][..., posterior.rows]
    return Posterior.__call__(posterior, z) + (1 - 4 / log_det.shape[-1]) * log_det.sum(-1)


def _next_data(index: Tensor) -> dict[str, Tensor]:
    return {"y": DATA["y"][(index + 1) % 4]}


def _close(found: Tensor, expected: Tensor) -> None:
    """To the rounding of the posterior's dtype."""
    slack = 1e-8 if found.dtype == torch.float64 else 1e-4
    torch.testing.assert_close(found, expected, rtol=slack, atol=slack)


def _points(posterior: Posterior, s: int, n: int) -> Tensor:
    """z (s, n, d), near 0."""
    return 0.5 * torch.stack([posterior.starts(keys.fold_in(KEY, i), n) for i in range(s)])


@law(
    "posterior",
    planted=lambda: [
        *of(__call__=_unscaled),
        *of(__call__=_likelihood_alone_scaled),
        *of(__call__=_jacobian_not_scaled),
        *of(minibatch=lambda posterior, index: Posterior.minibatch(posterior, index)._replace(data=_next_data(index))),
        *of(minibatch=lambda posterior, index: Posterior.minibatch(posterior, 0 * index)),
    ],
)
def minibatches_are_unbiased(posterior: Posterior) -> None:
    """The mean of minibatch(index) over all subsets of a size is the posterior, in value and gradient."""
    many, z = len(posterior.rows), _points(posterior, 1, 2)
    if posterior.model.value.joint or many < 2:
        return
    size = 2 if many * (many - 1) // 2 <= MOST else many - 1
    subsets = [torch.tensor(index) for index in combinations(range(many), size)]
    both = lambda p, z: torch.cat([p(z)[..., None], grad(lambda z: p(z).sum())(z)], -1)  # noqa: E731
    mean = torch.stack([both(posterior.minibatch(index), z) for index in subsets]).mean(0)
    _close(mean, both(posterior, z))


@law(
    "posterior",
    planted=lambda: [
        *with_(draw=lambda key, s: {**_draw(key, s), "mean": 1.5 * _draw(key, s)["mean"]}),
        *with_(draw=lambda key, s: {**_draw(key, s), "rate": 1.5 * _draw(key, s)["rate"]}),
        *with_(log_prior=lambda theta: -theta["mean"] - theta["mean"].log()),
        *of(log_prior=lambda posterior, z: Posterior.log_prior(posterior, z) - z[..., 0]),
    ],
)
def draws_of_the_prior_have_its_density(posterior: Posterior) -> None:
    """E [sin' + sin v . d log p] (v . z + 1) = 0 over draws of the prior, by Stein, for v along each parameter."""
    if posterior.model.value.draw is None:
        return
    prior = posterior.prior()
    z = prior.sample(prior.noise(KEY, DRAWS)).double()
    slope = grad(lambda z: prior.log_prob(z).sum())(z)
    begin = 0
    for i, (name, support) in enumerate(posterior.support.items()):
        at = slice(begin, begin + support.d)
        begin += support.d
        along = keys.normal(keys.fold_in(KEY, i), (support.d,), z.dtype)
        spread = z[..., at].std((0, 1))
        along = 1.5 * along / along.norm() / spread
        phase = (z[..., at] * along).sum(-1) + 1
        terms = torch.cos(phase) * along.square().sum() + torch.sin(phase) * (slope[..., at] * along).sum(-1)
        error = terms.std() / DRAWS**0.5
        assert terms.mean().abs() <= ERRORS * error, f"{name} is {(terms.mean() / error).abs():.1f} errors off"


@law(
    "posterior",
    planted=lambda: [
        *with_(simulate=lambda key, theta, data: {"y": 1.3 * _simulate(key, theta, data)["y"]}),
        *with_(log_likelihood=lambda theta, data: -theta["rate"] * data["y"]),
    ],
)
def simulated_data_have_the_likelihood(posterior: Posterior) -> None:
    """The mean slope of log p(x | theta) over data simulated at theta is 0, along each parameter that matters."""
    simulate = posterior.model.value.simulate
    if simulate is None:
        return
    z = _points(posterior, 1, 1)
    theta = {name: value[0, 0] for name, value in posterior.constrained(z).items()}
    data = vmap(lambda key: simulate(key, theta, posterior.data))(keys.split(KEY, DRAWS))
    assert set(data) == set(posterior.data), f"expected data {set(posterior.data)}, got {set(data)}"
    begin = 0
    for i, (name, support) in enumerate(posterior.support.items()):
        along = torch.zeros_like(z)
        along[..., begin : begin + support.d] = keys.normal(keys.fold_in(KEY, i), (support.d,), z.dtype)
        begin += support.d

        def slope(data: dict[str, Tensor], along: Tensor = along) -> Tensor:
            there = posterior._replace(data=data)
            return jvp(lambda z: there.log_likelihood(z).sum(), (z,), (along,))[1]

        slopes = vmap(slope)(data)
        error = slopes.std() / DRAWS**0.5
        off = (slopes.mean() / error).abs()
        assert slopes.mean().abs() <= ERRORS * error + 1e-12, f"{name} is {off:.1f} errors off"


@law(
    "posterior",
    planted=lambda: [
        *with_(log_prior=lambda theta: -theta["mean"] - theta["mean"].mean()),
        *with_(log_likelihood=lambda theta, data: -theta["rate"] * data["y"] + theta["rate"].mean()),
    ],
)
def samples_do_not_know_of_each_other(posterior: Posterior) -> None:
    """Each of (s, n) rows of z has the density that it has alone."""
    z = _points(posterior, 3, 2)
    alone = torch.stack([torch.cat([posterior(row[None, None])[0] for row in rows]) for rows in z])
    _close(posterior(z), alone)


@law(
    "posterior",
    planted=lambda: [
        *of(unconstrained=lambda posterior, theta: Posterior.unconstrained(posterior, theta).flip(-1)),
        *of(constrained=lambda posterior, z: {name: -t for name, t in Posterior.constrained(posterior, z).items()}),
        *of(flat_names=("mean", "rate")),
    ],
)
def parameters_have_their_places(posterior: Posterior) -> None:
    """unconstrained inverts constrained, whose values lie in their supports, and each number has a name of its own."""
    z = _points(posterior, 2, 3)
    theta = posterior.constrained(z)
    for name, support in posterior.support.items():
        assert theta[name].shape == (2, 3, *support.shape), f"{name} is {tuple(theta[name].shape)}"
        assert support.contains(theta[name]).all(), f"{name} is outside {support}"
    _close(posterior.unconstrained(theta), z)
    names = posterior.flat_names
    assert len(set(names)) == len(names), f"two numbers have one name: {names}"
    assert posterior.flat(z).shape == (2, 3, len(names)), f"{posterior.flat(z).shape[-1]} numbers, {len(names)} names"


def _value_and_slope(posterior: Posterior) -> Callable[[Tensor, Any], tuple[Tensor, Tensor]]:
    """log p and its gradient as a function of z and of the data."""
    model, num_data = posterior.model, Static(posterior.num_data.value)

    def both(z: Tensor, data: Any) -> tuple[Tensor, Tensor]:
        there = Posterior(model, data, posterior.rows, num_data)
        return there(z), grad(lambda z: there(z).sum())(z)

    return both


@law(
    "posterior",
    planted=lambda: with_(log_prior=lambda theta: -theta["mean"] * (1 if theta["mean"].sum() > 1e3 else 2)),
)
def posteriors_map(posterior: Posterior) -> None:
    """vmap of the log density and its gradient over rows of z is a loop."""
    both, z = _value_and_slope(posterior), _points(posterior, 3, 1)
    mapped = vmap(both, in_dims=(0, None))(z[:, None], posterior.data)
    for found, expected in zip(mapped, zip(*[both(row[None], posterior.data) for row in z], strict=True), strict=True):
        _close(found, torch.stack(expected))


@law(
    "posterior",
    planted=lambda: with_(log_prior=lambda theta: -theta["mean"] if theta["mean"].sum() > 1e3 else -2 * theta["mean"]),
)
def posteriors_compile(posterior: Posterior) -> None:
    """The log density and its gradient as one graph are the eager ones."""
    both, z = _value_and_slope(posterior), _points(posterior, 2, 1)
    for found, expected in zip(compiled(both)(z, posterior.data), both(z, posterior.data), strict=True):
        _close(found, expected)


@law(
    "posterior",
    planted=lambda: with_(log_likelihood=lambda theta, data: theta["rate"] * (0 * data["y"]).sqrt() * float("inf")),
)
def slopes_of_posteriors_are_finite(posterior: Posterior) -> None:
    """The log density and its gradient are finite at points of the kind that inference starts from."""
    z = torch.stack([posterior.starts(keys.fold_in(KEY, i), 1) for i in range(8)])
    for t in trees.leaves(_value_and_slope(posterior)(z, posterior.data)):
        assert t.isfinite().all(), "log p or its gradient is not finite within 2 of 0"
