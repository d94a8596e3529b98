"""What a fitted model is worth on test data: the ELBO and its terms, the evidence, active units, and a floor."""

import math
from functools import partial
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from jensen.core import keys
from jensen.core.contracts import Distribution, Key, LatentModel
from jensen.core.objectives import kl
from jensen.core.trees import Params
from jensen.estimators.diagnostics import active_units
from jensen.estimators.evidence import draw, from_log_weights
from jensen.experiments.report.chunks import ROWS, Rows, average, over_data, posterior_means
from jensen.experiments.report.drawn import drawn
from jensen.experiments.run.compilation import compiled
from jensen.experiments.run.program import Finding

ELBO_SAMPLES = 10
PARTICLES = 50  # of each datum, evaluated at once
NEGLIGIBLE = 1.0  # nats of KL, below which a posterior is said to have collapsed


@runtime_checkable
class Independent(Protocol):
    """A model whose likelihood can be fitted to each component of x by itself: the floor any model must beat."""

    def independent(self, x: Tensor, /) -> Distribution: ...


class Evaluation(NamedTuple):
    """Means over test data, in nats per datum.

    `error` is the Monte Carlo standard error of `nll`, as far as it is known: of `unknown` data it is not.
    """

    reconstruction: float
    kl: float
    nll: float
    error: float
    unknown: int
    pixels: int
    active_units: int
    units: int
    k: int  # importance samples of `nll`, per datum
    floor: float  # NaN where the model has none

    @property
    def elbo(self) -> float:
        return self.reconstruction - self.kl

    @property
    def bits_per_dim(self) -> float:
        return self.nll / self.pixels / math.log(2)

    def finding(self) -> Finding:
        """A table of one screen; its last line says so where independent components are no worse."""
        bits = self.floor / self.pixels / math.log(2)
        apart = f"; of {self.unknown} data the error is not known" if self.unknown else ""
        lines = [
            f"{'test, nats per datum':<28}{'model':>9}   independent pixels",
            f"{'−ELBO':<28}{-self.elbo:>9.2f}   {self.floor:.2f}",
            f"{'  = reconstruction':<28}{-self.reconstruction:>9.2f}",
            f"{'  + KL':<28}{self.kl:>9.2f}",
            f"{f'NLL (K = {self.k})':<28}{self.nll:>9.2f} ± {self.error:.3f} (Monte Carlo{apart})",
            f"{'bits/dim':<28}{self.bits_per_dim:>9.3f}   {bits:.3f}",
            f"{'active units':<28}{self.active_units:>9} of {self.units}",
        ]
        if not math.isnan(self.floor) and not (self.nll - 2 * self.error <= self.floor):  # nor is NaN below it
            lines.append("worse than independent pixels: train longer, or look at figures/training.png for the cause")
        if self.kl < NEGLIGIBLE:
            lines.append(
                f"the posterior has collapsed: {self.kl:.2f} nats in {self.units} units; try --kl-warmup, --objective "
                "'free-bits(0.5)' or --inner-steps 5"
            )
        return Finding(
            "test", [{**self._asdict(), "elbo": self.elbo, "bits_per_dim": self.bits_per_dim}], "\n".join(lines) + "\n"
        )


@torch.no_grad()
def evaluate(
    model: LatentModel, params: Params, train: Tensor, x: Tensor, k: int, key: Key, compile: bool
) -> Evaluation:
    """Evaluates on x (n, D), with k importance samples per datum; `train` (N, D) fits the floor."""
    n = len(x)
    elbo_key, evidence_key = keys.split(key)
    terms, chunk = partial(elbo_terms, model), min(k, PARTICLES)

    def log_weights(params: Params, q: Distribution, x: Tensor, key: Key) -> Tensor:
        return draw(partial(model.log_joint, params, x), q, chunk, key)

    if compile:
        terms, log_weights = compiled(terms), compiled(log_weights)
    reconstruction, rate = over_data(lambda x, key: terms(params, x, key), x, elbo_key, ROWS // ELBO_SAMPLES)

    def evidence(x: Tensor, key: Key) -> Rows:
        q = model.posterior(params, x)
        found = from_log_weights(lambda at: log_weights(params, q, x, at), key, k, bounded=not q.reparameterised)
        return found.log_p, found.standard_error

    log_p, errors = over_data(evidence, x, evidence_key, max(1, ROWS // chunk))
    mean, error = average(log_p, errors)
    used = active_units(posterior_means(model, params, x)).active if n > 1 else torch.zeros(0)
    return Evaluation(
        reconstruction=reconstruction.mean().item(),
        kl=rate.mean().item(),
        nll=-mean,
        error=error,
        unknown=int((~errors.isfinite()).sum()),
        pixels=math.prod(x.shape[1:]),
        active_units=int(used.sum()),
        units=len(used),
        k=k,
        floor=-independent(model, train, x).mean().item(),
    )


def elbo_terms(model: LatentModel, params: Params, x: Tensor, key: Key) -> tuple[Tensor, Tensor]:
    """mean_s log p(x | z) and KL(q || p(z)), (n,) each, of ELBO_SAMPLES draws; the KL in closed form if it has one."""
    q, p = model.posterior(params, x), model.prior(params, len(x))
    q, z = drawn(q, q.noise(key, ELBO_SAMPLES))
    return model.likelihood(params, z).log_prob(x).mean(0), kl(q, p, z)


def independent(model: LatentModel, train: Tensor, x: Tensor) -> Tensor:
    """log p(x) (n,) of the model's likelihood fitted to each component of train by itself; NaN where it has none."""
    match model:
        case Independent():
            return model.independent(train).log_prob(x)
        case _:
            return torch.full((len(x),), torch.nan)
