"""Protocols of bounds, gradient estimators and evidence."""

from typing import Protocol, runtime_checkable

from torch import Tensor

from jensen.core.contracts.distributions import Distribution
from jensen.core.contracts.types import LogDensity, Noise


@runtime_checkable
class Bound(Protocol):
    """A function of log weights log p(x, z) - log q(z | x): (s, n) -> (n,), yours included."""

    def __call__(self, log_w: Tensor, /) -> Tensor: ...


@runtime_checkable
class Derivatives(Bound, Protocol):
    """A bound with derivatives in closed form; those of any other are found by automatic differentiation.

    additive     whether the bound is a sum of one term per sample, so that a score may be weighted by its own term
    derivatives  log_w (s, n) -> (weights u = d bound / d log_w, path coefficients 1 - h / u), (s, n) each, h the
                 diagonal of d^2 bound / d log_w^2
    """

    @property
    def additive(self) -> bool: ...
    def derivatives(self, log_w: Tensor, /) -> tuple[Tensor, Tensor]: ...


@runtime_checkable
class Sided(Bound, Protocol):
    """A bound that may be one from above: whether it is, for exact expectations."""

    @property
    def upper(self) -> bool: ...


@runtime_checkable
class GradientEstimator(Protocol):
    """The bound's value (n,), whose gradient in whatever log_p and q are built from is the estimate.

    Options are keyword-only; `bound` is one in every estimator.
    """

    def __call__(self, log_p: LogDensity, q: Distribution, noise: Noise, /, *, bound: Bound = ...) -> Tensor: ...


@runtime_checkable
class Estimate(Protocol):
    """Evidence: log p(x) of each datum and its standard error, (n,) each, in nats.

    standard_error is inf where the error cannot be judged, and NaN where the method never estimates it; `verdict` says
    in words what is known, what is not, and what to do.
    """

    @property
    def log_p(self) -> Tensor: ...
    @property
    def standard_error(self) -> Tensor: ...
    def verdict(self) -> str: ...
