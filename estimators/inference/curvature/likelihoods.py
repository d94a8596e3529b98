"""Likelihoods of a network's outputs f (n, c): log p(y | f), a root of its curvature in f, and predictions.

Each has a curvature -d^2 log p / df^2 = S S' that does not depend on y, so that it is Fisher's information too, and
J' S S' J is the generalised Gauss-Newton matrix with J = df / d parameters. A prediction is of y, from a normal over f:
exact for Gaussian noise, and for classes by MacKay's approximation of the logistic by a probit, or by draws of f.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core.checks import check_floating, check_number, check_rows, check_tensor
from jensen.core.concrete import is_concrete

RESPONSES = "a response for each output: of one, add an axis with y[:, None]"


class Predicted(NamedTuple):
    """Mean and variance of each response under the posterior; of classes the probabilities p, and p (1 - p)."""

    mean: Float[Tensor, "n c"]
    variance: Float[Tensor, "n c"]


@runtime_checkable
class Likelihood(Protocol):
    """What a network's outputs say of the responses, independent between data given the outputs."""

    def check(self, y: Tensor, outputs: Float[Tensor, "n c"], /) -> None: ...
    def log_prob(self, outputs: Float[Tensor, "n c"], y: Tensor, /) -> Float[Tensor, " n"]: ...
    def root(self, outputs: Float[Tensor, "n c"], /) -> Float[Tensor, "n c c"]: ...
    def mean(self, outputs: Float[Tensor, "... c"], /) -> Float[Tensor, "... c"]: ...
    def softened(self, mean: Float[Tensor, "n c"], variance: Float[Tensor, "n c"], /) -> Float[Tensor, "n c"]: ...
    def variance(self, mean: Float[Tensor, "n c"], spread: Float[Tensor, "n c"], /) -> Float[Tensor, "n c"]: ...


@dataclass(frozen=True)
class Gaussian:
    """y (n, c) ~ N(f, sigma^2 I): least squares."""

    sigma: float = 1.0

    def __post_init__(self) -> None:
        check_number("sigma", self.sigma, "(0, inf)", "the standard deviation of the noise")

    def check(self, y: Tensor, outputs: Float[Tensor, "n c"], /) -> None:
        """ValueError for responses of another shape than the outputs'."""
        check_floating("y", y, f"n {outputs.shape[1]}", RESPONSES)
        check_rows("y", y, outputs, "x")

    def log_prob(self, outputs: Float[Tensor, "n c"], y: Tensor, /) -> Float[Tensor, " n"]:
        scaled = (y - outputs) / self.sigma
        return -(0.5 * scaled.square() + math.log(self.sigma) + 0.5 * math.log(2 * math.pi)).sum(-1)

    def root(self, outputs: Float[Tensor, "n c"], /) -> Float[Tensor, "n c c"]:
        return torch.diag_embed(torch.full_like(outputs, 1 / self.sigma))

    def summed_log_prob(self, squares: Float[Tensor, ""], responses: int) -> Float[Tensor, ""]:
        """Of so many responses, in nats: -(sum (y - f)^2 / sigma^2 + responses log(2 pi sigma^2)) / 2."""
        return -0.5 * (squares + responses * math.log(2 * math.pi * self.sigma**2))

    def squares(self, log_likelihood: Float[Tensor, ""], responses: int) -> Float[Tensor, ""]:
        """The inverse: sum (y - f)^2 / sigma^2."""
        return -2 * log_likelihood - responses * math.log(2 * math.pi * self.sigma**2)

    def mean(self, outputs: Float[Tensor, "... c"], /) -> Float[Tensor, "... c"]:
        return outputs

    def softened(self, mean: Float[Tensor, "n c"], variance: Float[Tensor, "n c"], /) -> Float[Tensor, "n c"]:
        return mean

    def variance(self, mean: Float[Tensor, "n c"], spread: Float[Tensor, "n c"], /) -> Float[Tensor, "n c"]:
        return spread + self.sigma**2


