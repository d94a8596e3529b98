"""Laws of models of densities: each datum by itself, draws that are the density's own and follow their keys."""

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.func import grad, jvp, vmap

from jensen.core import keys, trees
from jensen.core.contracts import DensityModel
from jensen.core.distributions import DiagNormal
from jensen.core.trees import Params
from jensen.laws._law import Subject, law, spoiled
from jensen.laws.transforms import compiled

KEY = keys.key(33)
DRAWS, DIRECTIONS, ERRORS = 800, 4, 5.0  # errors: a wrong alarm is one in two million for each direction


@dataclasses.dataclass(frozen=True)
class Fitted:
    """x ~ N(loc, exp(log_scale)²), independent coordinates: for planted bugs."""

    def init(self, key: Tensor, x: Tensor, /) -> Params:
        return {"loc": x.mean(0), "log_scale": x.std(0).log()}

    def log_prob(self, params: Params, x: Tensor, /) -> Tensor:
        return self.of(params, len(x)).log_prob(x[None])[0]

    def sample(self, params: Params, key: Tensor, n: int, /) -> Tensor:
        p = self.of(params, n)
        return p.sample(p.noise(key, 1))[0]

    def of(self, params: Params, n: int) -> DiagNormal:
        trees.check_keys(params, ("loc", "log_scale"))
        return DiagNormal(params["loc"].expand(n, -1), params["log_scale"].expand(n, -1))


X = 1 + 2 * keys.normal(keys.key(34), (9, 3), torch.float64)


def of(**methods: Any) -> list[Subject]:
    return [Subject(spoiled(Fitted(), **methods), X)]


def changed(change: Callable[[Tensor, Tensor], Tensor]) -> list[Subject]:
    """With another density, a function of it and of x."""
    return of(log_prob=lambda model, params, x: change(Fitted.log_prob(model, params, x), x))


def redrawn(change: Callable[[Tensor], Tensor]) -> list[Subject]:
    """With other draws, a function of them."""
    return of(sample=lambda model, *given: change(Fitted.sample(model, *given)))


def moved(model: DensityModel, x: Tensor) -> Params:
    """Parameters with noise, for networks may start where layers are 0."""
    seeds = iter(range(10_000))
    noise = lambda t: keys.normal(keys.fold_in(KEY, next(seeds)), t.shape, t.dtype)  # noqa: E731
    return trees.map(lambda t: t + 0.2 * noise(t), model.init(KEY, x))


@law(
    "density model",
    planted=lambda: [
        *changed(lambda log_p, x: log_p.sum()),
        *changed(lambda log_p, x: log_p[:, None]),
        *changed(lambda log_p, x: log_p + x.mean()),
    ],
)
def densities_are_of_each_datum_alone(model: DensityModel, x: Tensor) -> None:
    """log_prob is (n,), and that of the last datum is the one that it has alone."""
    params = moved(model, x)
    log_p = model.log_prob(params, x)
    assert log_p.shape == (len(x),), f"expected log p {(len(x),)}, got {tuple(log_p.shape)}"
    torch.testing.assert_close(log_p[-1:], model.log_prob(params, x[-1:]), rtol=1e-5, atol=1e-5)


def _at_datum_0(model: Fitted, params: Params, key: Tensor, n: int) -> Tensor:
    return torch.cat([Fitted.sample(model, params, key, 1)] * n)


@law(
    "density model",
    planted=lambda: [
        *redrawn(lambda x: x[:-1]),
        *redrawn(lambda x: x.flip(0)),
        *redrawn(lambda x: x + torch.rand(())),
        *of(sample=_at_datum_0),
    ],
)
def draws_follow_their_keys(model: DensityModel, x: Tensor) -> None:
    """sample is (n, *event), draw i is that of keys.at(key, datum=i) alone, and draws differ."""
    params = moved(model, x)
    drawn = model.sample(params, KEY, 8)
    assert drawn.shape == (8, *x.shape[1:]), f"expected {(8, *x.shape[1:])}, got {tuple(drawn.shape)}"
    assert drawn.dtype == x.dtype, f"expected draws in {x.dtype}, as data are, got {drawn.dtype}"
    torch.testing.assert_close(model.sample(params, keys.at(KEY, datum=5), 1), drawn[5:6], rtol=1e-5, atol=1e-5)
    assert len(drawn.unique(dim=0)) > 1, "every draw is the same"


