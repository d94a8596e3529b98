"""Protocols of distributions, and of what more a distribution may have."""

from typing import NamedTuple, Protocol, Self, runtime_checkable

from torch import Tensor

from jensen.core.contracts.flows import Bijection
from jensen.core.contracts.types import Event, Key, Noise


@runtime_checkable
class Distribution(Protocol):
    """A distribution as a value, a tree of tensors with one row per datum, such as a NamedTuple.

    `sample` is a deterministic function of noise, differentiable in the distribution's fields where it is
    `reparameterised`. `log_prob` maps samples (s, n, *event) to (s, n), -inf outside the support.
    """

    @property
    def reparameterised(self) -> bool: ...
    def noise(self, key: Key, s: int, /) -> Noise: ...
    def sample(self, noise: Noise, /) -> Event: ...
    def log_prob(self, z: Event, /) -> Tensor: ...


@runtime_checkable
class ClosedForm(Distribution, Protocol):
    """Mean (n, *event), entropy (n,) and KL(self || p) (n,) >= 0 without samples."""

    def mean(self) -> Event: ...
    def entropy(self) -> Tensor: ...
    def kl(self, p: Self, /) -> Tensor: ...


@runtime_checkable
class Dimensional(ClosedForm, Protocol):
    """A KL that is a sum over latent dimensions: its terms, (n, d)."""

    def kl_per_dimension(self, p: Self, /) -> Tensor: ...


@runtime_checkable
class Enumerable(Distribution, Protocol):
    """Finite support: every value of positive mass, (m, n, *event), and the mean of each component."""

    def support(self) -> Event: ...
    def mean(self) -> Event: ...


@runtime_checkable
class Relaxable(Enumerable, Protocol):
    """Discrete values as a function of a continuous t, relaxed by a temperature (Maddison et al., 2017)."""

    def perturbed(self, noise: Noise, /) -> Tensor: ...
    def perturbed_given(self, noise: Noise, z: Event, /) -> Tensor: ...
    def relaxed(self, t: Tensor, temperature: float | Tensor, /) -> Event: ...


@runtime_checkable
class Discrete(Enumerable, ClosedForm, Protocol):
    """Independent components of k values each: their log probabilities, (n, d, k)."""

    def log_masses(self) -> Tensor: ...


@runtime_checkable
class Chernoff(ClosedForm, Protocol):
    """Chernoff's divergences in closed form, for every real order a other than 0 and 1.

    -log of the integral of self^(1 - a) p^a, over a (1 - a): (n,), in float64, +inf where the integral diverges. Its
    limits are KL(self || p) as a -> 0 and KL(p || self) as a -> 1.
    """

    def chernoff(self, p: Self, a: float, /) -> Tensor: ...


@runtime_checkable
class Transportable(Distribution, Protocol):
    """The squared Wasserstein-2 distance between two of a family, (n,), in squared units of z."""

    def squared_wasserstein2(self, p: Self, /) -> Tensor: ...


class WeakDerivative(NamedTuple):
    """d q / d parameter = constant (plus - minus), one component at a time, as samples of two distributions."""

    parameter: Tensor  # (n, d), the only one with a gradient
    constant: Tensor  # (n, d)
    plus: Tensor  # (s, n, d)
    minus: Tensor | None  # None: the sample itself


@runtime_checkable
class MeasureValued(Distribution, Protocol):
    """The weak derivatives of independent components in each parameter, coupled by the sample's noise (Pflug, 1996)."""

    def weak_derivatives(self, noise: Noise, /) -> tuple[WeakDerivative, ...]: ...


@runtime_checkable
class Cdf(Distribution, Protocol):
    """Distribution function and quantiles of each component."""

    def cdf(self, z: Event, /) -> Tensor: ...
    def quantile(self, u: Tensor, /) -> Event: ...


@runtime_checkable
class Marginal(Cdf, Protocol):
    """Independent components: log density, distribution function, and the slope of the log density in z, of each.

    Of z (..., n, d), three tensors like it, in one pass. The first two are differentiable, the last is a constant. Like
    `log_prob` it takes fields of more data axes, (n, k, d), for z (..., n, k, d).
    """

    def marginals(self, z: Event, /) -> tuple[Tensor, Tensor, Tensor]: ...


@runtime_checkable
class Characteristic(Distribution, Protocol):
    """E e^(i t z) of each component at t (s, n, d), complex; `distributions.characteristic` checks it."""

    def characteristic(self, t: Tensor, /) -> Tensor: ...


@runtime_checkable
class MomentGenerating(Distribution, Protocol):
    """log E e^(t z) of each component at t (s, n, d), finite around 0, inf where it diverges."""

    def log_mgf(self, t: Tensor, /) -> Tensor: ...


@runtime_checkable
class Temperable(Distribution, Protocol):
    """Powers q^(1 / temperature), normalised, for a number or a tensor (n,); `distributions.tempered` checks it."""

    def tempered(self, temperature: float | Tensor, /) -> Distribution: ...


@runtime_checkable
class Drawable(Distribution, Protocol):
    """Samples (s, n, *event) and their log densities (s, n) in one pass: those of `noise`, `sample` and `log_prob`."""

    def draw(self, key: Key, s: int, /) -> tuple[Event, Tensor]: ...


@runtime_checkable
class OnePass(Distribution, Protocol):
    """The sample of noise and its log density, in one pass: those of `sample` and `log_prob`, in value and gradient."""

    def sample_and_log_prob(self, noise: Noise, /) -> tuple[Event, Tensor]: ...


@runtime_checkable
class Scored(OnePass, Protocol):
    """Beside them the gradient of log q(z) in z at the sample, detached, where `log_prob` costs more than `sample`."""

    def sample_and_score(self, noise: Noise, /) -> tuple[Event, Tensor, Event]: ...


@runtime_checkable
class Constrained(Distribution, Protocol):
    """A continuous distribution with support other than R^d, and the bijection onto it.

    A continuous distribution without one has support R^d, up to sets that no gradient crosses.
    """

    def bijection(self) -> Bijection: ...
