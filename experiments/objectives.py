"""What a step maximises, and its gradient: pure functions of parameters, data and a key."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import grad_and_value

from jensen.core import bounds, keys, trees
from jensen.core.models import Model
from jensen.core.models.vae import VAE
from jensen.core.trees import Params
from jensen.estimators import gradients
from jensen.estimators.gradients import baselines
from jensen.experiments import learned
from jensen.experiments.data import binarise
from jensen.experiments.settings import Settings

Estimate = Callable[[Model, Params, Tensor, Any, Tensor], Tensor]  # model, params, x, q, noise -> (n,)
BOUNDS = {"elbo": bounds.elbo, "iwae": bounds.iwae}
BASELINES = {"none": baselines.none, "leave-one-out": baselines.leave_one_out, "vimco": baselines.vimco}


class Terms(NamedTuple):
    """The objective and the two terms of the ELBO, in nats per datum: reconstruction - kl is the ELBO.

    The objective's value is the bound, its gradient what the parameters follow.
    """

    objective: Float[Tensor, " n"]
    reconstruction: Float[Tensor, " n"]
    kl: Float[Tensor, " n"]


def analytic_terms(
    model: VAE, k: int, free_bits: float, params: Params, x: Tensor, key: Tensor, kl_weight: Tensor
) -> Terms:
    """objective = mean_k log p(x | z) - kl_weight * free_bits(KL)."""
    q = model.posterior(params["encoder"], x)
    log_likelihood = partial(model.log_likelihood, params["decoder"], x)
    return Terms(*gradients.analytic_kl(log_likelihood, q, model.prior(x), q.noise(key, k), kl_weight, free_bits))


def pathwise_terms(
    model: VAE, bound: Callable[[Tensor], Tensor], k: int, params: Params, x: Tensor, key: Tensor, kl_weight: Tensor
) -> Terms:
    """objective = bound(log p(x | z) + kl_weight (log p(z) - log q(z | x)))."""
    q, prior = model.posterior(params["encoder"], x), model.prior(x)
    z = q.sample(q.noise(key, k))
    log_likelihood = model.log_likelihood(params["decoder"], x, z)
    log_w = log_likelihood + kl_weight * (prior.log_prob(z) - q.log_prob(z))
    return Terms(bound(log_w), log_likelihood.mean(0), q.kl(prior))


def estimated_terms(
    model: Model, estimate: Estimate, k: int, params: Params, x: Tensor, key: Tensor, kl_weight: Tensor
) -> Terms:
    """The bound and its gradient by an estimator that has no place for a weight: kl_weight is 1."""
    q = model.posterior(params["encoder"], x)
    noise = q.noise(key, k)
    with torch.no_grad():
        reconstruction, kl = elbo_terms(model, params["decoder"], x, q, noise)
    return Terms(estimate(model, params, x, q, noise), reconstruction, kl)


def elbo_terms(model: Model, decoder: Params, x: Tensor, q: Any, noise: Tensor) -> tuple[Tensor, Tensor]:
    """mean_s log p(x | z) and KL(q || p(z)), (n,) each: the KL in closed form for normals, else mean_s of its terms."""
    log_likelihood = partial(model.log_likelihood, decoder, x)
    if isinstance(model, VAE):
        return gradients.analytic_kl(log_likelihood, q, model.prior(x), noise)[1:]
    z = q.sample(noise)
    return log_likelihood(z).mean(0), (q.log_prob(z) - model.log_prior(decoder, z)).mean(0)


def terms(model: Model, settings: Settings) -> Callable[..., Terms]:
    """(params, x, key, kl_weight) -> Terms for the run's bound and estimator."""
    name, bound = settings.effective_estimator, BOUNDS[settings.bound]
    if isinstance(model, VAE) and name == "analytic-kl":
        return partial(analytic_terms, model, settings.k, settings.free_bits)
    if isinstance(model, VAE) and name == "pathwise":
        return partial(pathwise_terms, model, bound, settings.k)
    return partial(estimated_terms, model, estimate(settings), settings.k)


def estimate(settings: Settings) -> Estimate:
    """The run's estimator, of those with the library's signature."""
    name, bound, temperature = settings.effective_estimator, BOUNDS[settings.bound], settings.temperature
    if name == "relax":
        return learned.relax
    if name == "score" and settings.baseline == "nvil":
        return partial(learned.nvil, bound)
    by_name = {
        "stl": gradients.stl,
        "dreg": gradients.dreg,
        "score": partial(gradients.score, bound=bound, baseline=BASELINES[settings.effective_baseline]),
        "muprop": gradients.muprop,
        "straight-through": partial(gradients.straight_through, bound=bound),
        "concrete": partial(gradients.concrete, bound=bound, temperature=temperature),
        "gumbel-straight-through": partial(gradients.gumbel_straight_through, bound=bound, temperature=temperature),
        "rebar": partial(gradients.rebar, temperature=temperature),
        "arm": gradients.arm,
        "disarm": gradients.disarm,
        "wake": gradients.wake,
    }
    estimator = by_name[name]
    return lambda model, params, x, q, noise: estimator(partial(model.log_joint, params["decoder"], x), q, noise)


def train_step(model: Model, settings: Settings) -> Callable[..., tuple[Params, Tensor]]:
    """(params, batch, key, step, kl_weight) -> (gradients of minus the mean objective, summary (4,)).

    The summary holds the means of the terms and the norm of the model's gradient before clipping. What an estimator
    learns beside the model is neither counted nor clipped, but makes the norm NaN where it is not finite. `step` is a
    0-d tensor that makes the step's own key; pixels are binarised here when the run does so dynamically.
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
        own = {name: gradient[name] for name in ("encoder", "decoder")}
        norm = trees.norm(own)
        if len(gradient) > len(own):
            norm = torch.where(torch.isfinite(trees.norm(gradient)), norm, torch.nan)
        if settings.clip is not None:
            scale = (settings.clip / norm).clamp_max(1.0)
            gradient = {**gradient, **trees.map(lambda g: g * scale, own)}
        return gradient, torch.cat([means.detach(), norm[None].to(means.dtype)])

    return step_gradient


def inputs(settings: Settings, batch: Tensor, key: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
    """What a step's objective takes: its pixels, and the key of its noise."""
    pixel_key, noise_key = keys.split(keys.fold_in(key, step))
    return binarise(pixel_key, batch) if settings.effective_pixels == "dynamic" else batch, noise_key
