"""What the gradient laboratory measures on: four kinds of problem, each with the estimators that can take it.

A problem is a function of parameters that builds q and log_p, so that one `grad` gives theta's and phi's gradients.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.func import grad

from jensen.core import bounds, keys, trees
from jensen.core.contracts import Bound, Distribution, Key, LogDensity
from jensen.core.distributions import Bernoulli, DiagNormal
from jensen.core.models.latent import vae
from jensen.core.trees import Params
from jensen.estimators import gradients as g
from jensen.experiments.claims.contenders import Contender, Discrete, Tuned, contenders, tuned
from jensen.experiments.data.images import digits
from jensen.experiments.data.pixels import binarise

KEY = keys.key(2024)
Build: TypeAlias = Callable[[Params], tuple[Distribution, LogDensity]]


class Problem(NamedTuple):
    """params hold "theta" and "phi"; exact is the ELBO's gradient where it is known."""

    name: str
    params: Params
    build: Build
    estimators: tuple[Contender | Tuned, ...]
    exact: Params | None
    reps: int = 10_000  # most gradients that fit in memory

    def gradient(self, estimate: Contender | Tuned, k: int, key: Key) -> Params:
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

    each = tuple(contenders(build(params)[0]))
    return Problem(f"linear Gaussian, {distance:g} sd off", params, build, each, grad(elbo)(params))


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

    return _enumerable("8 Bernoullis", params, build, (bounds.elbo, bounds.iwae), tuning)


def toy(t: float, tuning: int = 500) -> Problem:
    """Minimise E (b - t)^2 over b ~ Bernoulli(sigmoid(eta)) at eta = 0 (Tucker et al., 2017): log_w is -(b - t)^2."""
    params = {"phi": {"logits": torch.zeros(1, 1, dtype=torch.float64)}}

    def build(params: Params) -> tuple[Bernoulli, LogDensity]:
        q = Bernoulli(**params["phi"])
        frozen = trees.stop(q)
        return q, lambda b: -(b - t).square().sum(-1) + frozen.log_prob(b)

    return _enumerable(f"(b - {t:g})^2", params, build, (bounds.elbo,), tuning)


def digits_vae(images: int = 10, steps: int = 300) -> Problem:
    """A VAE of 64-64-8 on scikit-learn's digits after a short training: the gradient over ten images."""
    grey = digits().train
    model = vae.mlp(64, (64,), 8)
    params = model.init(KEY, grey)
    adam = torch.optim.Adam(trees.leaves(params), lr=3e-3)

    def loss(params: Params, x: Tensor, noise: Key) -> Tensor:
        q = model.posterior(params, x)
        return -g.stl(partial(model.log_joint, params, x), q, q.noise(noise, 1)).mean()

    for step in range(steps):
        order, pixels, noise = keys.split(keys.fold_in(KEY, step), 3)
        x = binarise(pixels, grey[keys.permutation(order, len(grey))[:100]])
        trees.set_grads(params, grad(loss)(params, x, noise))
        adam.step()
    fitted, x = trees.stop(params), binarise(KEY, grey[:images])

    def build(params: Params) -> tuple[Distribution, LogDensity]:
        return model.posterior(params["phi"], x), partial(model.log_joint, params["theta"], x)

    each = tuple(contenders(model.posterior(fitted, x), without=("measure_valued",)))  # 25 evaluations per sample
    return Problem("digits VAE", {"theta": fitted, "phi": fitted}, build, each, None, 500)


def _enumerable(name: str, params: Params, build: Discrete, of: tuple[Bound, ...], tuning: int) -> Problem:
    def elbo(params: Params) -> Tensor:
        q, log_p = build(params)
        return g.exact(log_p, q).mean()

    fitted = (
        Tuned("rebar, tuned", tuned(params, build, 0, tuning)),
        Tuned("relax, tuned", tuned(params, build, 10, tuning)),
    )
    each = (*contenders(build(params)[0], of=of), *fitted)
    return Problem(name, params, build, each, grad(elbo)(params))


def _standard(z: Tensor) -> Tensor:
    return -0.5 * (z.square() + math.log(2 * math.pi)).sum(-1)