@law(
    "density model",
    planted=lambda: [
        *of(log_prob=lambda model, p, x: Fitted.log_prob(model, p, x) + p["log_scale"].sum()),
        *redrawn(lambda x: x + 1),
        *redrawn(lambda x: 1.3 * x),
    ],
)
def draws_are_of_the_density(model: DensityModel, x: Tensor) -> None:
    """The mean of d log p(x) / d params over draws is 0, along random directions: p is normalised, and they are its."""
    params = moved(model, x)
    drawn = model.sample(params, KEY, DRAWS)
    for i in range(DIRECTIONS):
        seeds = iter(range(10_000 * (i + 1), 10_000 * (i + 2)))
        along = trees.map(lambda t, s=seeds: keys.normal(keys.fold_in(KEY, next(s)), t.shape, t.dtype), params)
        slope = jvp(lambda p: model.log_prob(p, drawn), (params,), (along,))[1].double()
        error = slope.std() / DRAWS**0.5
        assert slope.mean().abs() <= ERRORS * error, f"a mean slope of {slope.mean():.3g} ± {error:.2g}"


@law(
    "density model",
    planted=lambda: [
        *changed(lambda log_p, x: log_p.detach()),
        *changed(lambda log_p, x: log_p + (0 * log_p).sqrt()),
    ],
)
def slopes_reach_every_parameter(model: DensityModel, x: Tensor) -> None:
    """The gradient of log_prob is finite, and not 0, in every parameter that has numbers."""
    slopes = grad(lambda p: model.log_prob(p, x).sin().sum())(moved(model, x))
    for path, slope in trees.paths(slopes).items():
        assert torch.isfinite(slope).all(), f"the gradient of {path} is not finite"
        assert slope.any() or not slope.numel(), f"no gradient reaches {path}"


@law("density model", planted=lambda: of(log_prob=lambda model, p, x: (x / p["log_scale"]).sum(1) + p["loc"].sum()))
def unknown_parameters_of_densities_are_named(model: DensityModel, x: Tensor) -> None:
    """log_prob and sample raise a KeyError that names a parameter they do not know."""
    wrong = {**model.init(KEY, x), "mistyped": torch.zeros(())}
    for call in (lambda: model.log_prob(wrong, x), lambda: model.sample(wrong, KEY, 2)):
        try:
            call()
            said = "none"
        except KeyError as error:
            said = str(error)
        assert "mistyped" in said, f"expected a KeyError that names 'mistyped', got {said}"


def _slopes(model: DensityModel, x: Tensor) -> Callable[[Tensor], Any]:
    """log p and its gradients as a function of x, some data."""
    params = moved(model, x)
    return lambda x: (model.log_prob(params, x), grad(lambda p: model.log_prob(p, x).sum())(params))


@law("density model", planted=lambda: changed(lambda log_p, x: log_p * (1 if x.sum() > 0 else 2)))
def densities_map(model: DensityModel, x: Tensor) -> None:
    """vmap of log_prob and its gradients over batches is a loop."""
    both, batches = _slopes(model, x), torch.stack([x[:2], x[2:4]])
    one, other = (trees.leaves(both(batch)) for batch in batches)
    for mapped, *each in zip(trees.leaves(vmap(both)(batches)), one, other, strict=True):
        torch.testing.assert_close(mapped, torch.stack(each), rtol=1e-4, atol=1e-5)


@law("density model", planted=lambda: changed(lambda log_p, x: log_p if x.sum() > 0 else 2 * log_p))
def densities_compile(model: DensityModel, x: Tensor) -> None:
    """log_prob and its gradients as one graph are the eager ones."""
    both = _slopes(model, x)
    for found, expected in zip(trees.leaves(compiled(both)(x)), trees.leaves(both(x)), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
