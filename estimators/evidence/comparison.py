"""Model comparison: Bayes factors and posterior model probabilities, with standard errors.

Approximates  log p(x | M_1) - log p(x | M_0), and p(M_i | x)
With          estimates of each model's evidence and, to first order, their standard errors
Requires      evidences of the same data, estimated independently; proper priors, each normalised
Unbiased when the log evidences are, which is never exactly so
Cost          none beyond the evidences'
Reference     Kass and Raftery, 1995; Schwarz, 1978, for BIC
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.contracts import Estimate


class BayesFactor(NamedTuple):
    """log_factor, in nats, above 0 where the data favour the first model, with its standard error: (n,) each."""

    log_factor: Float[Tensor, " n"]
    standard_error: Float[Tensor, " n"]


class Probabilities(NamedTuple):
    """Posterior probabilities of m models with their standard errors, (m, n) each."""

    probability: Float[Tensor, "m n"]
    standard_error: Float[Tensor, "m n"]


def bayes_factor(first: Estimate, second: Estimate) -> BayesFactor:
    """log p(x | first) - log p(x | second) per datum, with error sqrt(e_1^2 + e_2^2).

    Each datum is one data set that both models explain. For independent data under fixed parameters the factors add:
    log_factor.sum(), with error standard_error.square().sum().sqrt().
    """
    _check([first, second])
    error = torch.sqrt(first.standard_error.square() + second.standard_error.square())
    return BayesFactor(first.log_p - second.log_p, error)


def posterior_probabilities(models: Sequence[Estimate], log_prior: Float[Tensor, " m"] | None = None) -> Probabilities:
    """p(M_i | x) = softmax_i(log p(x | M_i) + log p(M_i)), models equally likely a priori by default.

    The error is first order: p_i sqrt(sum_j (1[i = j] - p_j)^2 e_j^2). A model of evidence 0 has probability 0; NaN
    where all have.
    """
    _check(models)
    log_p = torch.stack([m.log_p for m in models])
    if log_prior is not None:
        if log_prior.shape != (len(models),):
            raise ValueError(f"expected a log prior per model, ({len(models)},), got {tuple(log_prior.shape)}")
        log_p = log_p + log_prior[:, None]
    error = torch.stack([m.standard_error for m in models])
    log_share = torch.log_softmax(log_p, 0)
    return Probabilities(log_share.exp(), _error(log_share, error))


def bic(log_likelihood: Float[Tensor, "..."], parameters: int, observations: int) -> Float[Tensor, "..."]:
    """Schwarz's criterion, parameters log(observations) - 2 log_likelihood: lower is better.

    log_likelihood is the maximised one of all observations together, in nats. -bic / 2 approximates the log evidence
    to O(1) for a unit-information prior; models compare by their difference.
    """
    if observations < 1 or parameters < 0:
        raise ValueError(f"expected observations >= 1 and parameters >= 0, got {observations} and {parameters}")
    return parameters * math.log(observations) - 2 * log_likelihood


def _check(models: Sequence[Estimate]) -> None:
    shapes = [tuple(m.log_p.shape) for m in models]
    if not models or len(set(shapes)) != 1:
        raise ValueError(f"expected evidences of the same data, one shape for all models, got {shapes}")


def _error(log_share: Tensor, error: Tensor) -> Tensor:
    """First-order errors of the shares, (m, n), on the log scale: neither 1 - p nor p^2 may round to 0."""
    itself = torch.eye(len(log_share), dtype=torch.bool, device=log_share.device)[..., None]
    rest = torch.where(itself, -torch.inf, log_share).logsumexp(1)  # log(1 - p_i)
    pull = torch.where(itself, rest[:, None], log_share)  # log |1[i = j] - p_j|
    terms = torch.where(pull == -torch.inf, pull, pull + error.log())  # 0 times an infinite error is 0
    total = torch.exp(log_share + 0.5 * (2 * terms).logsumexp(1))
    return torch.where(log_share == -torch.inf, 0.0, total)
