"""Laws of conjugate-exponential models: factors that fit together, linear terms, an ELBO that sweeps never lower."""

import math
from collections.abc import Callable
from itertools import combinations
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.func import vmap

from jensen.core import keys, trees
from jensen.core.distributions import DiagNormal, Gamma
from jensen.core.exponential import DiagNormalFamily, GammaFamily
from jensen.core.models.conjugate.contract import ConjugateModel, Factors, expected_log_prob
from jensen.core.trees import Tree
from jensen.estimators.inference import cavi, svi
from jensen.laws._law import Subject, law, spoiled
from jensen.laws.transforms import compiled

KEY, SWEEPS, ROUNDING = keys.key(62), 20, 32.0  # last digits of sums of tens of numbers
ONE = torch.ones(1, 1, dtype=torch.float64)


class Location(NamedTuple):
    """x (n,) from N(mean, 1 / precision), both unknown and independent under q: for planted bugs."""

    families = {"mean": DiagNormalFamily(), "precision": GammaFamily()}  # noqa: RUF012
    blocks = (("mean",), ("precision",))

    def prepare(self, x: Tensor, /) -> Tensor:
        return x

    def start(self, key: Tensor, rows: Tensor, /) -> Factors:
        q = {"mean": DiagNormal(-2 * ONE, -2 * ONE), "precision": Gamma(3 * ONE, 9 * ONE)}
        return {name: self.families[name].natural(value) for name, value in q.items()}

    def log_prior(self, means: Factors, /) -> dict[str, Tensor]:
        prior = {"mean": DiagNormal(0 * ONE, ONE), "precision": Gamma(2 * ONE, ONE)}
        return {
            name: expected_log_prob(family, family.natural(prior[name]), means[name])
            for name, family in self.families.items()
        }

    def log_likelihood(self, means: Factors, rows: Tensor, local: Tree, /) -> tuple[Tensor, Tree]:
        mean, precision = means["mean"], means["precision"]
        squares = rows.square() - 2 * rows * mean["z"][0, 0] + mean["square"][0, 0]
        return 0.5 * (precision["log"][0, 0] - precision["z"][0, 0] * squares - math.log(2 * math.pi)), {}

    def posterior(self, natural: Factors, /) -> dict[str, Any]:
        return {name: family.from_natural(natural[name]) for name, family in self.families.items()}


X = torch.tensor([0.3, 2.5, 1.9, 3.1, 2.2], dtype=torch.float64)


def of(**members: Any) -> list[Subject]:
    return [Subject(spoiled(Location(), **members), X)]


def changed(change: Callable[[Tensor, Tensor, Factors], Tensor]) -> list[Subject]:
    """With another log likelihood, a function of it, of x and of the means."""

    def log_likelihood(model: Location, means: Factors, rows: Tensor, local: Tree) -> tuple[Tensor, Tree]:
        return change(Location.log_likelihood(model, means, rows, local)[0], rows, means), {}

    return of(log_likelihood=log_likelihood)


def started(model: ConjugateModel, x: Tree) -> tuple[cavi.Data, cavi.State]:
    data = cavi.prepare(model, x)
    return data, cavi.init(KEY, model, data)


@law(
    "conjugate model",
    planted=lambda: [
        *of(blocks=(("mean",),)),
        *of(log_prior=lambda model, means: {"mean": Location.log_prior(model, means)["mean"]}),
        *of(posterior=lambda model, natural: {"mean": Location.posterior(model, natural)["mean"]}),
        *changed(lambda each, x, means: each.sum()),
        *changed(lambda each, x, means: each * math.inf),
    ],
)
def factors_have_blocks_priors_and_posteriors(model: ConjugateModel, x: Tree) -> None:
    """Each factor is in one block, has a prior and a posterior; terms are finite, one for each datum or 0-d."""
    data, state = started(model, x)
    names, means = set(model.families), cavi.means_of(model, state.natural)
    assert sorted(sum(model.blocks, ())) == sorted(names), f"blocks {model.blocks} of factors {names}"
    assert set(state.natural) == names, f"a start of {set(state.natural)}, of factors {names}"
    assert set(model.posterior(state.natural)) == names, "posterior has other names than families"
    priors, (each, _) = model.log_prior(means), model.log_likelihood(means, data.rows, {})
    assert set(priors) == names, f"log priors of {set(priors)}, of factors {names}"
    n = len(trees.leaves(data.rows)[0])
    assert each.shape == (n,), f"expected log likelihoods ({n},), got {tuple(each.shape)}"
    for name, term in {"log_likelihood": each.sum(), **priors}.items():
        assert term.ndim == 0, f"expected {name}, summed, got {tuple(term.shape)}"
        assert term.isfinite(), f"{name} is {term}"


@law(
    "conjugate model",
    planted=lambda: [
        *changed(lambda each, x, means: each + x.mean()),
        *changed(lambda each, x, means: each * len(x)),
    ],
)
def each_datum_has_its_own_likelihood(model: ConjugateModel, x: Tree) -> None:
    """The log likelihood of the last datum is the one that it has alone."""
    data, state = started(model, x)
    means = cavi.means_of(model, state.natural)
    whole = model.log_likelihood(means, data.rows, {})[0]
    alone = model.log_likelihood(means, trees.map(lambda t: t[-1:], data.rows), {})[0]
    torch.testing.assert_close(whole[-1:], alone, rtol=1e-9, atol=1e-9)


