"""What a finished run is worth beyond its ELBO: bounds against K, evidence from two sides, weights, latent units."""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from jensen.core import keys, trees
from jensen.core.contracts import Dimensional, Enumerable, Key, LatentModel, can
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
from jensen.experiments.report import chunks, ladder
from jensen.experiments.report.chunks import ROWS, Rows, posterior_means
from jensen.experiments.report.encoder import TrainingData
from jensen.experiments.report.evaluation import ELBO_SAMPLES, elbo_terms
from jensen.experiments.report.inference import Inference, inference
from jensen.experiments.report.shared import over_data, over_particles
from jensen.experiments.run.errors import InputError, option
from jensen.experiments.run.ranks import Ranks
from jensen.experiments.run.settings import HUGE

MOVES = Hamiltonian(metric="diagonal")  # steps in units of the posterior's own scales


@dataclass(frozen=True)
class Budget:
    """What an assessment spends."""

    images: int = 100
    """Test images that bounds, annealing and k-hat are of, the first ones; as many are simulated."""
    k: tuple[int, ...] = (1, 5, 10, 50, 500, 5000)
    """Samples per bound, rising. All bounds are computed from the same max K samples of each image."""
    chains: int = 16
    """Annealed chains per image, in each direction; of continuous z."""
    temperatures: int = 100
    """Of annealing, from the encoder's posterior to the model's; of continuous z."""
    gap_images: int = 20
    """Of the images, how many get a q of their own, of its family and a flow, to compare with the encoder's."""
    refine: tuple[int, ...] = (5, 20)
    """Steps from the encoder's q up each of these images' ELBO, after which its gap is given again."""
    encoder_steps: int = 500
    """Steps of more training of the encoder alone, which split its gap into capacity, optimisation and generalisation,
    with as many training images; 0 leaves that out."""

    def check(self) -> None:
        """Raises an InputError for what cannot work."""
        if not self.k or self.k[0] < 1 or sorted(set(self.k)) != list(self.k) or not 2 <= self.k[-1] < HUGE:
            given = " ".join(map(str, self.k))
            raise InputError(f"--k {given}: expected rising counts of samples, at least 1 and 2 and below 2^31")
        if any(not 0 < steps < HUGE for steps in self.refine):
            raise InputError(f"--refine {' '.join(map(str, self.refine))}: expected counts of steps of at least 1")
        if self.gap_images == 1 and self.encoder_steps:
            raise InputError("--gap-images 1 says nothing of how gaps vary: ask for 2 or more, or --encoder-steps 0")
        least = {"images": 2, "chains": 2, "temperatures": 1, "gap_images": 0, "encoder_steps": 0}
        for name, low in least.items():
            if not low <= getattr(self, name) < HUGE:
                raise InputError(f"expected {option(name)} of {low} to 2^31, got {getattr(self, name)}")


class Assessment(NamedTuple):
    """Of n test images and as many simulated ones, in nats per datum; None where z is discrete, or has no such term."""

    bounds: list[ladder.Value]
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
    model: LatentModel,
    params: Params,
    test: Tensor,
    budget: Budget,
    key: Key,
    train: TrainingData | None = None,
    ranks: Ranks | None = None,
) -> Assessment:
    """Everything about the first `images` of test (N, D); latent units, rate and distortion are of all of it.

    Without `train` the encoder's gap has no parts. Of several ranks each calls it with the same arguments, and all get
    the same.
    """
    ranks = ranks or Ranks()
    x = test[: budget.images]
    weights_key, terms_key, annealing_key, simulation_key = keys.split(key, 4)
    log_w = over_particles(partial(log_weights, model, params, x), max(budget.k), weights_key, ranks)
    annealed, sandwich, gaps = None, None, None
    q = model.posterior(params, x)
    importance = from_log_weights(lambda _: log_w, weights_key, len(log_w), bounded=not q.reparameterised)
    if q.reparameterised:
        schedule = sigmoidal(budget.temperatures, dtype=torch.float32).to(x)

        def anneal(places: slice, key: Key) -> Annealed:
            log_p, own = partial(model.log_joint, params, x[places]), model.posterior(params, x[places])
            return annealed_importance(log_p, own, key, budget.chains, schedule, MOVES)

        annealed = over_data(anneal, len(x), annealing_key, ranks)
        sandwich = both_sides(model, params, len(x), budget.chains, schedule, simulation_key, ranks)
        if budget.gap_images:
            few = x[: budget.gap_images]
            gap_key = keys.fold_in(key, 0)
            gaps = inference(
                model, params, few, importance, annealed, gap_key, budget.refine, train, budget.encoder_steps, ranks
            )
    rate, distortion = rate_and_distortion(model, params, test, terms_key, ranks)
    means = over_data(lambda places, _: posterior_means(model, params, test[places]), len(test), terms_key, ranks)
    return Assessment(
        ladder.against_k(log_w, budget.k),
        len(log_w),
        importance,
        annealed,
        sandwich,
        active_units(means),
        collapsed(model, params, test),
        rate,
        distortion,
        gaps,
    )


def log_weights(model: LatentModel, params: Params, x: Tensor, s: int, key: Key) -> Tensor:
    """log p(x, z) - log q(z | x) of s samples per datum, (s, n)."""
    q, log_p, size = model.posterior(params, x), partial(model.log_joint, params, x), len(x)
    chunk = max(1, ROWS // size)
    parts = [draw(log_p, q, min(chunk, s - i), keys.at(key, particle=i)) for i in range(0, s, chunk)]
    return torch.cat(parts).to(torch.promote_types(parts[0].dtype, torch.float32))


def both_sides(
    model: LatentModel, params: Params, n: int, chains: int, schedule: Tensor, key: Key, ranks: Ranks
) -> Sandwich:
    """Bounds on log p(x) of n data simulated from the model, from below and from above."""
    z_key, x_key, run_key = keys.split(key, 3)
    prior = model.prior(params, n)
    z = prior.sample(prior.noise(z_key, 1))
    likelihood = model.likelihood(params, z[0])
    x = likelihood.sample(likelihood.noise(x_key, 1))[0]

    def of(places: slice, key: Key) -> Sandwich:
        log_p, q = partial(model.log_joint, params, x[places]), model.posterior(params, x[places])
        return bdmc(log_p, q, trees.map(lambda t: t[:, places], z), key, chains, schedule, MOVES)

    return over_data(of, n, run_key, ranks)


def collapsed(model: LatentModel, params: Params, x: Tensor) -> Collapse | None:
    """None where the KL has no terms by dimension: of two layers of units, or where prior and q differ in family."""
    q, p = model.posterior(params, x), model.prior(params, len(x))
    apart = can(q, Dimensional) or can(q, Enumerable)  # the components of what can be enumerated are independent
    return collapse(q, p) if apart and type(p) is type(q) else None


def rate_and_distortion(model: LatentModel, params: Params, x: Tensor, key: Key, ranks: Ranks) -> tuple[float, float]:
    """E KL(q(z | x) || p(z)) and -E log p(x | z), whose sum is -ELBO."""
    terms = partial(elbo_terms, model, params)

    def of(places: slice, key: Key) -> Rows:
        return chunks.over_data(terms, x[places], key, ROWS // ELBO_SAMPLES)

    reconstruction, kl = over_data(of, len(x), key, ranks)
    return kl.mean().item(), -reconstruction.mean().item()
