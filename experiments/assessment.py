"""What a finished run is worth beyond its ELBO: bounds against K, evidence from two sides, weights, latent units."""

from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from jensen.core import keys, trees
from jensen.core.distributions import Bernoulli, DiagNormal
from jensen.core.models import Model
from jensen.core.models.vae import VAE
from jensen.core.trees import Params
from jensen.estimators.diagnostics import ActiveUnits, Collapse, active_units, collapse
from jensen.estimators.evidence import (
    Annealed,
    Evidence,
    Hamiltonian,
    Sandwich,
    annealed_importance,
    bdmc,
    draw,
    from_log_weights,
    sigmoidal,
)
from jensen.experiments import ladder
from jensen.experiments.evaluation import ELBO_SAMPLES, ROWS, over_data, posterior_means
from jensen.experiments.finished import Finished
from jensen.experiments.inference import Inference, inference
from jensen.experiments.objectives import elbo_terms


class Assessment(NamedTuple):
    """Of n test images and as many simulated ones, in nats per datum; None where z is discrete, or has no such term."""

    bounds: list[dict[str, Any]]  # a row per bound and K
    samples: int  # of importance sampling, per image
    importance: Evidence
    annealed: Annealed | None
    sandwich: Sandwich | None  # of simulated data
    units: ActiveUnits  # of all test data, as are the rest
    collapse: Collapse | None
    rate: float  # E KL(q(z | x) || p(z))
    distortion: float  # -E log p(x | z)
    inference: Inference | None  # None also where no images were asked for

    @property
    def discrete(self) -> bool:
        """Whether z is: importance weights are then bounded."""
        return self.annealed is None


@torch.no_grad()
def assess(
    run: Finished, images: int, ks: tuple[int, ...], chains: int, temperatures: int, gap_images: int, key: Tensor
) -> Assessment:
    """Everything about the first `images` test images; latent units, rate and distortion are of all test data."""
    model, params, x = run.model, run.params, run.images.test[:images]
    weights_key, terms_key, annealing_key, simulation_key = keys.split(key, 4)
    log_w = log_weights(model, params, x, max(ks), weights_key)
    importance = from_log_weights(lambda _: log_w, weights_key, len(log_w))
    annealed, sandwich, gaps = None, None, None
    if isinstance(model, VAE):
        schedule = sigmoidal(temperatures, dtype=torch.float32).to(x)
        log_p, q = partial(model.log_joint, params["decoder"], x), model.posterior(params["encoder"], x)
        annealed = annealed_importance(log_p, q, annealing_key, chains, schedule, moves(q))
        sandwich = both_sides(model, params, images, chains, schedule, simulation_key)
        if gap_images:
            gaps = inference(model, params, x[:gap_images], importance, annealed, keys.fold_in(key, 0))
    rate, distortion = rate_and_distortion(model, params, run.images.test, terms_key)
    return Assessment(
        against_k(log_w, ks),
        len(log_w),
        importance,
        annealed,
        sandwich,
        active_units(posterior_means(model, params, run.images.test)),
        collapsed(model, params, run.images.test),
        rate,
        distortion,
        gaps,
    )


def log_weights(model: Model, params: Params, x: Tensor, s: int, key: Tensor) -> Tensor:
    """log p(x, z) - log q(z | x) of s samples per datum, (s, n)."""
    q, log_p, size = model.posterior(params["encoder"], x), partial(model.log_joint, params["decoder"], x), len(x)
    chunk = max(1, ROWS // size)
    parts = [draw(log_p, q, min(chunk, s - i), keys.at(key, particle=i)) for i in range(0, s, chunk)]
    return torch.cat(parts).float() if parts[0].dtype != torch.float64 else torch.cat(parts)


def against_k(log_w: Tensor, ks: tuple[int, ...]) -> list[dict[str, Any]]:
    """A row per bound and K, all from the same weights; the error is the Monte Carlo one."""
    rows = []
    for name, bound in ladder.BOUNDS.items():
        for k in ks:
            values = ladder.at(bound, log_w, k)
            if values is not None:
                value, error = ladder.mean(values)
                rows.append({"of": "bound", "bound": name, "k": k, "value": value, "error": error})
    return rows


def both_sides(model: VAE, params: Params, n: int, chains: int, schedule: Tensor, key: Tensor) -> Sandwich:
    """Bounds on log p(x) of n data simulated from the model, from below and from above."""
    z_key, x_key, run_key = keys.split(key, 3)
    z = model.sample_prior(params["decoder"], z_key, n)
    observation = trees.map(lambda t: t[0], model.observation(params["decoder"], z))
    x = observation.sample(observation.noise(x_key, 1))[0]
    q = model.posterior(params["encoder"], x)
    return bdmc(partial(model.log_joint, params["decoder"], x), q, z, run_key, chains, schedule, moves(q))


def moves(q: DiagNormal) -> Hamiltonian:
    """Hamiltonian moves in units of q's own scales."""
    return Hamiltonian(scale=q.log_scale.exp())


def collapsed(model: Model, params: Params, x: Tensor) -> Collapse | None:
    """None for two layers of units: their KL has no terms by dimension."""
    q = model.posterior(params["encoder"], x)
    if isinstance(model, VAE):
        return collapse(q, model.prior(x))
    if isinstance(q, Bernoulli):
        return collapse(q, Bernoulli(model.prior(params["decoder"]).logits.expand_as(q.logits)))
    return None


def rate_and_distortion(model: Model, params: Params, x: Tensor, key: Tensor) -> tuple[float, float]:
    """E KL(q(z | x) || p(z)) and -E log p(x | z), whose sum is -ELBO."""

    def terms(x: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        q = model.posterior(params["encoder"], x)
        return elbo_terms(model, params["decoder"], x, q, q.noise(key, ELBO_SAMPLES))

    reconstruction, kl = over_data(terms, x, key, ROWS // ELBO_SAMPLES)
    return kl.mean().item(), -reconstruction.mean().item()
