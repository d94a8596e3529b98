"""Exponential families as values, and what follows from the log partition alone.

A density is log p(z) = eta . T(z) - A(eta) + log h(z) per datum. Natural parameters eta and mean parameters
mu = E T(z) are dicts with one tensor for each statistic, so that they add, scale and average as trees do: the message
of a likelihood to its prior is a dict of the prior's statistics.

    gamma = family(q)                            # of a distribution, or GammaFamily()
    eta = gamma.natural(q)                       # {"log": a - 1, "z": -b}
    mean = mean_parameters(gamma, eta)           # {"log": E log z, "z": E z}
    gamma.from_natural(eta), gamma.from_mean(mean)         # q, twice
"""

from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias, TypeVar, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import grad, hessian, vjp, vmap

from jensen.core import trees
from jensen.core.checks import check_floating, described
from jensen.core.concrete import is_concrete
from jensen.core.contracts import Event, can
from jensen.core.distributions.fields import check_domains

Natural: TypeAlias = dict[str, Tensor]  # by statistic, (*n, *event) each
Q = TypeVar("Q")


@runtime_checkable
class ExponentialFamily(Protocol[Q]):
    """A family of distributions Q, with what is known of them, such as a number of trials, in its fields.

    axes           the statistics' names, each with its number of event axes: {"log": 1, "z": 1}
    natural        q -> eta
    from_natural   eta -> q
    from_mean      mu -> q, differentiable twice; a ValueError for means that no member has
    statistics     T(z): z (s, n, *event) -> (s, n, ...) each
    log_base       log h(z) of z in the support: (s, n)
    log_partition  A(eta), convex: (n,). Its gradient is mu, its Hessian the covariance of T(z)
    """

    @property
    def axes(self) -> Mapping[str, int]: ...
    def natural(self, q: Q, /) -> Natural: ...
    def from_natural(self, eta: Natural, /) -> Q: ...
    def from_mean(self, mean: Natural, /) -> Q: ...
    def statistics(self, z: Event, /) -> Natural: ...
    def log_base(self, z: Event, /) -> Tensor: ...
    def log_partition(self, eta: Natural, /) -> Tensor: ...


def inner(family: ExponentialFamily, eta: Natural, statistics: Natural) -> Float[Tensor, "..."]:
    """eta . T, summed over statistics and their event axes: (s, n) for eta (n, ...) and T (s, n, ...)."""
    check_statistics("eta", eta, family)
    check_statistics("statistics", statistics, family)
    terms = [_flat(eta[name] * statistics[name], axes).sum(-1) for name, axes in family.axes.items()]
    return torch.stack(torch.broadcast_tensors(*terms)).sum(0)


def log_prob(family: ExponentialFamily, eta: Natural, z: Event) -> Float[Tensor, "..."]:
    """eta . T(z) - A(eta) + log h(z) in nats per datum, (s, n), of z in the support.

    The distribution's own log_prob keeps more digits where these terms are large, and knows its support.
    """
    check_statistics("eta", eta, family)
    check_floating("z", z)
    return inner(family, eta, family.statistics(z)) - family.log_partition(eta) + family.log_base(z)


def mean_parameters(family: ExponentialFamily, eta: Natural) -> Natural:
    """mu = E T(z), the gradient of A: (n, ...) each."""
    check_statistics("eta", eta, family)
    return grad(lambda eta: family.log_partition(eta).sum())(eta)


def covariance(family: ExponentialFamily, eta: Natural) -> Float[Tensor, "... m m"]:
    """The Hessian of A, (n, m, m): the covariance of T(z), which is the Fisher information of eta.

    In the order of `trees.ravel`: by statistic, then by component. It is singular where statistics sum to a constant,
    as those of a categorical.
    """
    check_statistics("eta", eta, family)

    def row(family: ExponentialFamily, eta: Natural) -> Tensor:
        vector, unravel = trees.ravel(eta)
        return hessian(lambda v: family.log_partition(unravel(v)))(vector)

    return by_row(row, family, eta)(family, eta)


def bregman(family: ExponentialFamily, eta: Natural, other: Natural) -> Float[Tensor, "..."]:
    """A(other) - A(eta) - (other - eta) . mu(eta), A's Bregman divergence: KL(eta || other) in nats, (n,).

    By differences, so that its error is the rounding of A: the distribution's own kl keeps the digits of small ones.
    """
    check_statistics("eta", eta, family)
    check_statistics("other", other, family)
    rise = family.log_partition(other) - family.log_partition(eta)
    return rise - inner(family, trees.map(torch.sub, other, eta), mean_parameters(family, eta))


def natural_gradient(family: ExponentialFamily, eta: Natural, gradient: Natural) -> Natural:
    """F^-1 g, the gradient in the mean parameters of what has gradient g in eta: (n, ...) each (Amari, 1998).

    By the derivative of eta in mu, which is F^-1, without a matrix. Where F is singular F times it is g even so.
    """
    check_statistics("eta", eta, family)
    check_statistics("gradient", gradient, family)
    pull = vjp(lambda mean: family.natural(family.from_mean(mean)), mean_parameters(family, eta))[1]
    return pull(gradient)[0]


def by_row(f: Callable[..., Tensor], family: ExponentialFamily, eta: Natural) -> Callable[..., Tensor]:
    """f(family, eta) of one datum as a function of all of them, whatever the number of axes before the event's."""
    name = next(iter(family.axes))
    for _ in range(eta[name].ndim - family.axes[name]):
        f = vmap(f)
    return f


def check_statistics(name: str, value: object, family: ExponentialFamily) -> None:
    """A dict with a tensor for each statistic of the family, of as many axes as it has, or more."""
    check_family(family)
    if not isinstance(value, Mapping):
        keys = ", ".join(family.axes)
        raise TypeError(f"expected {name}, a dict with the keys {keys}, got {described(value)}: see `natural`")
    trees.check_keys(value, family.axes)
    for key, axes in family.axes.items():
        check_floating(f"{name}[{key!r}]", value[key], " ".join(["...", *"abc"[:axes]]), "axes of the event come last")


def check_family(family: object) -> None:
    """A value with the methods of an `ExponentialFamily`, and not its class."""
    if isinstance(family, type) or not can(family, ExponentialFamily):
        fix = "exponential.family(q) finds that of q"
        raise TypeError(f"expected family, an exponential family as GammaFamily(), got {described(family)}: {fix}")


def check_member(q: object, kind: type, family: ExponentialFamily) -> None:
    """TypeError unless q is of the family's kind; ValueError for fields outside their domains."""
    if not isinstance(q, kind):
        fix = "exponential.family(q) finds that of q"
        raise TypeError(f"expected q, a {kind.__name__} of {type(family).__name__}, got {described(q)}: {fix}")
    check_domains(q)


def check_some_member(name: str, fits: Tensor, condition: str) -> None:
    """ValueError for parameters that no member of the family has, where values can be read."""
    if is_concrete(fits) and not fits.all():
        wrong = int((~fits).sum())
        raise ValueError(
            f"expected {name} with {condition}, got {wrong} of {fits.numel()} that no member has: pass those of a "
            "member, such as the means of many observations, or Conjugate.mode() of a prior"
        )


def _flat(t: Tensor, axes: int) -> Tensor:
    """The last axes of a tensor, which may be none, as one."""
    return t[..., None].flatten(-axes - 1)
