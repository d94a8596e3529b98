"""Disentanglement scores MIG and SAP: whether each known factor is encoded by one latent dimension of its own.

Approximates  two scores: 0 where factors share their dimensions, and 1 (for SAP 1 - 1 / classes) where each has its own
With          each datum's nearest neighbours in the order of each dimension, without bins or distances: the scores are
              the same for any strictly monotone function of a dimension
Requires      codes, as posterior means, of data whose factors are known as classes, integers or booleans; bin
              continuous factors first. Ten data or more of each class
Unbiased when a dimension is independent of the factor: its information is then 0 on average (before it is raised to 0)
              with a standard deviation of 0.6 sqrt((1 - sum p^2) / n) nats at most, p the shares of classes. A factor
              with a dimension of its own scores 1 where its classes are single values of it; where they are intervals
              each boundary between two costs 2.5 / n nats of information, and in `sap` half a datum of either class.
              Accuracies of a guess have a standard deviation of sqrt(sum 1 / n_c) / classes at most
Cost          two passes over the n data for each of d f pairs, of some 100 operations
Reference     Chen et al., 2018 (MIG); Kumar et al., 2018 (SAP); Ross, 2014, for information from neighbours
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.checks import check_count
from jensen.estimators.diagnostics._factors import (
    NEIGHBOURS,
    SEPARATED,
    Classes,
    checked,
    entropies,
    information,
    pairs,
)
from jensen.estimators.diagnostics._neighbours import balanced_accuracy


class Mig(NamedTuple):
    """gap (f,): the information between the two best dimensions, over the factor's entropy; information (d, f) nats."""

    gap: Float[Tensor, " f"]
    information: Float[Tensor, "d f"]

    @property
    def score(self) -> Float[Tensor, ""]:
        return self.gap.mean()

    def verdict(self) -> str:
        return _verdict("MIG", "a mean gap in information", self.gap, self.information.argmax(0))


class Sap(NamedTuple):
    """gap (f,): the accuracy between the two best dimensions; accuracy (d, f) >= 1 / classes, balanced over classes.

    No gap exceeds `most` (f,) = 1 - 1 / classes, where the second best dimension guesses.
    """

    gap: Float[Tensor, " f"]
    accuracy: Float[Tensor, "d f"]
    most: Float[Tensor, " f"]

    @property
    def score(self) -> Float[Tensor, ""]:
        return self.gap.mean()

    def verdict(self) -> str:
        return _verdict("SAP", "a mean gap in accuracy", self.gap, self.accuracy.argmax(0), self.most.mean().item())


@torch.no_grad()
def mig(codes: Float[Tensor, "n d"], factors: Classes, k: int = NEIGHBOURS) -> Mig:
    """gap_k = (I(z_j; v_k) - max_{i != j} I(z_i; v_k)) / H(v_k), j the dimension with the most information.

    I = H(v) - H(v | z), not below 0, with each datum's k nearest neighbours of its class: see `_neighbours`.
    """
    codes, factors = checked(codes, factors)
    found = information(codes, factors, check_count("k", k)).clamp_min(0)
    return Mig(_two_best(found) / entropies(factors), found)


@torch.no_grad()
def sap(codes: Float[Tensor, "n d"], factors: Classes) -> Sap:
    """gap_k between the two best dimensions' balanced accuracies in predicting factor k's class.

    Each datum is predicted to be of the class that is most frequent, relatively to its size, among its neighbours on
    one dimension, a third as many as the rarest class has, the datum left out; accuracies below that of a guess are
    raised to it. Kumar et al. choose thresholds instead, on the data that they are judged on.
    """
    codes, factors = checked(codes, factors)
    accuracy = pairs(codes, factors, balanced_accuracy)
    guess = 1 / (1.0 + factors.amax(0).double())
    accuracy = torch.maximum(accuracy, guess)
    return Sap(_two_best(accuracy), accuracy, 1 - guess)


def _two_best(scores: Tensor) -> Tensor:
    best = scores.topk(2, 0).values
    return best[0] - best[1]


def _verdict(name: str, what: str, gap: Tensor, best: Tensor, most: float = 1.0) -> str:
    each = ", ".join(f"{k} in {j} ({g:.2f})" for k, (j, g) in enumerate(zip(best.tolist(), gap.tolist(), strict=True)))
    score, least = gap.mean().item(), SEPARATED * most
    word = "factors have dimensions of their own" if score >= least else "factors are shared between dimensions"
    return f"{name} {score:.2f}, {what}, against {least:.2g} for separation: {word}; each factor in its best: {each}"
