"""Models with exact gradients of bounds, and draws of an estimator's gradient on them.

A gate is a point away from the posterior with a large gradient, so that a biased estimator is many standard errors off.
Parameters are {"theta": those of log_p, "phi": q's fields}, each a dict.
"""

import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.func import grad, vmap

from jensen.core import keys
from jensen.core.distributions import Bernoulli, Categorical, DiagNormal
from jensen.laws.oracles import LinearGaussian, SigmoidBelief, normal_log_density

KEY = keys.key(11)
Params = dict[str, dict[str, Tensor]]
Combine = Callable[[Tensor], Tensor]  # log weights (s, m) -> bound (m,)


def elbo(log_w: Tensor) -> Tensor:
    return log_w.mean(0)


def iwae(log_w: Tensor) -> Tensor:
    return torch.logsumexp(log_w, 0) - math.log(len(log_w))


def renyi_half(log_w: Tensor) -> Tensor:
    return 2 * (torch.logsumexp(0.5 * log_w, 0) - math.log(len(log_w)))


class Gate(NamedTuple):
    params: Params
    posterior: Callable[[dict[str, Tensor]], Any]
    log_joint: Callable[[dict[str, Tensor], Tensor], Tensor]
    points: Callable[[dict[str, Tensor]], tuple[Tensor, Tensor]]  # values z (m, n, *d) of q, log masses of each (m, n)
    log_q: Callable[[dict[str, Tensor], Tensor], Tensor]

    def exact(self, bound: Combine, s: int) -> Params:
        """The gradient of the exact bound at s samples, summed over data: every s-tuple of points."""
        return grad(lambda params: self.bound_at(params, bound, s).sum())(self.params)

    def exact_value(self, bound: Combine, s: int) -> Tensor:
        """The exact bound at s samples, (n,)."""
        return self.bound_at(self.params, bound, s)

    def bound_at(self, params: Params, bound: Combine, s: int) -> Tensor:
        z, log_mass = self.points(params["phi"])
        log_w = self.log_joint(params["theta"], z) - self.log_q(params["phi"], z)
        index = torch.tensor(list(itertools.product(range(len(z)), repeat=s))).T  # (s, tuples)
        total = bound(log_w[index].flatten(1)).reshape(index.shape[1], -1)
        return (log_mass[index].sum(0).exp() * total).sum(0)

    def draws(self, estimate: Callable[..., Tensor], s: int, reps: int = 20_000, key: Tensor = KEY) -> Params:
        """Independent gradients of estimate(log_p, q, noise), summed over data, one per key."""
        return vmap(self.gradient(estimate, s), in_dims=(None, 0))(self.params, keys.split(key, reps))

    def gradient(self, estimate: Callable[..., Tensor], s: int) -> Callable[[Params, Tensor], Params]:
        return grad(lambda params, key: self.value(estimate, s, params, key).sum())

    def value(self, estimate: Callable[..., Tensor], s: int, params: Params, key: Tensor) -> Tensor:
        q = self.posterior(params["phi"])
        return estimate(lambda z: self.log_joint(params["theta"], z), q, q.noise(key, s))


def random(index: int, *shape: int) -> Tensor:
    return keys.normal(keys.fold_in(KEY, index), shape, torch.float64)


