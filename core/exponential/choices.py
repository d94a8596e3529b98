"""Exponential families of choices among k values. Their statistics sum to a constant, so that logits have one free."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.distributions import Categorical, Multinomial
from jensen.core.distributions.binomial import check_total
from jensen.core.exponential.family import Natural, check_member, check_some_member, check_statistics
from jensen.core.numerics import at_least_float32
from jensen.core.trees import Static


class CategoricalFamily(NamedTuple):
    """eta . T = sum_k logits z of one-hot z. `from_mean` gives the logits whose partition is 0, log probabilities.

    Statistics  z
    Partition   log sum_k e^eta
    Base        1
    Means       above 0; they are divided by their sum
    """

    axes = {"z": 2}  # noqa: RUF012

    def natural(self, q: Categorical, /) -> Natural:
        """{"z": logits}."""
        check_member(q, Categorical, self)
        return {"z": q.logits}

    def from_natural(self, eta: Natural, /) -> Categorical:
        """The categorical of these logits."""
        check_statistics("eta", eta, self)
        return Categorical(eta["z"])

    def from_mean(self, mean: Natural, /) -> Categorical:
        """logits = log(mean / sum_k mean)."""
        check_statistics("mean", mean, self)
        return Categorical(_log_shares(mean["z"]))

    def statistics(self, z: Float[Tensor, "... d k"], /) -> Natural:
        """{"z": z}."""
        return {"z": z}

    def log_base(self, z: Float[Tensor, "... d k"], /) -> Float[Tensor, "..."]:
        """0."""
        return torch.zeros_like(z[..., 0, 0])

    def log_partition(self, eta: Natural, /) -> Float[Tensor, "..."]:
        """sum_d log sum_k e^eta."""
        check_statistics("eta", eta, self)
        return torch.logsumexp(eta["z"], -1).sum(-1)


class MultinomialFamily(NamedTuple):
    """eta . T = sum_k logits z, of N = total_count choices.

    Statistics  z
    Partition   N log sum_k e^eta
    Base        N! / prod_k z!
    Means       above 0; they are divided by their sum
    """

    total_count: Static[int]

    axes = {"z": 1}  # noqa: RUF012

    def natural(self, q: Multinomial, /) -> Natural:
        """{"z": logits}."""
        check_member(q, Multinomial, self)
        return {"z": q.logits}

    def from_natural(self, eta: Natural, /) -> Multinomial:
        """The multinomial of these logits."""
        check_statistics("eta", eta, self)
        return Multinomial(eta["z"], self.total_count)

    def from_mean(self, mean: Natural, /) -> Multinomial:
        """logits = log(mean / sum_k mean)."""
        check_statistics("mean", mean, self)
        return Multinomial(_log_shares(mean["z"]), self.total_count)

    def statistics(self, z: Float[Tensor, "... k"], /) -> Natural:
        """{"z": z}."""
        return {"z": z}

    def log_base(self, z: Float[Tensor, "... k"], /) -> Float[Tensor, "..."]:
        """log N! - sum_k log z!."""
        counts = at_least_float32(z)
        total = torch.full_like(counts[..., 0], check_total(self.total_count))
        return torch.lgamma(total + 1) - torch.lgamma(counts + 1).sum(-1)

    def log_partition(self, eta: Natural, /) -> Float[Tensor, "..."]:
        """N log sum_k e^eta."""
        check_statistics("eta", eta, self)
        return check_total(self.total_count) * torch.logsumexp(eta["z"], -1)


def _log_shares(mean: Tensor) -> Tensor:
    check_some_member("mean['z']", mean > 0, "values above 0")
    return torch.log(mean) - torch.log(mean.sum(-1, keepdim=True))
