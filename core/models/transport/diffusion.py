"""The denoising diffusion model (Sohl-Dickstein et al., 2015; Ho et al., 2020), with every term of its ELBO.

    q(x_t | x_0) = N(sqrt(a_t) x_0, (1 - a_t) I)             a_t = alpha_bar of `levels`, t = 1, ..., T
    p(x_(t-1) | x_t) = N(mean of q(x_(t-1) | x_t, x̂_0), v_t I),   x̂_0 = (x_t - sqrt(1 - a_t) noise(x_t)) / sqrt(a_t)

with x (n, d), and a field that predicts the noise in x_t. v_t is "large", beta_t, or "small", the variance of
q(x_(t-1) | x_t, x_0), and v_1 is beta_1 for both. Small ones are right for data at a point: where the density is smooth
they lose 0.29 nats (half of Euler's constant) or more for each coordinate, most at the first levels, however many
steps there are.

    log p(x_0) >= elbo = reconstruction - sum_{t=2}^T transition_t - prior
    reconstruction = log p(x_0 | x_1),  transition_t = KL(q(x_(t-1) | x_t, x_0) || p(x_(t-1) | x_t)),
    prior = KL(q(x_T | x_0) || N(0, I))
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import (
    check_choice,
    check_count,
    check_floating,
    check_function,
    check_key,
    check_number,
    check_value,
)
from jensen.core.contracts import Key
from jensen.core.models.transport.fields import Field
from jensen.core.models.transport.noise_levels import Levels, NoiseLevels
from jensen.core.models.transport.weightings import SIMPLE, Weighting
from jensen.core.trees import Params

LOG_2PI = math.log(2 * math.pi)


class Terms(NamedTuple):
    """Terms of an ELBO, in nats per datum, (n,) each: elbo = reconstruction - transitions.sum(-1) - prior."""

    reconstruction: Tensor  # log p(x_0 | x_1)
    transitions: Tensor  # (n, T - 1), of t = 2, ..., T
    prior: Tensor  # KL(q(x_T | x_0) || N(0, I))

    @property
    def elbo(self) -> Tensor:
        return self.reconstruction - self.transitions.sum(-1) - self.prior


@dataclass(frozen=True)
class Diffusion:
    """A field of noise and its levels; every method is a pure function of the field's parameters."""

    field: Field
    levels: NoiseLevels
    variance: Literal["small", "large"]
    weighting: Weighting

    @property
    def table(self) -> Levels:
        """What the steps are made of."""
        kept = self.levels.kept()
        before = torch.cat([torch.ones_like(kept[:1]), kept[:-1]])
        beta = 1 - kept / before
        small = beta * (1 - before) / (1 - kept)
        small[0] = beta[0]
        return Levels(kept, before, beta, beta if self.variance == "large" else small)

    def init(self, key: Key, dtype: torch.dtype = torch.float32, /) -> Params:
        """The field's parameters."""
        return self.field.init(key, dtype)

    def noised(
        self, x: Float[Tensor, "... n d"], t: Int[Tensor, "*s n"], noise: Float[Tensor, "*s n d"]
    ) -> Float[Tensor, "*s n d"]:
        """x_t = sqrt(a_t) x_0 + sqrt(1 - a_t) noise, for steps t from 1 to T."""
        kept = self._at(self.table.kept, t, x)
        return kept.sqrt() * x + (1 - kept).sqrt() * noise

    def predicted(self, params: Params, x: Float[Tensor, "*s n d"], t: Int[Tensor, "*s n"]) -> Float[Tensor, "*s n d"]:
        """The noise in x_t, by the field at time t / T."""
        return self.field(params, x, (t / self.levels.steps).to(x.dtype))

    def loss(self, params: Params, x: Float[Tensor, "n d"], key: Key) -> Float[Tensor, " n"]:
        """Squared errors of the noise at a uniform step, summed over coordinates; the paper's have no weights."""
        t, noise = self._chosen(x, key)
        return self._weighted(self.predicted(params, self.noised(x, t, noise), t), noise, t)

    def bound(self, params: Params, x: Float[Tensor, "n d"], key: Key) -> Terms:
        """Every term of the ELBO by one draw of noise each, unbiased; T evaluations of the field for each datum."""
        self._check(x)
        check_key(key)
        steps, table = self.levels.steps, self.table
        t = torch.arange(1, steps + 1, device=x.device)[:, None].expand(steps, len(x))
        noise = keys.normal(key, (steps, *x.shape), x.dtype)
        error = (self.predicted(params, self.noised(x, t, noise), t) - noise).square().sum(-1)
        kept, _, beta, variance = (column.to(x)[:, None] for column in table)
        # the means of q and p differ by beta / sqrt((1 - a_t) (1 - beta)) times the noise's error
        away = beta.square() / ((1 - kept) * (1 - beta)) * error / variance
        ratio = (table.beta * (1 - table.before) / (1 - table.kept) / table.variance)[1:]  # of q's variance to p's
        spread = (x.shape[-1] * (ratio - 1 - ratio.log())).to(x)[:, None]
        reconstruction = -0.5 * (away[0] + x.shape[-1] * (LOG_2PI + variance[0].log()))
        last = table.kept[-1]
        prior = 0.5 * (last * x.square() - last - torch.log1p(-last)).sum(-1)
        return Terms(reconstruction, (0.5 * (away[1:] + spread)).T, prior.to(x.dtype))

    def sample(self, params: Params, key: Key, n: int, dtype: torch.dtype = torch.float32) -> Float[Tensor, "n d"]:
        """The mean of p(x_0 | x_1), from x_T ~ N(0, I) through every step (ancestral sampling)."""
        return self._run(params, key, n, self.levels.steps, None, dtype)

    def implicit(
        self, params: Params, key: Key, n: int, steps: int, eta: float = 0.0, dtype: torch.dtype = torch.float32
    ) -> Float[Tensor, "n d"]:
        """x_0 by `steps` of the levels, evenly spread (DDIM; Song et al., 2021).

        eta = 0 draws x_T alone and is deterministic from there; 1 has the noise of the small variances.
        """
        steps, eta = check_count("steps", steps), check_number("eta", eta, "[0, 1]")
        if steps > self.levels.steps:
            raise ValueError(f"expected steps of at most the {self.levels.steps} levels, got {steps}: take fewer")
        return self._run(params, key, n, steps, eta, dtype)

    @torch.no_grad()
    def _run(
        self, params: Params, key: Key, n: int, steps: int, eta: float | None, dtype: torch.dtype
    ) -> Float[Tensor, "n d"]:
        check_key(key)
        shape, table = (1, check_count("n", n), self.field.data), self.table
        x = keys.normal(keys.fold_in(key, 0), shape, dtype)[0]
        visited = torch.linspace(self.levels.steps, 0, steps + 1, dtype=torch.float64).round().long().tolist()
        for now, after in pairwise(visited):
            kept, target = table.kept[now - 1].item(), table.kept[after - 1].item() if after else 1.0
            noise = self.predicted(params, x, torch.full((n,), now, device=x.device))
            clean = (x - math.sqrt(1 - kept) * noise) / math.sqrt(kept)
            beta = 1 - kept / target
            small = (1 - target) / (1 - kept) * beta * (1.0 if eta is None else eta**2)
            x = math.sqrt(target) * clean + math.sqrt(max(0.0, 1 - target - small)) * noise
            spread = beta if eta is None and self.variance == "large" else small
            if after and spread:
                x = x + math.sqrt(spread) * keys.normal(keys.fold_in(key, now), shape, dtype)[0]
        return x

    def _chosen(self, x: Tensor, key: Key) -> tuple[Tensor, Tensor]:
        """A uniform step and noise for each row of x."""
        self._check(x)
        check_key(key)
        step_key, noise_key = keys.split(key)
        t = 1 + (keys.bits(step_key, (1, len(x)))[0] % self.levels.steps)
        return t, keys.normal(noise_key, (1, *x.shape), x.dtype)[0]

    def _weighted(self, predicted: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """The loss of what is predicted of the noise."""
        return self._at(self.weighting(self.table), t, noise)[..., 0] * (predicted - noise).square().sum(-1)

    def _at(self, column: Tensor, t: Tensor, x: Tensor) -> Tensor:
        return column.to(x)[t - 1][..., None]

    def _check(self, x: Tensor) -> None:
        check_floating("x", x, f"n {self.field.data}", "one row per datum")


def build(
    field: Field, levels: NoiseLevels, variance: Literal["small", "large"] = "large", weighting: Weighting = SIMPLE
) -> Diffusion:
    """A diffusion of these levels, whose errors count in the loss as `weightings` has them."""
    check_value("field", field, Field, "fields.mlp(2)")
    check_value("levels", levels, NoiseLevels, "noise_levels.linear(1000)")
    check_choice("variance", variance, ("small", "large"))
    check_function("weighting", weighting, "weightings.BOUND")
    return Diffusion(field, levels, variance, weighting)
