"""What a step maximises, and its gradient: pure functions of parameters, data and a key."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import grad_and_value

from jensen.core import bounds, keys, trees
from jensen.core.models.vae import VAE
from jensen.core.trees import Params
from jensen.estimators.gradients import analytic_kl
from jensen.experiments.data import binarise
from jensen.experiments.settings import Settings


class Terms(NamedTuple):
    """The objective and the two terms of the ELBO, in nats per datum: reconstruction - kl is the ELBO."""

    objective: Float[Tensor, " n"]
    reconstruction: Float[Tensor, " n"]
    kl: Float[Tensor, " n"]


def elbo_terms(
    model: VAE, k: int, free_bits: float, params: Params, x: Tensor, key: Tensor, kl_weight: Tensor
) -> Terms:
    """objective = mean_k log p(x | z) - kl_weight * free_bits(KL)."""
    q = model.posterior(params["encoder"], x)
    log_likelihood = partial(model.log_likelihood, params["decoder"], x)
    return Terms(*analytic_kl(log_likelihood, q, model.prior(x), q.noise(key, k), kl_weight, free_bits))


def iwae_terms(model: VAE, k: int, params: Params, x: Tensor, key: Tensor, kl_weight: Tensor) -> Terms:
    """objective = log mean_k exp(log p(x | z) + kl_weight (log p(z) - log q(z | x)))."""
    q, prior = model.posterior(params["encoder"], x), model.prior(x)
    z = q.sample(q.noise(key, k))
    log_likelihood = model.log_likelihood(params["decoder"], x, z)
    log_w = log_likelihood + kl_weight * (prior.log_prob(z) - q.log_prob(z))
    return Terms(bounds.iwae(log_w), log_likelihood.mean(0), q.kl(prior))


def terms(model: VAE, settings: Settings) -> Callable[..., Terms]:
    """(params, x, key, kl_weight) -> Terms for the run's bound."""
    if settings.bound == "iwae":
        return partial(iwae_terms, model, settings.k)
    return partial(elbo_terms, model, settings.k, settings.free_bits)


def train_step(model: VAE, settings: Settings) -> Callable[..., tuple[Params, Tensor]]:
    """(params, batch, key, step, kl_weight) -> (gradients of minus the mean objective, summary (4,)).

    The summary holds the means of the terms and the gradient's norm before clipping. `step` is a 0-d tensor that
    makes the step's own key; pixels are binarised here when the run does so dynamically.
    """
    objective = terms(model, settings)

    def loss(params: Params, x: Tensor, key: Tensor, kl_weight: Tensor) -> tuple[Tensor, Tensor]:
        means = torch.stack([t.mean() for t in objective(params, x, key, kl_weight)])
        return -means[0], means

    def step_gradient(
        params: Params, batch: Tensor, key: Tensor, step: Tensor, kl_weight: Tensor
    ) -> tuple[Params, Tensor]:
        x, noise_key = inputs(settings, batch, key, step)
        gradient, (_, means) = grad_and_value(loss, has_aux=True)(params, x, noise_key, kl_weight)
        norm = trees.norm(gradient)
        if settings.clip is not None:
            scale = (settings.clip / norm).clamp_max(1.0)
            gradient = trees.map(lambda g: g * scale, gradient)
        return gradient, torch.cat([means.detach(), norm[None].to(means.dtype)])

    return step_gradient


def inputs(settings: Settings, batch: Tensor, key: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
    """What a step's objective takes: its pixels, and the key of its noise."""
    pixel_key, noise_key = keys.split(keys.fold_in(key, step))
    return binarise(pixel_key, batch) if settings.pixels == "dynamic" else batch, noise_key
