"""A categorical whose logits are a linear layer's outputs: the likelihood of counts, such as of items or of words."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn import functional as F

from jensen.core.bijections.simplex import slack
from jensen.core.checks import check_floating
from jensen.core.contracts import Key
from jensen.core.distributions._draw import sample_then_log_prob
from jensen.core.distributions.categorical import Categorical
from jensen.core.distributions.shapes import check_value
from jensen.core.distributions.support import outside, zero_density
from jensen.core.ops import categorical_log_prob, linear_categorical_log_prob
from jensen.core.ops._indexed_log_prob import are_indices


class LinearCategorical(NamedTuple):
    """One choice out of D, P = softmax(h weight^T + bias): fields (s, n, H), (D, H) and (D,), or h (n, H).

    For samples h (s, n, H) the log probability of data x (n, D) is one operation that never stores the (s, n, D)
    logits, forward or backward. x may be counts: their log probability is that of the items in one order, without the
    multinomial coefficient, which depends on no parameter.

    Support       one-hot values and counts, (s, n, D), or the choice's index, (s, n), for log_prob; other numbers of at
                  least 0, but for rounding, weight the terms
    Noise         uniform, (s, n, D)
    Closed forms  mean
    """

    h: Float[Tensor, "*s n H"]
    weight: Float[Tensor, "D H"]
    bias: Float[Tensor, " D"]

    reparameterised = False
    sample_and_log_prob = sample_then_log_prob

    def logits(self) -> Float[Tensor, "*s n D"]:
        """h weight^T + bias: (*s, n, D)."""
        return F.linear(self.h, self.weight, self.bias)

    def noise(self, key: Key, s: int, /) -> Float[Tensor, "s n D"]:
        """Uniform noise (s, n, D) for `sample`, of h (n, H)."""
        return self._alone().noise(key, s)[..., 0, :]

    def sample(self, u: Float[Tensor, "s n D"], /) -> Float[Tensor, "s n D"]:
        """One choice, one-hot, by the Gumbel trick; no gradient passes."""
        check_floating("noise", u)
        return self._alone().sample(u[..., None, :])[..., 0, :]

    def log_prob(self, x: Float[Tensor, "... n D"] | Integer[Tensor, "... n"], /) -> Float[Tensor, "... n"]:
        """sum_D x log softmax(logits) in nats per datum: x (n, D) of h (s, n, H), or x (s, n, D) of h (n, H).

        x of an integer type are indices, without the axis D, as `ops.linear_categorical_log_prob` takes them: no datum
        is expanded over the vocabulary.
        """
        if are_indices(x):
            if self.h.ndim == 3 and x.ndim == 1:
                return linear_categorical_log_prob(x, self.h, self.weight, self.bias)
            return categorical_log_prob(x, self.logits())
        check_floating("x", x)
        least, most = -slack(x.dtype), torch.finfo(x.dtype).max
        rows, x = outside(x, least), x.clamp(least, most)
        if self.h.ndim == 3 and x.ndim == 2:
            return zero_density(linear_categorical_log_prob(x, self.h, self.weight, self.bias), rows)
        logits = self.logits()
        check_value(x, logits)
        return zero_density(categorical_log_prob(x, logits), rows)

    def mean(self) -> Float[Tensor, "*s n D"]:
        """softmax(logits): (*s, n, D)."""
        return torch.softmax(self.logits(), -1)

    def _alone(self) -> Categorical:
        """As the only one of d = 1 choices."""
        return Categorical(self.logits()[..., None, :])
