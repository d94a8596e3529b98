"""What the gradient laboratory measures on: four kinds of problem, and the estimators that each can take.

A problem is a function of parameters that builds q and log_p, so that one `grad` gives theta's and phi's gradients.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.func import grad

from jensen.core import bounds, keys, trees
from jensen.core.distributions import Bernoulli, DiagNormal
from jensen.core.models import vae
from jensen.core.nn import mlp
from jensen.core.trees import Params
from jensen.estimators import gradients as g
from jensen.estimators.gradients import baselines
from jensen.estimators.gradients.contract import LogDensity
from jensen.estimators.gradients.control_variates import Control
from jensen.experiments.data import binarise, digits

KEY = keys.key(2024)
Estimator = Callable[..., Tensor]  # (log_p, q, noise) -> (n,)

PATH: dict[str, Estimator] = {
    "pathwise": g.pathwise,
    "STL": g.stl,
    "pathwise, IWAE": partial(g.pathwise, bound=bounds.iwae),
    "DReG, IWAE": g.dreg,
}
SCORE: dict[str, Estimator] = {
    "REINFORCE": g.score,
    "RLOO": partial(g.score, baseline=baselines.leave_one_out),
    "optimal scalar": partial(g.score, baseline=baselines.optimal),
    "VarGrad": g.vargrad,
    "REINFORCE, IWAE": partial(g.score, bound=bounds.iwae),
    "VIMCO, IWAE": partial(g.score, bound=bounds.iwae, baseline=baselines.vimco),
    "wake": g.wake,
}
DISCRETE: dict[str, Estimator] = {
    "MuProp": g.muprop,
    "ARM": g.arm,
    "DisARM": g.disarm,
    "REBAR": g.rebar,
    "straight-through": g.straight_through,
    "Gumbel straight-through": partial(g.gumbel_straight_through, temperature=1.0),
    "Concrete": partial(g.concrete, temperature=0.5),
}
FEW_VALUES: dict[str, Estimator] = {
    "enumeration": lambda log_p, q, u: g.exact(log_p, q),
    "measure-valued": g.measure_valued,
}
LEAST_TWO = ("DReG, IWAE", "RLOO", "optimal scalar", "VarGrad", "VIMCO, IWAE", "wake")
NO_SAMPLES = ("enumeration",)


class Problem(NamedTuple):
    """params hold "theta" and "phi"; exact is the ELBO's gradient where it is known."""

    name: str
    params: Params
    build: Callable[[Params], tuple[Any, LogDensity]]
    estimators: dict[str, Estimator]
    exact: Params | None
    reps: int = 10_000  # most gradients that fit in memory

    def gradient(self, estimate: Estimator, k: int, key: Tensor) -> Params:
        """The estimate at k samples, of the mean over data."""

        def value(params: Params) -> Tensor:
            q, log_p = self.build(params)
            return estimate(log_p, q, q.noise(key, k)).mean()

        return grad(value)(self.params)


def all_problems() -> list[Problem]:
    return [
        *(linear_gaussian(distance) for distance in (0.0, 0.1, 1.0)),
        eight_bernoullis(),
        *(toy(t) for t in (0.45, 0.499)),
        digits_vae(),
    ]


def linear_gaussian(distance: float, d: int = 4, data: int = 8) -> Problem:
    """z ~ N(0, I), x | z ~ N(W z, I) with orthogonal columns, q its posterior moved by `distance` standard deviations.

    W's columns are orthogonal, so that the posterior is a diagonal normal; both loc and log_scale are moved.
    """
    basis = torch.linalg.qr(keys.normal(KEY, (data, d), torch.float64))[0]
    weight = basis * torch.linspace(0.5, 2.0, d, dtype=torch.float64)
    x = keys.normal(keys.fold_in(KEY, 1), (1, data), torch.float64) * 1.5
    precision = 1 + weight.square().sum(0)
    log_scale = -0.5 * precision.log()
    phi = {"loc": x @ weight / precision + distance * torch.exp(log_scale), "log_scale": log_scale[None] + distance / 2}
    params = {"theta": {"weight": weight}, "phi": phi}

    def build(params: Params) -> tuple[DiagNormal, LogDensity]:
        weight = params["theta"]["weight"]

        def log_p(z: Tensor) -> Tensor:
            return _standard(z) + _standard(x - z @ weight.T)

        return DiagNormal(**params["phi"]), log_p

    def elbo(params: Params) -> Tensor:
        q, log_p = build(params)
        corners = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=torch.float64)] * d)[:, None]
        return (log_p(q.sample(corners)).mean(0) + q.entropy()).mean()  # exact: log_p is quadratic

    estimators = {**PATH, **SCORE, "measure-valued": g.measure_valued}
    return Problem(f"linear Gaussian, {distance:g} sd off", params, build, estimators, grad(elbo)(params))


