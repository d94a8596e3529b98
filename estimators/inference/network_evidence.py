"""The prior precisions and the noise with most evidence, about a network's parameters as they are.

log p(data) by Laplace is concave in the logarithms of all precisions, the noise's included: it has one maximum, where
(MacKay, 1992; Immer et al., 2021)

    prior_precision = effective / |parameters|^2 of each group,    sigma^2 = squared errors / (responses - effective)

A step goes half the way there in logarithms; of one precision, or of groups that do not meet in H, such a step never
goes beyond the maximum. Where the evidence falls, steps halve.
"""

import math
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.estimators.inference.fitting import Trace, climb, traced
from jensen.estimators.inference.network_posterior import LogEvidence, NetworkPosterior

HALVINGS = 20
FARTHEST = 2.0  # of a step, in logarithms
ROUNDING = 1e-13  # of a response's squared error over sigma^2, which is known by its log density


def most_probable(
    posterior: NetworkPosterior, prior: bool, noise: bool, steps: int, tolerance: float
) -> tuple[NetworkPosterior, Trace]:
    """The best precisions of the prior, noise, or both, and the trace of log p(data), in nats.

    ValueError for a group without curvature or parameters other than 0, and for a network without errors.
    """
    if noise and not posterior.squared_errors > ROUNDING * posterior.responses:
        raise ValueError("expected errors of the network, got none: give Gaussian(sigma), and leave noise out")
    if prior:
        _check_groups(posterior)
    if not (prior or noise):
        return posterior, traced([posterior.evidence()], True)
    return climb(partial(_step, prior=prior, noise=noise), posterior, steps, tolerance)


def _step(posterior: NetworkPosterior, prior: bool, noise: bool) -> tuple[NetworkPosterior, LogEvidence]:
    before, effective = posterior.evidence(), posterior.effective
    precisions, widening = torch.zeros_like(effective), 0.0
    if prior:
        precisions = _half_way(posterior.prior_precision * posterior.squares, effective)
    if noise:
        left = posterior.responses - effective.sum()
        widening = 0.5 * _half_way(left, posterior.squared_errors).item()  # of sigma, half of that of sigma^2
    for i in range(HALVINGS):
        moved = posterior.with_precisions(posterior.prior_precision * torch.exp(precisions / 2**i))
        if noise:
            moved = moved.with_noise(posterior.sigma * math.exp(widening / 2**i))
        if moved.log_evidence >= before.objective:
            return moved, before
    return posterior, before


def _half_way(now: Float[Tensor, "*g"], target: Float[Tensor, "*g"]) -> Float[Tensor, "*g"]:
    """In logarithms, and no farther than by a factor: the effective number may exceed the responses off H's rank."""
    return torch.log(target.clamp_min(0) / now.clamp_min(0)).div(2).clamp(-FARTHEST, FARTHEST)


def _check_groups(posterior: NetworkPosterior) -> None:
    values, basis = posterior.curvature
    for found in (posterior.squares, basis.traces(values, posterior.groups)):
        if not found.all():
            name = posterior.groups.starts.value[int((found == 0).nonzero()[0])]
            raise ValueError(
                f"expected parameters and a curvature other than 0, got zeros in group {name}: give prior_precision"
            )