@dataclass(frozen=True)
class Bernoulli:
    """y (n, c) of 0 and 1, independent with log odds f."""

    def check(self, y: Tensor, outputs: Float[Tensor, "n c"], /) -> None:
        """ValueError for responses of another shape than the outputs', or that are not 0 or 1."""
        check_tensor("y", y, f"n {outputs.shape[1]}", RESPONSES)
        check_rows("y", y, outputs, "x")
        if is_concrete(y) and not ((y == 0) | (y == 1)).all():
            raise ValueError(f"expected y of 0 and 1, got {y[(y != 0) & (y != 1)][0].item()}: recode it")

    def log_prob(self, outputs: Float[Tensor, "n c"], y: Tensor, /) -> Float[Tensor, " n"]:
        return -F.binary_cross_entropy_with_logits(outputs, y.to(outputs), reduction="none").sum(-1)

    def root(self, outputs: Float[Tensor, "n c"], /) -> Float[Tensor, "n c c"]:
        return torch.diag_embed(torch.exp(0.5 * (F.logsigmoid(outputs) + F.logsigmoid(-outputs))))

    def mean(self, outputs: Float[Tensor, "... c"], /) -> Float[Tensor, "... c"]:
        return torch.sigmoid(outputs)

    def softened(self, mean: Float[Tensor, "n c"], variance: Float[Tensor, "n c"], /) -> Float[Tensor, "n c"]:
        return torch.sigmoid(probit_scaled(mean, variance))

    def variance(self, mean: Float[Tensor, "n c"], spread: Float[Tensor, "n c"], /) -> Float[Tensor, "n c"]:
        return mean * (1 - mean)


@dataclass(frozen=True)
class Categorical:
    """y (n,) of labels 0 ... c - 1, with unnormalised log probabilities f."""

    def check(self, y: Tensor, outputs: Float[Tensor, "n c"], /) -> None:
        """TypeError and ValueError for what are no labels of the outputs' classes."""
        check_tensor("y", y, "n", "a label for each datum, such as one_hot.argmax(-1)")
        check_rows("y", y, outputs, "x")
        if y.is_floating_point() or y.dtype == torch.bool:
            raise TypeError(f"expected y of whole numbers, got {y.dtype}: convert labels with y.long()")
        c = outputs.shape[1]
        if is_concrete(y) and not ((y >= 0) & (y < c)).all():
            wrong = y[(y < 0) | (y >= c)][0].item()
            raise ValueError(
                f"expected y from 0 to {c - 1} for {c} outputs, got {wrong}: give the network more outputs"
            )

    def log_prob(self, outputs: Float[Tensor, "n c"], y: Tensor, /) -> Float[Tensor, " n"]:
        return -F.cross_entropy(outputs, y.long(), reduction="none")

    def root(self, outputs: Float[Tensor, "n c"], /) -> Float[Tensor, "n c c"]:
        """diag(p^(1/2)) - p p^(1/2)', whose square is diag(p) - p p'."""
        half = torch.exp(0.5 * outputs.log_softmax(-1))
        return torch.diag_embed(half) - half.square()[..., :, None] * half[..., None, :]

    def mean(self, outputs: Float[Tensor, "... c"], /) -> Float[Tensor, "... c"]:
        return outputs.softmax(-1)

    def softened(self, mean: Float[Tensor, "n c"], variance: Float[Tensor, "n c"], /) -> Float[Tensor, "n c"]:
        return probit_scaled(mean, variance).softmax(-1)

    def variance(self, mean: Float[Tensor, "n c"], spread: Float[Tensor, "n c"], /) -> Float[Tensor, "n c"]:
        return mean * (1 - mean)


def probit_scaled(mean: Float[Tensor, "n c"], variance: Float[Tensor, "n c"]) -> Float[Tensor, "n c"]:
    """f / (1 + pi / 8 var f)^(1/2): the log odds of E sigmoid(f), nearly (MacKay, 1992)."""
    return mean / torch.sqrt(1 + math.pi / 8 * variance)
