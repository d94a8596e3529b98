"""Scalar, discrete and multivariate families that the laws run over, beside the distributions of `instances`."""

import math

import torch
from torch import Tensor

from jensen.core import keys
from jensen.core.contracts import Distribution
from jensen.core.distributions import (
    Binomial,
    Cauchy,
    ChiSquared,
    DiscretisedLogistic,
    Exponential,
    FullNormal,
    FullStudentT,
    Geometric,
    InverseGamma,
    Laplace,
    Logistic,
    LogNormal,
    LowRankNormal,
    MatrixNormal,
    Mixture,
    Multinomial,
    NegativeBinomial,
    Pareto,
    Poisson,
    StudentT,
    TruncatedNormal,
    Uniform,
    VonMisesFisher,
    Wishart,
)
from jensen.core.trees import Static


def noise(seed: int, *shape: int) -> Tensor:
    return keys.normal(keys.key(seed), shape, torch.float64)


def positive(seed: int, *shape: int) -> Tensor:
    return torch.exp(0.3 * noise(seed, *shape))


LOC, LOG_SCALE, ONE, OTHER = noise(50, 2, 2), 0.3 * noise(51, 2, 2), positive(52, 2, 2), positive(53, 2, 2)
LOW = torch.tensor([-math.inf, 0.0, -1.0, 3.0], dtype=torch.float64).expand(2, 4)
HIGH = torch.tensor([0.5, math.inf, 1.0, 5.0], dtype=torch.float64).expand(2, 4)
FAMILIES: dict[str, Distribution] = {
    "Laplace": Laplace(LOC, LOG_SCALE),
    "Logistic": Logistic(LOC, LOG_SCALE),
    "Cauchy": Cauchy(LOC, LOG_SCALE),
    "StudentT": StudentT(ONE + 3, LOC, LOG_SCALE),
    "Uniform": Uniform(LOC, LOC + ONE),
    "TruncatedNormal": TruncatedNormal(noise(69, 2, 4), 0.3 * noise(70, 2, 4), LOW, HIGH),
    "LogNormal": LogNormal(LOC, LOG_SCALE - 1),
    "Exponential": Exponential(ONE),
    "InverseGamma": InverseGamma(ONE + 3, OTHER),
    "ChiSquared": ChiSquared(ONE + 2),
    "Pareto": Pareto(ONE, OTHER + 3),
    "Poisson": Poisson(2 * ONE),
    "Geometric": Geometric(LOC),
    "Binomial": Binomial(LOC, Static(4)),
    "NegativeBinomial": NegativeBinomial(2 * ONE, 0.3 * LOC),
    "LowRankNormal": LowRankNormal(noise(55, 2, 3), 0.3 * noise(56, 2, 3), noise(57, 2, 3, 2)),
    "MatrixNormal": MatrixNormal(
        noise(58, 2, 2, 3), 0.3 * noise(59, 2, 2), noise(60, 2, 2, 2), 0.3 * noise(61, 2, 3), noise(62, 2, 3, 3)
    ),
    "Mixture": Mixture(noise(63, 2, 3), Laplace(noise(64, 2, 3, 2), 0.3 * noise(65, 2, 3, 2))),
    "Mixture of full normals": Mixture(
        noise(63, 2, 3), FullNormal(noise(66, 2, 3, 2), 0.3 * noise(67, 2, 3, 2), noise(68, 2, 3, 2, 2))
    ),
    "Multinomial": Multinomial(noise(54, 2, 3), Static(4)),
    "FullStudentT": FullStudentT(positive(73, 2) + 4, noise(74, 2, 2), 0.3 * noise(75, 2, 2), noise(76, 2, 2, 2)),
    "DiscretisedLogistic": DiscretisedLogistic(0.5 + 0.2 * LOC, LOG_SCALE - 1, Static(2)),
    "Wishart": Wishart(positive(77, 2) + 2, 0.3 * noise(78, 2, 2), 0.5 * noise(79, 2, 2, 2)),
    "VonMisesFisher": VonMisesFisher(noise(71, 2, 3), 3 * positive(72, 2, 1)),
}
MOVES = "its support moves with its fields"
MOVING: dict[str, str] = {
    "score_has_mean_zero": MOVES,
    "path_has_the_gradient_of_the_expectation": MOVES,
    "kl_is_that_of_samples": MOVES,
    "kl_is_zero_only_at_equality": MOVES,
    "kl_of_neighbours_is_quadratic": MOVES,
}
EXPECTED: dict[str, dict[str, str]] = {
    "Uniform": MOVING,
    "Pareto": MOVING,
    "Wishart": dict.fromkeys(("density_is_that_of_samples", "nothing_lies_outside"), "boxes miss symmetric matrices"),
    "VonMisesFisher": dict.fromkeys(("density_is_that_of_samples", "nothing_lies_outside"), "boxes miss the sphere"),
}
QUICK = ("Poisson",)  # `make laws` alone tries the others
