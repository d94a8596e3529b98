"""What an algorithm found of a posterior: draws with their weights, the evidence, and a table by parameter."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys
from jensen.core.contracts import Distribution, Estimate, Key
from jensen.core.distributions import DiagNormal, FullNormal
from jensen.core.models.bayes import Posterior
from jensen.core.models.bayes.coordinates import places
from jensen.estimators.diagnostics import Mixing
from jensen.estimators.evidence import bridge, importance
from jensen.estimators.inference import Approximation
from jensen.estimators.inference.chains import Chains

TAILS = (0.05, 0.95)


class Row(NamedTuple):
    """A quantity under the posterior; error is the Monte Carlo standard error of the mean, None where it has none."""

    name: str
    mean: float
    sd: float
    low: float
    high: float
    error: float | None
    ess: float | None
    r_hat: float | None = None  # of chains


class Known(NamedTuple):
    """Evidence in nats, (1,) each, by a sum without noise."""

    log_p: Float[Tensor, " n"]
    standard_error: Float[Tensor, " n"]

    def verdict(self) -> str:
        return f"log p(x) is known to {self.standard_error.max().item():.1g} nats"


class Found(NamedTuple):
    """Draws z (s, d) with weights (s,) that sum to 1, a normal or better that is near the posterior, and a verdict."""

    z: Float[Tensor, "s d"]
    weights: Float[Tensor, " s"]
    q: Distribution
    evidence: Mapping[str, Estimate]  # by the estimator's name
    verdict: str
    reliable: bool  # whether the verdict has no doubt
    approximation: Approximation | None = None
    chains: Chains | None = None
    independent: bool = True  # but for weights and chains: whether errors follow from the number of draws

    @property
    def k_hat(self) -> float | None:
        return None if self.approximation is None else self.approximation.weights.k_hat.item()

    def rows(self, posterior: Posterior) -> list[Row]:
        """Each number of `posterior.flat`."""
        x = posterior.flat(self.z)
        mean = self.weights @ x
        sd = torch.sqrt(self.weights @ (x - mean).square())
        low, high = (_quantile(x, self.weights, each) for each in TAILS)
        mixing = None if self.chains is None else self.chains.mixing(posterior.flat)
        each = zip(posterior.flat_names, mean.tolist(), sd.tolist(), low.tolist(), high.tolist(),
                   *self._precision(sd, mixing), strict=True)  # fmt: skip
        return [Row(*values) for values in each]

    def _precision(self, sd: Tensor, mixing: Mixing | None) -> tuple[Sequence[float | None], ...]:
        """Errors of means, effective sample sizes and R-hats."""
        if mixing is not None:
            return mixing.standard_error.tolist(), mixing.bulk_ess.tolist(), mixing.r_hat.tolist()
        none = [None] * len(sd)
        if not self.independent:
            return none, none, none
        ess = 1 / self.weights.square().sum()
        return (sd / ess.sqrt()).tolist(), [ess.item()] * len(sd), none

    def resampled(self, key: Key, s: int) -> Float[Tensor, "s d"]:
        """Draws by their weights, each with replacement."""
        share = self.weights.double().cumsum(0)
        at = keys.uniform(key, (1, s), share.dtype)[0]
        return self.z[torch.searchsorted(share / share[-1], at).clamp_max(len(share) - 1)]


def of_approximation(found: Approximation) -> Found:
    """Draws of q with their smoothed weights."""
    weights = found.weights.log_weights[:, 0].exp()
    evidence = {"importance": found.evidence}
    return Found(found.z[:, 0], weights / weights.sum(), found.q, evidence, found.verdict(), found.reliable, found)


def of_chains(posterior: Posterior, found: Chains, key: Key, samples: int) -> Found:
    """All draws; the evidence by a bridge from later draws to a normal fitted to earlier ones, and by that normal."""
    half = len(found.z) // 2
    first, second = (found._replace(z=part).draws for part in (found.z[:half], found.z[half:]))
    q = _normal_of(first)
    bridge_key, importance_key = keys.split(key)
    evidence = {
        "bridge": bridge(posterior, q, second, bridge_key, samples),
        "importance": importance(posterior, q, importance_key, samples),
    }
    names = [name for name, place in places(posterior.support).items() for _ in range(place.stop - place.start)]
    return Found(*_equal(found.draws), q, evidence, found.verdict(names), found.reliable, chains=found)


def of_particles(
    posterior: Posterior, z: Float[Tensor, "s 1 d"], verdict: str, reliable: bool, key: Key, samples: int,
    evidence: Mapping[str, Estimate] | None = None,
) -> Found:  # fmt: skip
    """Equally weighted draws; the evidence by the normal of their moments, and by whatever else is given."""
    q = _normal_of(z)
    known = {**(evidence or {}), "importance": importance(posterior, q, key, samples)}
    return Found(*_equal(z), q, known, verdict, reliable)


def _normal_of(z: Float[Tensor, "s 1 d"]) -> FullNormal | DiagNormal:
    """Of the draws' moments; of their variances alone where the covariance is singular to rounding."""
    try:
        return FullNormal.from_draws(z)
    except ValueError:
        return DiagNormal.from_scale(z.mean(0), z.std(0))


def _equal(z: Float[Tensor, "s 1 d"]) -> tuple[Tensor, Tensor]:
    return z[:, 0], torch.full_like(z[:, 0, 0], 1 / len(z))


def _quantile(x: Float[Tensor, "s k"], weights: Tensor, p: float) -> Float[Tensor, " k"]:
    """Of weighted draws: the first value at which their share reaches p."""
    order = x.argsort(0)
    share = weights[order].cumsum(0)
    at = (share < p * share[-1]).sum(0, keepdim=True).clamp_max(len(x) - 1)
    return x.gather(0, order.gather(0, at))[0]