def eight_bernoullis(d: int = 8, data: int = 20, tuning: int = 500) -> Problem:
    """A sigmoid belief net of eight latents, and a q with logits of its own."""
    each = keys.split(KEY, 5)
    weight, prior, logits = (
        keys.normal(k, shape, torch.float64)
        for k, shape in zip(each[:3], [(data, d), (d,), (1, d)], strict=True)
    )  # fmt: skip
    x = (keys.uniform(each[3], (1, data), torch.float64) < 0.5).double()
    params = {"theta": {"weight": weight, "prior": prior}, "phi": {"logits": logits}}

    def build(params: Params) -> tuple[Bernoulli, LogDensity]:
        theta = params["theta"]

        def log_p(z: Tensor) -> Tensor:
            return Bernoulli(theta["prior"]).log_prob(z) + Bernoulli(z @ theta["weight"].T).log_prob(x)

        return Bernoulli(**params["phi"]), log_p

    return _enumerable("8 Bernoullis", params, build, {**SCORE, **DISCRETE, **FEW_VALUES}, tuning)


def toy(t: float, tuning: int = 500) -> Problem:
    """Minimise E (b - t)^2 over b ~ Bernoulli(sigmoid(eta)) at eta = 0 (Tucker et al., 2017): log_w is -(b - t)^2."""
    params = {"phi": {"logits": torch.zeros(1, 1, dtype=torch.float64)}}

    def build(params: Params) -> tuple[Bernoulli, LogDensity]:
        q = Bernoulli(**params["phi"])
        frozen = trees.stop(q)
        return q, lambda b: -(b - t).square().sum(-1) + frozen.log_prob(b)

    of_elbo = {name: f for name, f in SCORE.items() if "IWAE" not in name and name != "wake"}
    return _enumerable(f"(b - {t:g})^2", params, build, {**of_elbo, **DISCRETE, **FEW_VALUES}, tuning)


def digits_vae(images: int = 10, steps: int = 300) -> Problem:
    """A VAE of 64-64-8 on scikit-learn's digits after a short training: the gradient over ten images."""
    grey = digits().train
    model = vae.mlp(64, (64,), 8)
    params = model.init(KEY, grey.mean(0))
    adam = torch.optim.Adam(trees.leaves(params), lr=3e-3)

    def build(x: Tensor, params: Params) -> tuple[DiagNormal, LogDensity]:
        return model.posterior(params["phi"], x), partial(model.log_joint, params["theta"], x)

    for step in range(steps):
        order, pixels, noise = keys.split(keys.fold_in(KEY, step), 3)
        x = binarise(pixels, grey[keys.permutation(order, len(grey))[:100]])

        def loss(params: Params, x: Tensor = x, noise: Tensor = noise) -> Tensor:
            q, log_p = build(x, {"phi": params["encoder"], "theta": params["decoder"]})
            return -g.stl(log_p, q, q.noise(noise, 1)).mean()

        for leaf, slope in zip(trees.leaves(params), trees.leaves(grad(loss)(params)), strict=True):
            leaf.grad = slope
        adam.step()
    fitted = {"theta": trees.stop(params["decoder"]), "phi": trees.stop(params["encoder"])}
    return Problem("digits VAE", fitted, partial(build, binarise(KEY, grey[:images])), {**PATH, **SCORE}, None, 500)


def _enumerable(name: str, params: Params, build: Callable, estimators: dict[str, Estimator], tuning: int) -> Problem:
    def elbo(params: Params) -> Tensor:
        q, log_p = build(params)
        return g.exact(log_p, q).mean()

    fitted = {"REBAR, tuned": tuned(params, build, 0, tuning), "RELAX, tuned": tuned(params, build, 10, tuning)}
    return Problem(name, params, build, {**estimators, **fitted}, grad(elbo)(params))


def tuned(params: Params, build: Callable, hidden: int, steps: int) -> Estimator:
    """`relax` with eta log_w at t relaxed, and a small network of t where hidden > 0, fitted to the second moment.

    eta and the temperature start at 0.5; everything is fixed before anything is measured.
    """
    q, log_p = build(params)
    half = torch.tensor(0.5, dtype=q.logits.dtype)
    start: Params = {"eta": half, "log_temperature": half.log()}
    if hidden:
        start["network"] = mlp.init(KEY, (q.logits.shape[-1], hidden, 1), dtype=half.dtype)

    def control(fitted: Params, log_p: LogDensity, q: Bernoulli) -> Control:
        relaxed = g.relaxed_density(log_p, q, fitted["log_temperature"].exp(), fitted["eta"])
        if not hidden:
            return relaxed
        return lambda t: relaxed(t) + mlp.apply(fitted["network"], t)[..., 0]

    def loss(fitted: Params, key: Tensor) -> Tensor:
        return g.second_moment(log_p, q, q.noise(key, 50), control(fitted, log_p, q)).mean()

    def estimate(log_p: LogDensity, q: Bernoulli, u: Tensor) -> Tensor:
        return g.relax(log_p, q, u, control(start, log_p, q))

    adam = torch.optim.Adam(trees.leaves(start), lr=0.05)
    for step in range(steps):
        slopes = grad(loss)(start, keys.fold_in(KEY, step))
        for leaf, slope in zip(trees.leaves(start), trees.leaves(slopes), strict=True):
            leaf.grad = slope
        adam.step()
    return estimate


def _standard(z: Tensor) -> Tensor:
    return -0.5 * (z.square() + math.log(2 * math.pi)).sum(-1)
