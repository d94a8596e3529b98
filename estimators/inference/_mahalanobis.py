"""Mahalanobis's distance of data from those that were simulated, and how rare it is among these."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

RIDGE = 1e-4  # of the mean variance: features that depend on each other have none in some directions


class Mahalanobis(NamedTuple):
    """|factor^-1 (features - loc)|, and the distances of m simulations that neither was computed from."""

    loc: Float[Tensor, " c"]
    factor: Float[Tensor, "c c"]
    unseen: Float[Tensor, " m"]

    @classmethod
    def of(cls, features: Float[Tensor, "n c"], unseen: Float[Tensor, "m c"]) -> "Mahalanobis":
        """From two parts of the simulations; in float64."""
        centred = features.double() - features.double().mean(0)
        covariance = centred.mT @ centred / len(centred)
        ridge = (RIDGE * covariance.diagonal().mean()).clamp_min(RIDGE)
        factor = torch.linalg.cholesky(covariance + ridge * torch.eye(len(covariance)).to(covariance))
        found = cls(features.double().mean(0), factor, features.new_zeros(0, dtype=torch.float64))
        return found._replace(unseen=found.distance(unseen))

    def distance(self, features: Float[Tensor, "n c"]) -> Float[Tensor, " n"]:
        centred = (features.double() - self.loc).mT
        return torch.linalg.solve_triangular(self.factor, centred, upper=False).norm(dim=0)

    def p_value(self, features: Float[Tensor, "n c"]) -> Float[Tensor, " n"]:
        """The share of simulations, these data among them, that are as far or farther: exact, whatever they are."""
        farther = (self.unseen >= self.distance(features)[:, None]).sum(1)
        return (1 + farther) / (1 + len(self.unseen))
