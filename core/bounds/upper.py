"""Upper bounds on log p(x) from samples of q alone."""

import math
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from jensen.core.bounds.weights import power_mean


class Cubo(NamedTuple):
    """log (mean_s w^n) / n, whose exact form log (E_q w^n) / n is an upper bound for n >= 1 (Dieng et al., 2017).

    The exact bound is log p(x) plus the Renyi divergence of order n of the posterior from q, times (n - 1) / n, so it
    rises with n from log p(x) at n = 1; n = 2 is the chi^2 bound, and it is infinite where q's tails are too light.
    mean_s w^n is unbiased for E_q w^n, but its logarithm is biased down: the value of s samples lies between `iwae`
    and `vr_max` of the same weights, its mean rises with s, and at small s it may be below log p(x). To claim a bound
    use many samples; exp(n (value - c)), for a constant c, is what has an unbiased gradient.

    It is minimised. Its weights are w^n / sum_s w^n. It is `Renyi` at alpha = 1 - n. ValueError for n < 1,
    or one that is not finite.
    """

    n: float = 2.0

    def __call__(self, log_w: Float[Tensor, "s n"]) -> Float[Tensor, " n"]:
        if not 1 <= self.n < math.inf:
            raise ValueError(
                f"expected n >= 1 and finite, got {self.n}: below 1 it is a lower bound, Renyi(1 - n), "
                "and the limit at inf is vr_max"
            )
        return power_mean(log_w, self.n)
