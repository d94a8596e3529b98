"""The probability of modes that draws of a posterior have overlooked.

    found = overlooked(key, posterior, approximation.z[:, 0], posterior.starts(start_key, 16), evidence.log_p[0])
    found.verdict()                                              # "" where the draws are at every mode found

Approximates  the probability of a region about each mode, of which k-hat, R-hat and an ELBO know nothing where q or the
              chains never were, and the share of the draws in it
With          importance sampling from Laplace's normal at a mode, within the region that holds nearly all of it; what
              is in no region has the share of the draws there
Requires      two derivatives of log p; a mode that no start climbs to is seen by nothing
Unbiased when never: a region is underestimated where log p is not near Laplace's normal, or where regions overlap
Cost          a climb from each start, and for each mode a Hessian and `samples` evaluations of log p
Reference     Yao et al., 2022, on posteriors of which each run finds another mode
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_count, check_floating, check_function, check_key
from jensen.core.contracts import Key, LogDensity
from jensen.estimators.gradients.contract import density
from jensen.estimators.inference.coordinates import at_modes

DIFFERENT = 0.1  # squared distance of two modes, in standard deviations of one
MOST = 8  # modes that are looked at, those with most evidence
LEAST, MISPLACED = 0.01, 0.1  # of the probability: less is not worth a word
ERRORS = 3.0  # standard errors, beyond which a share is too small


class Overlooked(NamedTuple):
    """Of a region about each of k modes: its probability, the share of the draws in it, and their standard errors."""

    mode: Float[Tensor, "k d"]
    probability: Float[Tensor, " k"]
    standard_error: Float[Tensor, " k"]
    share: Float[Tensor, " k"]
    share_error: Float[Tensor, " k"]

    @property
    def flags(self) -> Bool[Tensor, " k"]:
        """Whether a hundredth of the probability or more has less than half as many draws, or the draws lack a tenth.

        Too many draws are seen at the other modes, which lack them: the probability of a region may be underestimated.
        """
        error = ERRORS * torch.hypot(self.standard_error, self.share_error)
        lacking = self.probability - self.share - error
        few = (self.probability - error > LEAST) & (self.share < 0.5 * self.probability)
        return (lacking > 0) & (few | (lacking > MISPLACED))

    def verdict(self) -> str:
        """What is missing in the draws; "" where nothing was found."""
        if not self.flags.any():
            return ""
        worst = int(torch.where(self.flags, self.probability - self.share, -torch.inf).argmax())
        return (
            f"modes do not have their shares of the draws: about one is {self.probability[worst].item():.2g} of the "
            f"probability, and {self.share[worst].item():.2g} of the draws: take SMC, a mixture, or chains from starts "
            "at every mode"
        )


@torch.no_grad()
def overlooked(
    key: Key,
    log_p: LogDensity,
    draws: Float[Tensor, "s d"],
    starts: Float[Tensor, "m d"],
    log_evidence: Float[Tensor, ""],
    weights: Float[Tensor, " s"] | None = None,
    samples: int = 400,
) -> Overlooked:
    """The modes that the starts climb to, at most 8 of them, beside draws.

    log_p         z (s, m, d) -> (s, m), in nats, such as a `bayes.Posterior`
    draws         of what is judged, with weights that sum to 1; all alike unless given
    log_evidence  in nats, by the draws: `approximation.evidence.log_p[0]`, or that of a bridge
    """
    check_key(key)
    check_function("log_p", log_p, "condition(model, data)")
    check_floating("draws", draws, "s d", "a row for each, such as approximation.z[:, 0]")
    check_floating("starts", starts, f"m {draws.shape[1]}", "a row for each start, such as posterior.starts(key, 16)")
    check_floating("log_evidence", log_evidence, "", "one number, such as approximation.evidence.log_p[0]")
    weights = torch.full_like(draws[:, 0], 1 / len(draws)) if weights is None else weights
    check_floating("weights", weights, f"{len(draws)}", "one for each draw")
    samples = check_count("samples", samples, 2)
    mode, factor = _different(log_p, starts)
    s, d = samples, draws.shape[1]
    radius = d + 4 * math.sqrt(2 * d) + 4  # squared; beyond it is less than a thousandth of a normal
    near = _distances(mode, factor, draws) < radius
    share, elsewhere = (near * weights).sum(1), weights[~near.any(0)].sum()
    eps = keys.normal(key, (1, s, d), draws.dtype)[0]
    z = mode[:, None] + torch.einsum("kij,sj->ksi", factor, eps)
    log_q = -0.5 * eps.square().sum(-1) - factor.diagonal(dim1=-2, dim2=-1).log().sum(-1, keepdim=True)
    log_w = density(log_p, z.reshape(-1, 1, d)).reshape(len(mode), s) - log_q + 0.5 * d * math.log(2 * math.pi)
    mass = torch.where(eps.square().sum(-1) < radius, torch.exp(log_w - log_evidence), 0.0)
    mass = torch.where(mass.mean(1, keepdim=True).isfinite(), mass, 0.0)
    mean = mass.mean(1)
    total = (mean.sum() + elsewhere).clamp_min(torch.finfo(mean.dtype).tiny)
    probability, off = mean / total, (mass - mean[:, None]) / total
    off = off - probability[:, None] * off.sum(0)  # of a ratio to a sum, by noise that all modes share
    standard_error = torch.sqrt(off.square().sum(1) / (s * (s - 1)))
    share_error = torch.sqrt(probability * (1 - probability) * weights.square().sum())
    return Overlooked(mode, probability, standard_error, share, share_error)


def _different(log_p: LogDensity, starts: Float[Tensor, "m d"]) -> tuple[Float[Tensor, "k d"], Float[Tensor, "k d d"]]:
    """The modes that are not one another up to rounding, most evidence first, with roots of their covariances."""
    found = at_modes(log_p, starts)
    order = [i for i in found.log_p.argsort(descending=True).tolist() if not found.log_p[i].isnan()]
    apart = _distances(found.mode, found.factor, found.mode)
    kept: list[int] = []
    for i in order:
        if all(apart[j, i] > DIFFERENT for j in kept):
            kept.append(i)
    return found.mode[kept[:MOST]], found.factor[kept[:MOST]]


def _distances(mode: Tensor, factor: Tensor, z: Float[Tensor, "s d"]) -> Float[Tensor, "k s"]:
    """Squared, of each point from each mode, in standard deviations of its normal."""
    off = (z - mode[:, None]).mT
    return torch.linalg.solve_triangular(factor, off, upper=False).square().sum(1)