def normal_points(nodes: int) -> Callable[[dict[str, Tensor]], tuple[Tensor, Tensor]]:
    """Gauss-Hermite quadrature of a one-dimensional normal."""
    x, w = (torch.as_tensor(a) for a in np.polynomial.hermite_e.hermegauss(nodes))

    def points(phi: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        z = phi["loc"] + torch.exp(phi["log_scale"]) * x[:, None, None]
        return z, torch.log(w / w.sum())[:, None].expand(-1, len(phi["loc"]))

    return points


def linear_gaussian() -> Gate:
    """x (2, 3), z one-dimensional, so that two samples are a plane of quadrature nodes."""
    x = random(2, 2, 3)
    theta = {"weight": random(0, 3, 1), "bias": random(1, 3), "log_sigma": torch.tensor(-0.3, dtype=torch.float64)}
    phi = {"loc": random(3, 2, 1) + 0.5, "log_scale": 0.3 * random(4, 2, 1)}
    return Gate(
        {"theta": theta, "phi": phi},
        lambda phi: DiagNormal(**phi),
        lambda theta, z: LinearGaussian(**theta, x=x).log_joint(z),
        normal_points(60),
        lambda phi, z: normal_log_density(z, **phi),
    )


def mixture() -> Gate:
    """Two modes: z ~ 0.7 N(a, s^2) + 0.3 N(b, s^2), x | z ~ N(c z^2, 1), q a normal on one slope between the modes."""
    x = torch.tensor([[1.5], [2.5]], dtype=torch.float64)
    theta = {
        "means": torch.tensor([-1.6, 1.4], dtype=torch.float64),
        "log_scale": torch.tensor(-0.2, dtype=torch.float64),
        "curve": torch.tensor(0.8, dtype=torch.float64),
    }
    phi = {
        "loc": torch.tensor([[0.5], [-0.4]], dtype=torch.float64),
        "log_scale": torch.tensor([[-0.4], [-0.1]], dtype=torch.float64),
    }

    def log_joint(theta: dict[str, Tensor], z: Tensor) -> Tensor:
        each = [
            math.log(p) + normal_log_density(z, mean, theta["log_scale"])
            for p, mean in zip((0.7, 0.3), theta["means"], strict=True)
        ]
        return torch.logaddexp(*each) + normal_log_density(x, theta["curve"] * z.square(), torch.zeros(()))

    return Gate(
        {"theta": theta, "phi": phi},
        lambda phi: DiagNormal(**phi),
        log_joint,
        normal_points(100),
        lambda phi, z: normal_log_density(z, **phi),
    )


def four_bernoullis() -> Gate:
    """A sigmoid belief net of four latents and five pixels, two data: sixteen values."""
    x = torch.tensor([[1, 0, 1, 1, 0], [0, 0, 1, 0, 1]], dtype=torch.float64)
    theta = {"prior": 0.5 * random(5, 4), "weight": random(6, 5, 4), "bias": 0.5 * random(7, 5)}
    model = SigmoidBelief(**theta, x=x)

    def log_q(phi: dict[str, Tensor], z: Tensor) -> Tensor:
        return torch.distributions.Bernoulli(logits=phi["logits"], validate_args=False).log_prob(z).sum(-1)

    return Gate(
        {"theta": theta, "phi": {"logits": random(8, 2, 4)}},
        lambda phi: Bernoulli(**phi),
        lambda theta, z: SigmoidBelief(**theta, x=x).log_joint(z),
        lambda phi: (model.support(), log_q(phi, model.support())),
        log_q,
    )


def three_categoricals() -> Gate:
    """Three four-way choices and five pixels, one datum: sixty-four values, one-hot."""
    x = torch.tensor([[1, 0, 1, 1, 0]], dtype=torch.float64)
    theta = {"prior": random(9, 3, 4), "weight": random(10, 5, 12), "bias": 0.5 * random(12, 5)}
    one_hot = torch.eye(4, dtype=torch.float64)
    support = torch.stack([one_hot[list(c)] for c in itertools.product(range(4), repeat=3)])[:, None]

    def log_q(logits: Tensor, z: Tensor) -> Tensor:
        return (z * torch.log_softmax(logits, -1)).sum((-2, -1))

    def log_joint(theta: dict[str, Tensor], z: Tensor) -> Tensor:
        logits = z.flatten(-2) @ theta["weight"].T + theta["bias"]
        pixels = torch.distributions.Bernoulli(logits=logits, validate_args=False).log_prob(x).sum(-1)
        return log_q(theta["prior"], z) + pixels

    return Gate(
        {"theta": theta, "phi": {"logits": random(13, 1, 3, 4)}},
        lambda phi: Categorical(**phi),
        log_joint,
        lambda phi: (support, log_q(phi["logits"], support)),
        lambda phi, z: log_q(phi["logits"], z),
    )
