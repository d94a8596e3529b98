"""The contenders of the gradient laboratory: the catalogue's estimators that can take q, and tuned ones."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.func import grad

from jensen.core import bounds, keys, trees
from jensen.core.contracts import Bound, Distribution, Key, LogDensity
from jensen.core.distributions import Bernoulli
from jensen.core.nn import mlp
from jensen.core.trees import Params
from jensen.estimators import gradients as g
from jensen.estimators.gradients import baselines, catalogue
from jensen.estimators.gradients.control_variates import Control

KEY = keys.key(2024)
HALVES = ("wake_theta", "wake_phi")  # `wake` is both
Discrete: TypeAlias = Callable[[Params], tuple[Bernoulli, LogDensity]]


@dataclass(frozen=True)
class Contender:
    """An estimator of a bound, with a baseline where it is `score`; what the catalogue says of it is asked by name."""

    estimator: str
    bound: Bound = bounds.elbo
    baseline: str | None = None

    @property
    def name(self) -> str:
        of = "" if self.bound == bounds.elbo else ", IWAE"
        return f"{self.estimator}{f' with {self.baseline}' if self.baseline else ''}{of}"

    def can(self, q: Distribution, k: int) -> bool:
        """Whether the catalogue lets it take q and k samples."""
        try:
            catalogue.check(self.estimator, q, self.bound, k)
            if self.baseline:
                catalogue.check_baseline(self.baseline, q, self.bound, k)
        except (TypeError, ValueError):
            return False
        return True

    def __call__(self, log_p: LogDensity, q: Distribution, noise: Tensor, /) -> Tensor:
        options = {"baseline": getattr(baselines, self.baseline)} if self.baseline else {}
        return getattr(g, self.estimator)(log_p, q, noise, bound=self.bound, **options)


def contenders(
    q: Distribution, without: tuple[str, ...] = (), of: tuple[Bound, ...] = (bounds.elbo, bounds.iwae)
) -> Iterator[Contender]:
    """Every row of the catalogue that takes q and needs no option beyond it, under its own bound and under IWAE."""
    for name, row in catalogue.ROWS.items():
        parameters = inspect.signature(getattr(g, name)).parameters.values()
        options = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
        if name in (*HALVES, *without) or inspect.Parameter.empty in options.values():
            continue
        for bound in of:
            if bound == options["bound"] or bound == bounds.iwae:
                yield from (each for each in with_baselines(name, bound, row.baseline) if each.can(q, 10))


def with_baselines(name: str, bound: Bound, takes: bool) -> Iterator[Contender]:
    yield Contender(name, bound)
    for baseline in catalogue.BASELINES if takes else ():
        stateless = not isinstance(getattr(baselines, baseline), type)
        own = bounds.iwae if baseline == "vimco" else bounds.elbo
        if stateless and baseline != "none" and bound == own:
            yield Contender(name, bound, baseline)


class Tuned(NamedTuple):
    """`relax` with a control variate fitted before anything is measured."""

    name: str
    estimate: Callable[[LogDensity, Any, Tensor], Tensor]
    bound: Bound = bounds.elbo

    def can(self, q: Distribution, k: int) -> bool:
        return True

    def __call__(self, log_p: LogDensity, q: Distribution, noise: Tensor, /) -> Tensor:
        return self.estimate(log_p, q, noise)


def tuned(params: Params, build: Discrete, hidden: int, steps: int) -> Callable[[LogDensity, Any, Tensor], Tensor]:
    """`relax` with eta log_w at t relaxed, and a small network of t where hidden > 0, fitted to the second moment.

    eta and the temperature start at 0.5; everything is fixed before anything is measured.
    """
    q, log_p = build(params)
    half = torch.tensor(0.5, dtype=torch.float64)
    start: Params = {"eta": half, "log_temperature": half.log()}
    if hidden:
        width = q.sample(q.noise(KEY, 1)).shape[-1]
        start["network"] = mlp.init(KEY, (width, hidden, 1), dtype=half.dtype)

    def control(fitted: Params, log_p: LogDensity, q: Bernoulli) -> Control:
        relaxed = g.relaxed_density(log_p, q, fitted["log_temperature"].exp(), fitted["eta"])
        if not hidden:
            return relaxed
        return lambda t: relaxed(t) + mlp.apply(fitted["network"], t)[..., 0]

    def loss(fitted: Params, key: Key) -> Tensor:
        return g.second_moment(log_p, q, q.noise(key, 50), control=control(fitted, log_p, q)).mean()

    def estimate(log_p: LogDensity, q: Bernoulli, noise: Tensor, /) -> Tensor:
        return g.relax(log_p, q, noise, control=control(start, log_p, q))

    adam = torch.optim.Adam(trees.leaves(start), lr=0.05)
    for step in range(steps):
        trees.set_grads(start, grad(loss)(start, keys.fold_in(KEY, step)))
        adam.step()
    return estimate
