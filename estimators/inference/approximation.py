"""A posterior by q and draws of q with weights: what it is worth, whichever algorithm made q."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import distributions, keys
from jensen.core.checks import check_count, check_distribution, check_function, check_key
from jensen.core.contracts import Distribution, Enumerable, Key, LogDensity, can
from jensen.estimators.diagnostics import Psis, psis
from jensen.estimators.evidence import Evidence
from jensen.estimators.evidence._importance import from_log_weights
from jensen.estimators.evidence.judgement import HEAVY, VARIANCE, judged
from jensen.estimators.evidence.tail import k_hat_threshold
from jensen.estimators.gradients.contract import density

CHUNK = 4096  # draws at once


class Approximation(NamedTuple):
    """q, its ELBO in nats with the standard error of fresh draws, the evidence by importance sampling, and the draws.

    z (s, 1, d) are draws of q, and `weights` their log weights with the tail smoothed: what a mean over z weighs by.
    `at_mode` is whether the coordinates were those of a mode, True where none were asked for.
    """

    q: Distribution
    elbo: Float[Tensor, ""]
    standard_error: Float[Tensor, ""]
    evidence: Evidence
    z: Float[Tensor, "s 1 d"]
    weights: Psis
    at_mode: bool = True

    @property
    def gap(self) -> Float[Tensor, ""]:
        """log p(x) - ELBO in nats, KL(q || p(z | x)), as far as the evidence is known."""
        return self.evidence.log_p[0] - self.elbo

    def draws(self, key: Key, s: int) -> Float[Tensor, "s 1 d"]:
        """Draws of z with replacement by their smoothed weights (Rubin, 1988), one in each of s equal parts of 1.

        ValueError where the weights are NaN, or all 0: where log p is NaN or infinite at draws of q, or -inf at all.
        """
        check_key(key)
        s = check_count("s", s)
        share = torch.exp(self.weights.log_weights[:, 0].double()).cumsum(0)
        if not share[-1] > 0:
            raise ValueError(
                f"expected draws of q with weights, got weights that sum to {share[-1].item()}: look at log_p at them, "
                "approximation.z, first"
            )
        within = keys.uniform(key, (s,), share.dtype)
        at = (torch.arange(s, device=within.device) + within) / s * share[-1]
        index = torch.searchsorted(share, at, right=True).clamp_max(len(share) - 1)  # not a draw of weight 0
        return self.z[index][keys.permutation(key, s)]

    @property
    def reliable(self) -> bool:
        """Whether k-hat and its error let means under the posterior be taken; a mode without draws changes neither."""
        return bool(self.weights.k_hat[0] + self.weights.k_hat_error[0] <= k_hat_threshold(len(self.z)))

    def verdict(self) -> str:
        """Whether means under the posterior may be taken from these draws, and whether the evidence is known."""
        k_hat, threshold = self.weights.k_hat[0], k_hat_threshold(len(self.z))
        most = k_hat + self.weights.k_hat_error[0]
        weights = self.weights.verdict()
        if k_hat <= threshold < most:
            weights = (
                f"weights may be unreliable: k-hat is {k_hat.item():.2f}, and may be {most.item():.2f} with its error, "
                f"above the threshold {threshold:.2f} for {len(self.z)} draws: draw more samples"
            )
        found = f"{weights}; {self.evidence.verdict()}"
        if self.at_mode:
            return found
        return f"{found}; no start climbed to a mode: the density may have no bound, as in a centred parameterisation"


@torch.no_grad()
def judge(log_p: LogDensity, q: Distribution, key: Key, samples: int = 4000, at_mode: bool = True) -> Approximation:
    """What q is worth as an approximation of p(z | x), by fresh draws: two of them or more.

    log_p: z (s, 1, d) -> (s, 1), in nats. Of log weights the mean is the ELBO, and the log mean the evidence, whose
    error is known where k-hat and its error are below 1/2: by k-hat alone heavy tails that few draws have reached would
    give errors, a tenth of what the evidence is off by.
    """
    check_function("log_p", log_p, "condition(model, data)")
    check_distribution("q", q)
    check_key(key)
    samples = check_count("samples", samples, 2)
    z, log_w = [], []
    for low in range(0, samples, CHUNK):
        some, log_q = distributions.draw(q, keys.at(key, particle=low), min(CHUNK, samples - low))
        z.append(some)
        log_w.append(density(log_p, some) - log_q)
    log_w = torch.cat(log_w)
    weights, bounded = psis(log_w), can(q, Enumerable)
    evidence = from_log_weights(lambda _: log_w, key, samples, bounded)
    if not bounded:
        evidence = _doubted(evidence, weights)
    error = log_w.std(0)[0] / samples**0.5
    return Approximation(q, log_w.mean(0)[0], error, evidence, torch.cat(z), weights, at_mode)


def _doubted(evidence: Evidence, weights: Psis) -> Evidence:
    """Without an error where the weights have a tail that may have no variance."""
    heavy = weights.k_hat.isfinite() & (weights.k_hat + weights.k_hat_error > VARIANCE)
    doubts = {**evidence.doubts, HEAVY: evidence.doubts[HEAVY] | heavy}
    return evidence._replace(standard_error=judged(evidence.standard_error, doubts), doubts=doubts)
