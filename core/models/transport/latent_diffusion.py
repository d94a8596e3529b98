"""Latent diffusion (Rombach et al., 2022): a diffusion as the prior of a latent-variable model that is trained before.

    u = (z - loc) / scale,    z ~ q(z | x)                    loc and scale of such draws for training data
    log p(x) >= elbo = E_q[log p(x | z)] + H(q(z | x)) + E_q[log p(z)]
    log p(z)         >= the diffusion's elbo of u - sum_d log scale_d

The diffusion takes the place of the prior in the model's own ELBO (Vahdat et al., 2021; Wehenkel and Louppe, 2021), so
that the two compare: what the aggregated posterior has, and the model's prior lacks, is what it gains. Encoder and
decoder stay as they are, so that the second stage has no gradient in them.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_floating, check_key, check_value, described
from jensen.core.contracts import Key, LatentModel
from jensen.core.distributions import draw
from jensen.core.models.transport.diffusion import Diffusion
from jensen.core.trees import Params

LEAST = 1e-3  # deviation of a latent, of those that collapsed to a point


class First(NamedTuple):
    """What the first stage leaves: the model's parameters, and what latents are standardised by."""

    params: Params
    loc: Float[Tensor, " d"]
    log_scale: Float[Tensor, " d"]


class Terms(NamedTuple):
    """Terms of the ELBO at one draw z of q, in nats per datum, (n,) each."""

    reconstruction: Tensor  # log p(x | z)
    entropy: Tensor  # -log q(z | x)
    log_prior: Tensor  # the diffusion's bound on log p(z)
    own_log_prior: Tensor  # log p(z) of the model's own prior

    @property
    def elbo(self) -> Tensor:
        return self.reconstruction + self.entropy + self.log_prior

    @property
    def own_elbo(self) -> Tensor:
        """The model's, at the same draw."""
        return self.reconstruction + self.entropy + self.own_log_prior


@dataclass(frozen=True)
class LatentDiffusion:
    """A model of z (n, d) and a diffusion of it; every method is a pure function of the diffusion's parameters."""

    model: LatentModel
    prior: Diffusion

    def init(self, key: Key, dtype: torch.dtype = torch.float32, /) -> Params:
        """The diffusion's parameters."""
        return self.prior.init(key, dtype)

    def first(self, params: Params, x: Float[Tensor, "N D"], key: Key) -> First:
        """The model's parameters, with the moments of one draw of q for each of the training data."""
        check_key(key)
        z = self._drawn(params, x, key)[0]
        return First(params, z.mean(0), z.std(0).clamp_min(LEAST).log())

    def loss(self, params: Params, first: First, x: Float[Tensor, "n D"], key: Key) -> Float[Tensor, " n"]:
        """The diffusion's loss at a new draw z of q for each datum, as the bound has it; means would be no draws."""
        _check(first)
        check_key(key)
        draw_key, loss_key = keys.split(key)
        return self.prior.loss(params, self._standardised(first, self._drawn(first.params, x, draw_key)[0]), loss_key)

    def bound(self, params: Params, first: First, x: Float[Tensor, "n D"], key: Key) -> Terms:
        """Every term by one draw of q and of each step's noise, unbiased; T evaluations of the field for each datum."""
        _check(first)
        check_key(key)
        draw_key, bound_key = keys.split(key)
        z, log_q = self._drawn(first.params, x, draw_key)
        log_prior = self.prior.bound(params, self._standardised(first, z), bound_key).elbo - first.log_scale.sum()
        own_log_prior = self.model.log_prior(first.params, z[None])[0]
        return Terms(self.model.likelihood(first.params, z[None]).log_prob(x)[0], -log_q, log_prior, own_log_prior)

    def sample(self, params: Params, first: First, key: Key, n: int) -> Float[Tensor, "n d"]:
        """z by the diffusion's every step; model.likelihood(first.params, z[None]) is what it is decoded to."""
        _check(first)
        return first.loc + first.log_scale.exp() * self.prior.sample(params, key, n, first.loc.dtype)

    def _standardised(self, first: First, z: Tensor) -> Tensor:
        return (z - first.loc) * torch.exp(-first.log_scale)

    def _drawn(self, params: Params, x: Tensor, key: Key) -> tuple[Tensor, Tensor]:
        """z (n, d) and log q(z | x), (n,). TypeError for latents that are no real vectors."""
        q = self.model.posterior(params, x)
        if not q.reparameterised:
            raise TypeError(f"expected a model of real latents, got q a {type(q).__name__}: a diffusion has a density")
        z, log_q = draw(q, key, 1)
        check_floating("z", z, f"1 n {self.prior.field.data}", "the model's latents are the field's coordinates")
        return z[0], log_q[0]


def build(model: LatentModel, prior: Diffusion) -> LatentDiffusion:
    """A diffusion in a model's latents, of which it has as many coordinates."""
    check_value("model", model, LatentModel, "vae.mlp(784, (200,), 16)")
    check_value("prior", prior, Diffusion, "diffusion.build(dit.vector(16, 8), noise_levels.linear(200))")
    return LatentDiffusion(model, prior)


def _check(first: object) -> None:
    if not isinstance(first, First):
        raise TypeError(f"expected first, what LatentDiffusion.first gives, got {described(first)}: call that first")
