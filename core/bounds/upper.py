"""Upper bounds on log p(x) from samples of q alone."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from jensen.core.bounds.weights import Renyi, power_mean
from jensen.core.checks import check_function, check_number
from jensen.core.contracts import Bound, Sided, can


@dataclass(frozen=True)
class Cubo:
    """log (mean_s w^n) / n, whose exact form log (E_q w^n) / n is an upper bound for n >= 1. It is minimised.

    The exact bound is log p(x) plus the Renyi divergence of order n of the posterior from q, times (n - 1) / n, so it
    rises with n from log p(x) at n = 1; n = 2 is the chi^2 bound, and it is infinite where q's tails are too light.
    mean_s w^n is unbiased for E_q w^n, but its logarithm is biased down: the value of s samples lies between `iwae`
    and `vr_max` of the same weights, its mean rises with s, and at small s it may be below log p(x). The gradient of
    exp(n (value - c)) is unbiased, for a constant c. ValueError for n < 1, or one that is not finite.

    Side        upper, for exact expectations; at s samples biased down
    Tight when  q is the posterior, or n = 1
    Weights     those of `Renyi` at alpha = 1 - n, whose values it has: w^n / sum_s w^n, path n u - (n - 1)
    Reference   Dieng et al., 2017
    """

    n: float = 2.0

    def __post_init__(self) -> None:
        meaning = "below 1 it is a lower bound, Renyi(1 - n), and the limit at inf is vr_max"
        object.__setattr__(self, "n", check_number("n", self.n, "[1, inf)", meaning))

    @property
    def additive(self) -> bool:
        return False

    @property
    def upper(self) -> bool:
        return True

    def __call__(self, log_w: Float[Tensor, "s n"], /) -> Float[Tensor, " n"]:
        return power_mean(log_w, self.n)

    def derivatives(self, log_w: Float[Tensor, "s n"], /) -> tuple[Float[Tensor, "s n"], Float[Tensor, "s n"]]:
        return Renyi(1 - self.n).derivatives(log_w)


def upper(bound: Bound) -> bool:
    """Whether a bound is an upper one, to be minimised in q: False for one that does not say."""
    check_function("bound", bound, "bounds.Cubo(2.0)")
    return can(bound, Sided) and bound.upper
