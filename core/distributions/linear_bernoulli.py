"""Bernoullis whose logits are a linear layer's outputs: the likelihood of a decoder that ends in one."""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core.checks import check_floating
from jensen.core.contracts import Key
from jensen.core.distributions._draw import sample_then_log_prob
from jensen.core.distributions.bernoulli import Bernoulli
from jensen.core.distributions.support import over_unit_interval
from jensen.core.ops import linear_bernoulli_log_prob


class LinearBernoulli(NamedTuple):
    """Bernoulli(logits) with logits = h weight^T + bias: fields (s, n, H), (D, H) and (D,), or h (n, H).

    For samples h (s, n, H) the log probability of data x (n, D) is one operation that never stores the (s, n, D)
    logits, forward or backward; the other methods do.

    Support       {0, 1}^D, as that of `Bernoulli`
    Noise         uniform, (s, n, D)
    Closed forms  mean
    """

    h: Float[Tensor, "*s n H"]
    weight: Float[Tensor, "D H"]
    bias: Float[Tensor, " D"]

    reparameterised = False
    sample_and_log_prob = sample_then_log_prob

    def materialised(self) -> Bernoulli:
        """The same distribution with its logits stored, (*s, n, D)."""
        return Bernoulli(F.linear(self.h, self.weight, self.bias))

    def noise(self, key: Key, s: int, /) -> Float[Tensor, "s n D"]:
        """Uniform noise (s, n, D) for `sample`, of h (n, H)."""
        return self.materialised().noise(key, s)

    def sample(self, u: Float[Tensor, "s n D"], /) -> Float[Tensor, "s n D"]:
        """That of the `Bernoulli` of the logits; no gradient passes."""
        return self.materialised().sample(u)

    def log_prob(self, x: Float[Tensor, "... n D"], /) -> Float[Tensor, "... n"]:
        """log P(x) in nats per datum: x (n, D) of h (s, n, H), or x (s, n, D) of h (n, H), gives (s, n)."""
        check_floating("x", x)
        if self.h.ndim == 3 and x.ndim == 2:
            return over_unit_interval(lambda x: linear_bernoulli_log_prob(x, self.h, self.weight, self.bias), x)
        return self.materialised().log_prob(x)

    def mean(self) -> Float[Tensor, "*s n D"]:
        """sigmoid(logits): (*s, n, D)."""
        return self.materialised().mean()
