"""Protocols of distributions, flows, bounds, gradient estimators, evidence and latent-variable models.

Parameters are positional-only. A class of yours fulfils a Protocol by having its methods, and inherits nothing; the
type checker holds the library's to them, and `jensen.laws` tests yours. Optional methods are capabilities: Protocols
that extend another, which `can` finds.

Axes: s samples first, then n data, then event axes. Every density, KL, entropy and bound is in nats per datum.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol, Self, TypeAlias, TypeVar, runtime_checkable

from jaxtyping import Int
from torch import Tensor
from typing_extensions import TypeIs

from jensen.core.trees import Params, Tree

Key: TypeAlias = Int[Tensor, "3"]  # see `keys`
Noise: TypeAlias = Tree  # (s, n, ...): a tensor, or a tree of tensors
Event: TypeAlias = Tree  # (s, n, *event): a tensor, or a tree of tensors
LogDensity: TypeAlias = Callable[[Event], Tensor]  # z (s, n, *event) -> (s, n)


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
class Flow(Protocol):
    """An invertible map of the event axes, with log |det| of its Jacobian, (s, n)."""

    def forward(self, z: Tensor, context: Tensor | None = None, /) -> tuple[Tensor, Tensor]: ...
    def inverse(self, z: Tensor, context: Tensor | None = None, /) -> tuple[Tensor, Tensor]: ...


@runtime_checkable
class PushesScore(Flow, Protocol):
    """From the gradient of log q in z that of log q' in z' = forward(z): J^-T (score - grad log det).

    For flows with a cheaper way than the derivative of `inverse`. z (s, n, d) and score are detached.
    """

    def push_score(self, z: Tensor, score: Tensor, context: Tensor | None = None, /) -> Tensor: ...


@runtime_checkable
class Normalising(Flow, Protocol):
    """A flow that starts from data: one of its kind after which values such as z are normalised."""

    def normalising(self, z: Tensor, /) -> Self: ...


@runtime_checkable
class Bijection(Flow, Protocol):
    """A flow from all of R^m onto a constrained set, whose events may have other axes: z (s, n, *m) to (s, n, *event).

    Values may be trees of tensors. `contains` tells which values (..., *event) are in the set, (...). The context is
    ignored.
    """

    def forward(self, z: Tensor, context: Tensor | None = None, /) -> tuple[Event, Tensor]: ...
    def inverse(self, value: Event, context: Tensor | None = None, /) -> tuple[Tensor, Tensor]: ...
    def contains(self, value: Event, /) -> Tensor: ...


@runtime_checkable
class Constrained(Distribution, Protocol):
    """A continuous distribution with support other than R^d, and the bijection onto it.

    A continuous distribution without one has support R^d, up to sets that no gradient crosses.
    """

    def bijection(self) -> Bijection: ...


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


@runtime_checkable
class LatentModel(Protocol):
    """p(x, z) and q(z | x), as functions of one tree of parameters whose structure only the model knows.

    `init` takes training data x (N, *event), whose statistics may decide where the parameters start. `prior` and
    `likelihood` are distributions with rows for n data, or for (s, n) samples of z; `log_joint` is
    log_prior + likelihood.log_prob(x), (s, n).
    """

    def init(self, key: Key, x: Tensor, /) -> Params: ...
    def posterior(self, params: Params, x: Tensor, /) -> Distribution: ...
    def prior(self, params: Params, n: int, /) -> Distribution: ...
    def likelihood(self, params: Params, z: Event, /) -> Distribution: ...
    def log_prior(self, params: Params, z: Event, /) -> Tensor: ...
    def log_joint(self, params: Params, x: Tensor, z: Event, /) -> Tensor: ...


@runtime_checkable
class Amortised(LatentModel, Protocol):
    """A model whose posterior(params, x) is posterior_of(params, encoded(params, x)).

    `encoded` gives a row of numbers per datum, (n, e), which may have any real values; `units` is what each of them is
    moved in, (n, e), such as standard deviations for a mean. The encoder's parameters are params["encoder"].
    """

    def encoded(self, params: Params, x: Tensor, /) -> Tensor: ...
    def posterior_of(self, params: Params, outputs: Tensor, /) -> Distribution: ...
    def units(self, outputs: Tensor, /) -> Tensor: ...


C = TypeVar("C")


def can(value: object, capability: type[C]) -> TypeIs[C]:
    """Whether the value's class has every member of a Protocol: `isinstance` that reads no property of the value.

    So it can be evaluated while torch.compile traces, where the value's fields do not exist yet.
    """
    return all(hasattr(type(value), name) for name in _names(capability))


def _names(capability: type) -> tuple[str, ...]:
    """The methods and properties of a Protocol and of those it extends."""
    return tuple(
        name
        for kind in capability.__mro__
        if kind.__dict__.get("_is_protocol") and kind is not Protocol
        for name in kind.__dict__
        if not name.startswith("_") or name == "__call__"
    )
