"""Distributions of torch.distributions as values, with noise by key."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution as TorchDistribution
from torch.distributions import Independent, MultivariateNormal, Normal, constraints

from jensen.core import keys
from jensen.core.bijections import Above, Interval, Positive, Real, Simplex, UnitInterval
from jensen.core.checks import check_count, check_floating, described
from jensen.core.contracts import Bijection, Event, Key, Noise
from jensen.core.distributions._draw import sample_then_log_prob
from jensen.core.distributions.fields import check_domains
from jensen.core.distributions.support import moved_inside, zero_density
from jensen.core.distributions.uniform import inside
from jensen.core.trees import Params, Static


class FromTorch(NamedTuple):
    """A family of torch.distributions as a tree of its parameters: see `from_torch`.

    Support       that of the family in torch, with its edge where torch counts that in
    Noise         standard normal for normals, else uniform, (s, n, *event)
    Closed forms  none
    """

    parameters: Params
    family: Static[str]  # by name: torch.compile would not notice that a class in a closure has changed
    depth: Static[int]  # how many axes of its batch are an event

    reparameterised = True
    sample_and_log_prob = sample_then_log_prob

    @property
    def domains(self) -> dict[str, dict[str, Bijection]]:
        """Of the parameters that torch constrains, each by itself; a triangular factor has none."""
        base = self._base()
        onto = {name: _onto(base.arg_constraints[name], t) for name, t in self.parameters.items()}
        return {"parameters": {name: b for name, b in onto.items() if b is not None and not isinstance(b, Real)}}

    def noise(self, key: Key, s: int, /) -> Float[Tensor, "s n *d"]:
        """Standard normal or uniform noise, (s, n, *event)."""
        d, s = self._made(), check_count("s", s)
        shape, dtype = (s, *d.batch_shape, *d.event_shape), d.mean.dtype
        return (keys.normal if _is_normal(d) else keys.uniform)(key, shape, dtype)

    def sample(self, noise: Noise, /) -> Event:
        """loc + scale noise, or the quantile at noise; differentiable in the parameters."""
        check_domains(self)
        check_floating("noise", noise)
        base = self._base()
        if isinstance(base, MultivariateNormal):
            return base.loc + torch.einsum("...ij,...j->...i", base.scale_tril, noise)
        if isinstance(base, Normal):
            return base.loc + base.scale * noise
        return base.icdf(inside(noise))

    def log_prob(self, z: Event, /) -> Float[Tensor, "..."]:
        """torch's log_prob in nats per datum, -inf outside the support: (s, n, *event) -> (s, n)."""
        check_domains(self)
        check_floating("z", z)
        d = self._made()
        support = d.support
        assert support is not None  # of the families that from_torch takes
        each = z.detach().reshape(*z.shape[: z.ndim - len(d.event_shape)], -1)
        nan = each.isnan().any(-1)
        rows = (~support.check(z.detach()) | each.isinf().any(-1)) & ~nan
        anchor = self.sample(torch.full_like(z, 0.0 if _is_normal(d) else 0.5)).detach()
        log_p = d.log_prob(moved_inside(z, rows, anchor))
        return zero_density(torch.where(nan, torch.nan, log_p), rows)  # torch's uniform hides NaN

    def bijection(self) -> Bijection:
        """Onto torch's support: all reals, a half-line, an interval or the simplex. TypeError for any other.

        The ends of closed intervals are left out. TypeError for a family without an event axis, (n,).
        """
        d = self._made()
        if not d.event_shape:
            raise TypeError(
                f"expected components as an event axis (n, d), got one {self.family.value} per datum: "
                "wrap a batch (n, 1) in torch.distributions.Independent(d, 1)"
            )
        onto = _onto(d.support, d.mean)
        if onto is None:
            raise TypeError(
                f"expected the real numbers, a half-line, an interval or the simplex for a support, got {d.support} of "
                f"{self.family.value}: write a NamedTuple with noise, sample, log_prob and bijection"
            )
        return onto

    def _made(self) -> TorchDistribution:
        base, depth = self._base(), self.depth.value
        return Independent(base, depth, validate_args=False) if depth else base

    def _base(self) -> TorchDistribution:
        """Without its event axes."""
        return getattr(torch.distributions, self.family.value)(**self.parameters, validate_args=False)


def from_torch(d: TorchDistribution) -> FromTorch:
    """The distribution d as a value, for a batch shape (n,): `Independent(d, 1)` makes (n, d) components an event.

    TypeError for a d that is neither normal nor has a quantile function; ValueError for another batch shape.
    """
    if not isinstance(d, TorchDistribution):
        raise TypeError(f"expected d, a torch.distributions.Distribution, got {described(d)}: pass one of torch's")
    if len(d.batch_shape) != 1:
        raise ValueError(
            f"expected a batch shape (n,), one row per datum, got {tuple(d.batch_shape)}: "
            "make components an event with torch.distributions.Independent(d, 1)"
        )
    depth = d.reinterpreted_batch_ndims if isinstance(d, Independent) else 0
    base = d.base_dist if isinstance(d, Independent) else d
    if isinstance(base, MultivariateNormal):
        names = ("loc", "scale_tril")
    elif hasattr(torch.distributions, type(base).__name__) and base.has_rsample and _has_quantiles(base):
        names = tuple(base.arg_constraints)
    else:
        raise TypeError(
            f"expected a normal or a continuous distribution of torch with an icdf, got {type(base).__name__}: "
            "write a NamedTuple with noise, sample and log_prob"
        )

    return FromTorch({name: getattr(base, name) for name in names}, Static(type(base).__name__), Static(depth))


def _onto(constraint: constraints.Constraint | None, like: Tensor) -> Bijection | None:
    """The bijection onto what a constraint of torch's allows."""
    while isinstance(constraint, constraints.independent):
        constraint = constraint.base_constraint
    match constraint:
        case constraints.greater_than() | constraints.greater_than_eq():
            low = constraint.lower_bound
            return Positive() if isinstance(low, float) and low == 0 else Above(torch.as_tensor(low).to(like))
        case constraints.interval() | constraints.half_open_interval():
            low, high = constraint.lower_bound, constraint.upper_bound
            if isinstance(low, float) and (low, high) == (0, 1):
                return UnitInterval()
            return Interval(torch.as_tensor(low).to(like), torch.as_tensor(high).to(like))
    known = {type(constraints.real): Real(), type(constraints.simplex): Simplex()}
    return known.get(type(constraint))


def _is_normal(d: TorchDistribution) -> bool:
    return isinstance(d.base_dist if isinstance(d, Independent) else d, Normal | MultivariateNormal)


def _has_quantiles(d: TorchDistribution) -> bool:
    try:
        d.icdf(d.mean.new_full((), 0.5))
    except NotImplementedError:
        return False
    return True
