"""Model comparison: Bayes factors and posterior model probabilities, with standard errors.

Approximates  log p(x | M_1) - log p(x | M_0), and p(M_i | x)
With          estimates of each model's evidence and, to first order, their standard errors
Requires      evidences of the same data, estimated independently; proper priors, each normalised
Unbiased when the log evidences are, which is never exactly so
Cost          none beyond the evidences'
Reference     Kass and Raftery, 1995; Schwarz, 1978, for BIC
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.checks import check_count, check_floating, described
from jensen.core.contracts import Estimate
from jensen.estimators.evidence.judgement import Doubts
from jensen.estimators.wording import listed


class BayesFactor(NamedTuple):
    """log_factor, in nats, above 0 where the data favour the first model, with its standard error: (n,) each."""

    log_factor: Float[Tensor, " n"]
    standard_error: Float[Tensor, " n"]
    doubts: Doubts

    def verdict(self) -> str:
        """How well the factor is known, and for which data it is not, by which model."""
        return _verdict("the log Bayes factor", " nats", self.standard_error, self.doubts)


class Probabilities(NamedTuple):
    """Posterior probabilities of m models with their standard errors, (m, n) each."""

    probability: Float[Tensor, "m n"]
    standard_error: Float[Tensor, "m n"]
    doubts: Doubts

    def verdict(self) -> str:
        """How well the probabilities are known, and for which data they are not, by which model."""
        return _verdict("the models' probabilities", "", self.standard_error.amax(0), self.doubts)


def bayes_factor(first: Estimate, second: Estimate) -> BayesFactor:
    """log p(x | first) - log p(x | second) per datum, with error sqrt(e_1^2 + e_2^2).

    The error is inf where either's is, and NaN where either's is NaN: see the `verdict` of that one. Each datum is one
    data set that both models explain. For independent data under fixed parameters the factors add: log_factor.sum(),
    with error standard_error.square().sum().sqrt().
    """
    models = {"the first model": first, "the second model": second}
    _check(models)
    error = torch.sqrt(first.standard_error.square() + second.standard_error.square())
    return BayesFactor(first.log_p - second.log_p, error, _doubts(models))


def posterior_probabilities(models: Sequence[Estimate], log_prior: Float[Tensor, " m"] | None = None) -> Probabilities:
    """p(M_i | x) = softmax_i(log p(x | M_i) + log p(M_i)), models equally likely a priori by default.

    The error is first order: p_i sqrt(sum_j (1[i = j] - p_j)^2 e_j^2). A model of evidence 0 has probability 0; NaN
    where all have, or where an evidence is NaN. An error of inf or NaN is everyone's, but for a model of probability 0.
    """
    if isinstance(models, Estimate) or not isinstance(models, Sequence):
        raise TypeError(f"expected models, a list of estimates, got {described(models)}: pass [first, second]")
    named = {f"model {i}": model for i, model in enumerate(models)}
    _check(named)
    log_p = torch.stack([m.log_p for m in models])
    if log_prior is not None:
        check_floating("log_prior", log_prior, f"{len(models)}", "one number for each model")
        log_p = log_p + log_prior[:, None]
    error = torch.stack([m.standard_error for m in models])
    log_share = torch.log_softmax(log_p, 0)
    error = _error(log_share, error)
    unknown = ~error.isfinite().all(0)
    return Probabilities(log_share.exp(), error, {reason: holds & unknown for reason, holds in _doubts(named).items()})


def bic(log_likelihood: Float[Tensor, "..."], parameters: int, observations: int) -> Float[Tensor, "..."]:
    """Schwarz's criterion, parameters log(observations) - 2 log_likelihood: lower is better.

    log_likelihood is the maximised one of all observations together, in nats. -bic / 2 approximates the log evidence
    to O(1) for a unit-information prior; models compare by their difference.
    """
    check_floating("log_likelihood", log_likelihood)
    parameters, observations = check_count("parameters", parameters, 0), check_count("observations", observations)
    return parameters * math.log(observations) - 2 * log_likelihood


def _check(models: Mapping[str, Estimate]) -> None:
    for name, model in models.items():
        if not isinstance(model, Estimate):
            raise TypeError(
                f"expected {name}, an estimate, got {described(model)}: pass the result of smc, for example"
            )
    shapes = [tuple(m.log_p.shape) for m in models.values()]
    if not models or len(set(shapes)) != 1:
        raise ValueError(
            f"expected evidences of the same data, one shape for all models, got {shapes}: estimate each for all data"
        )


def _doubts(models: Mapping[str, Estimate]) -> Doubts:
    doubts: Doubts = {}
    for name, model in models.items():
        doubts[f"the error of {name}'s evidence is not known: its verdict() says why"] = model.standard_error.isinf()
        doubts[f"the method for {name}'s evidence never estimates its error"] = model.standard_error.isnan()
    return doubts


def _verdict(what: str, units: str, error: Tensor, doubts: Doubts) -> str:
    known = error.isfinite()
    reasons = [f"{reason} (data {listed(holds)})" for reason, holds in doubts.items() if holds.any()]
    why = "; ".join(reasons) or "an evidence is 0 or NaN"
    if not known.any():
        return f"the standard error of {what} is not known: {why}"
    text = f"the standard error of {what} is {error[known].max().item():.2g}{units} at most"
    return text if known.all() else f"{text} for {int(known.sum())} of {len(known)} data; for the others: {why}"


def _error(log_share: Tensor, error: Tensor) -> Tensor:
    """First-order errors of the shares, (m, n), on the log scale: neither 1 - p nor p^2 may round to 0."""
    itself = torch.eye(len(log_share), dtype=torch.bool, device=log_share.device)[..., None]
    rest = torch.where(itself, -torch.inf, log_share).logsumexp(1)  # log(1 - p_i)
    pull = torch.where(itself, rest[:, None], log_share)  # log |1[i = j] - p_j|
    terms = torch.where(pull == -torch.inf, pull, pull + error.log())  # 0 times an infinite error is 0
    total = torch.exp(log_share + 0.5 * (2 * terms).logsumexp(1))
    return torch.where(log_share == -torch.inf, 0.0, total)
