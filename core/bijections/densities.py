"""Log densities of constrained values as log densities of real numbers."""

from torch import Tensor

from jensen.core.checks import check_function, described
from jensen.core.contracts import Bijection, LogDensity, can


def unconstrained(log_p: LogDensity, bijection: Bijection) -> LogDensity:
    """z -> log_p(value) + log_det, with (value, log_det) = bijection.forward(z): (s, n, *m) -> (s, n).

    The density of z that value has log_p's: their normalisers are equal, so evidences are.

        log_p = unconstrained(lambda rate: log_prior(rate) + log_likelihood(rate), bijections.Positive())
    """

    check_function("log_p", log_p, "log_density")
    if isinstance(bijection, type) or not can(bijection, Bijection):
        raise TypeError(
            f"expected bijection, a bijection such as bijections.Positive(), got {described(bijection)}: pass a value"
        )

    def density(z: Tensor) -> Tensor:
        value, log_det = bijection.forward(z)
        return log_p(value) + log_det

    return density
