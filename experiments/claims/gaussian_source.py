"""A Gaussian source x ~ N(0, Σ): Shannon's rate by reverse water-filling, and what a linear VAE of it is at exactly.

Distortions are squared errors, E |x - x̂|², and rates nats, both per datum.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from jensen.core import keys, objectives, trees
from jensen.core.contracts import Key
from jensen.core.models.latent import vae
from jensen.core.models.latent.likelihoods import GAUSSIAN
from jensen.core.models.latent.vae import VAE
from jensen.core.nn import mlp
from jensen.core.trees import Params

DTYPE = torch.float64


class Source(NamedTuple):
    """x = U diag(λ)^(1/2) ε with a random orthogonal U: variances λ (d,), and their directions (d, d)."""

    variances: Tensor
    directions: Tensor

    @classmethod
    def random(cls, variances: Tensor, key: Key) -> "Source":
        d = len(variances)
        return cls(variances, torch.linalg.qr(keys.normal(key, (d, d), DTYPE)).Q)

    @property
    def covariance(self) -> Tensor:
        return (self.directions * self.variances) @ self.directions.T

    def sample(self, key: Key, n: int) -> Tensor:
        """(n, d)."""
        noise = keys.normal(key, (n, len(self.variances)), DTYPE)
        return (noise * self.variances.sqrt()) @ self.directions.T


def at_level(variances: Tensor, level: float) -> tuple[float, float]:
    """(rate, distortion) at a water level: D_i = min(level, λ_i), R = Σ ½ log(λ_i / D_i).

    The curve's slope there is dR/dD = -1 / (2 level), so that its point minimises D / 2 + level R.
    """
    each = variances.clamp_max(level)
    return 0.5 * (variances / each).log().sum().item(), each.sum().item()


def shannon(variances: Tensor, distortion: float) -> float:
    """R(D), the least rate of any code of this distortion: the water level by bisection; 0 from Σ λ_i on."""
    low, high = 0.0, variances.max().item()
    if distortion >= variances.sum().item():
        return 0.0
    for _ in range(200):
        level = (low + high) / 2
        low, high = (level, high) if variances.clamp_max(level).sum().item() < distortion else (low, level)
    return at_level(variances, high)[0]


class Reached(NamedTuple):
    """Where a linear VAE of a KL weight is after so many steps, over the whole source."""

    beta: float
    step: int
    rate: float  # E KL(q(z | x) || N(0, I))
    distortion: float  # E |x - decoded(z)|²
    least: float  # Shannon's rate at this distortion


def linear_vae(d: int, latent: int) -> VAE:
    """q(z | x) with mean and log scale linear in x, p(x | z) normal with a mean linear in z."""
    return vae.mlp(d, (), latent, likelihood=GAUSSIAN)


def exact(source: Source, params: Params) -> tuple[float, float]:
    """(rate, distortion) of a linear VAE: moments of x ~ N(0, Σ) through its two maps, in closed form."""
    weight, bias = mlp.last(params["encoder"])["weight"], mlp.last(params["encoder"])["bias"]
    (to_loc, to_scale), (loc, log_scale) = weight.chunk(2), bias.chunk(2)
    back, offset = mlp.last(params["decoder"])["weight"], mlp.last(params["decoder"])["bias"]
    sigma = source.covariance
    variance = (2 * log_scale + 2 * _quadratic(to_scale, sigma)).exp()  # E exp(2 log scale), of a log-normal
    second = _quadratic(to_loc, sigma) + loc.square()
    rate = 0.5 * (second + variance - 1 - 2 * log_scale).sum()
    left = torch.eye(len(sigma), dtype=DTYPE) - back @ to_loc
    distortion = _quadratic(left, sigma).sum() + (back @ loc + offset).square().sum() + (back.square() @ variance).sum()
    return rate.item(), distortion.item()


def train(
    source: Source, betas: Sequence[float], latent: int, steps: int, batch: int, lr: float, key: Key
) -> list[Reached]:
    """The ways of linear VAEs by Adam on |x - decoded(z)|² / 2 + β KL, each at some 20 steps and at the last.

    All weights start alike, and are trained side by side on the same batches, each of them new. The likelihood's scale
    stays at 1.
    """
    init_key, data_key, step_key = keys.split(key, 3)
    model = linear_vae(len(source.variances), latent)
    params = model.init(init_key, source.sample(data_key, 1000))
    free = {name: params.pop(name) for name in ("encoder", "decoder")}
    free = trees.map(lambda leaf: leaf.expand(len(betas), *leaf.shape).clone(), free)
    weights = torch.tensor(betas, dtype=DTYPE)

    def loss(free: Params, beta: Tensor, x: Tensor, noise: Tensor) -> Tensor:
        everything = {**params, **free}
        q = model.posterior(everything, x)
        z = q.sample(noise)
        reconstruction = model.likelihood(everything, z).log_prob(x).mean(0)
        kl = objectives.kl(q, model.prior(everything, len(x)), z)
        return -objectives.beta(reconstruction, kl, beta).objective.mean()

    gradient = torch.func.vmap(torch.func.grad(loss), in_dims=(0, 0, None, None))
    adam = torch.optim.Adam(trees.leaves(free), lr)
    schedule = torch.optim.lr_scheduler.LinearLR(adam, 1.0, 1 / steps, steps)
    way = []
    for step in range(steps):
        x_key, noise_key = keys.split(keys.fold_in(step_key, step))
        x, noise = source.sample(x_key, batch), keys.normal(noise_key, (1, batch, latent), DTYPE)
        trees.set_grads(free, gradient(free, weights, x, noise))
        adam.step()
        schedule.step()
        if step % max(1, steps // 20) == 0 or step == steps - 1:
            for i, beta in enumerate(betas):
                way.append(reached(source, trees.map(lambda leaf, i=i: leaf[i], free), beta, step + 1))
    return way


def reached(source: Source, params: Params, beta: float, step: int) -> Reached:
    rate, distortion = exact(source, params)
    return Reached(beta, step, rate, distortion, shannon(source.variances, distortion))


def _quadratic(rows: Tensor, sigma: Tensor) -> Tensor:
    """r Σ r of each row r."""
    return torch.einsum("ij,jk,ik->i", rows, sigma, rows)