def _squared(model: Location, means: Factors) -> dict[str, Tensor]:
    terms = Location.log_prior(model, means)
    return {**terms, "mean": terms["mean"] - means["mean"]["z"].square().sum()}


@law(
    "conjugate model",
    planted=lambda: [
        *of(log_prior=_squared),
        *changed(lambda each, x, means: each - means["precision"]["z"].square().sum()),
    ],
)
def log_joints_are_linear_in_each_factor(model: ConjugateModel, x: Tree) -> None:
    """In the mean parameters of one factor log priors are affine; log likelihoods convex, as maxima of affine ones."""
    data, state = started(model, x)
    first = cavi.means_of(model, state.natural)
    last = cavi.means_of(model, cavi.update(state, model, data)[0].natural)

    def terms(means: Factors) -> tuple[Tensor, Tensor]:
        return torch.stack(list(model.log_prior(means).values())).sum(), model.log_likelihood(means, data.rows, {})[0]

    for name in model.families:
        moved = {**first, name: last[name]}
        between = {**first, name: trees.map(lambda a, b: 0.5 * (a + b), first[name], last[name])}
        (one, each_one), (other, each_other), (half, each_half) = map(terms, (first, moved, between))
        size = 1 + one.abs() + other.abs()
        assert (one + other - 2 * half).abs() <= 1e-9 * size, f"the log priors are not affine in those of {name}"
        above = 0.5 * (each_one + each_other) - each_half
        slack = 1e-6 * (1 + each_half.abs())
        assert (above >= -slack).all(), f"the log likelihoods are not convex in those of {name}: {above.min():.3g}"


@law(
    "conjugate model",
    planted=lambda: changed(lambda each, x, means: 3 * each - 2 * each.detach()),
)
def sweeps_never_lower_the_elbo(model: ConjugateModel, x: Tree) -> None:
    """Each ELBO is at least the one before, less rounding of its terms, and is their sum."""
    data, state = started(model, x)
    infos, sizes = [], []
    for _ in range(SWEEPS):
        state, info = cavi.update(state, model, data)
        infos.append(info)
        sizes.append(torch.stack(list(info.terms.values())).abs().sum())
        torch.testing.assert_close(torch.stack(list(info.terms.values())).sum(), info.objective)
    elbos = torch.stack([info.objective for info in infos])
    least = -ROUNDING * torch.finfo(elbos.dtype).eps * max(sizes)
    assert elbos.diff().amin() >= least, f"the ELBO falls by {-elbos.diff().amin():.3g} nats"


@law(
    "conjugate model",
    planted=lambda: [
        *changed(lambda each, x, means: each * (1 + 0.1 * x.mean())),
        *changed(lambda each, x, means: each / len(x)),
    ],
)
def natural_gradients_of_batches_are_unbiased(model: ConjugateModel, x: Tree) -> None:
    """The mean step of the first block over every pair of data is that of all of them."""
    data, state = started(model, x)
    n, start = len(trees.leaves(data.rows)[0]), svi.State(state.natural)

    def step(batch: tuple[int, ...]) -> Factors:
        part = trees.map(lambda t: t[list(batch)], data)
        moved = svi.update(start, model, part, n, 0.3)[0].natural
        return {name: moved[name] for name in model.blocks[0]}

    whole = step(tuple(range(n)))
    mean = trees.map(lambda *each: torch.stack(each).mean(0), *map(step, combinations(range(n), 2)))
    for found, expected in zip(trees.leaves(mean), trees.leaves(whole), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8)


def _branching(each: Tensor, x: Tensor, means: Factors) -> Tensor:
    return each if means["precision"]["z"].sum() > 0 else 2 * each


def sweep(model: ConjugateModel, data: cavi.Data) -> Callable[[Factors], tuple[Factors, Tensor]]:
    """A sweep as a function of natural parameters: where they go, and the ELBO."""

    def swept(natural: Factors) -> tuple[Factors, Tensor]:
        state, info = cavi.update(cavi.State(natural, {}), model, data)
        return state.natural, info.objective

    return swept


@law("conjugate model", planted=lambda: changed(_branching))
def sweeps_map(model: ConjugateModel, x: Tree) -> None:
    """vmap of a sweep over starts is a loop."""
    data, state = started(model, x)
    one = state.natural
    both = sweep(model, data)
    other = both(one)[0]
    mapped = vmap(both)(trees.map(lambda a, b: torch.stack([a, b]), one, other))
    looped = trees.map(lambda a, b: torch.stack([a, b]), both(one), both(other))
    for found, expected in zip(trees.leaves(mapped), trees.leaves(looped), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8)


@law("conjugate model", planted=lambda: changed(_branching))
def sweeps_compile(model: ConjugateModel, x: Tree) -> None:
    """A sweep as one graph is the eager one."""
    data, state = started(model, x)
    both = sweep(model, data)
    for found, expected in zip(
        trees.leaves(compiled(both)(state.natural)), trees.leaves(both(state.natural)), strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8)
