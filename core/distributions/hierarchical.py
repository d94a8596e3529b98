"""Two stochastic layers: q(z1 | x) q(z2 | z1)."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core import trees
from jensen.core.bijections import Concatenated, Real
from jensen.core.checks import check_floating
from jensen.core.contracts import Bijection, Constrained, Distribution, Key, can
from jensen.core.distributions.support import moved_inside, some_value, zero_density
from jensen.core.trees import Params, Static


class Hierarchical(NamedTuple):
    """q(z1 | x) q(z2 | z1) of one family, with z = (z1, z2) on the last axis, (s, n, d1 + d2).

    `condition` is a pure function of `params` and of z1 (s, n, d1) alone; it and d2 are no leaves of the tree, but
    `trees.Static(condition)` and `trees.Static(d2)`. log_prob evaluates it at the z1 of its argument, so that
    `trees.stop(q)` stops parameters alone: the path through z1 into q(z2 | z1) remains, as doubly reparameterised
    gradients of a hierarchy need (Bauer and Mnih, 2021).

    Support       the family's, of both layers
    Noise         the family's, (s, n, d1 + d2)
    Closed forms  none
    """

    first: Distribution  # q(z1 | x): fields (n, d1)
    params: Params  # of `condition`
    condition: Static[Callable[[Params, Tensor], Distribution]]  # params, z1 (s, n, d1) -> q(z2 | z1): (s, n, d2)
    second: Static[int]  # d2

    @property
    def reparameterised(self) -> bool:
        return self.first.reparameterised

    def noise(self, key: Key, s: int, /) -> Float[Tensor, "s n d ..."]:
        """The family's noise for both layers, (s, n, d1 + d2), or (s, n, d1 + d2, 2) for betas."""
        self._field()
        return trees.map(lambda t: F.pad(t, (0, self.second.value)), self.first).noise(key, s)

    def sample(self, noise: Float[Tensor, "s n d ..."], /) -> Float[Tensor, "s n d ..."]:
        """z1 from the noise's first d1 components, then z2 given z1 from the rest; differentiable where `first` is."""
        check_floating("noise", noise)
        noise1, noise2 = self._split(noise, axis=self._field().ndim)
        z1 = self.first.sample(noise1)
        return torch.cat([z1, self._given(z1).sample(noise2)], -1)

    def log_prob(self, z: Float[Tensor, "... d"], /) -> Float[Tensor, "..."]:
        """log q(z1 | x) + log q(z2 | z1) in nats per datum: (s, n, d1 + d2) -> (s, n)."""
        check_floating("z", z)
        z1, z2 = self._split(z)
        log_first = self.first.log_prob(z1)
        never = log_first.detach() == -torch.inf
        to = some_value(z1, self.first.bijection()) if can(self.first, Constrained) else 0.0
        log_second = self._given(moved_inside(z1, never, to)).log_prob(z2)
        return zero_density(log_first + log_second, never | (log_second.detach() == -torch.inf))

    def bijection(self) -> Bijection:
        """The family's for each layer, or `Real` where it has none.

        TypeError for a discrete family, and for one whose support is a function of its fields: that of z2 moves with
        z1.
        """
        name = type(self.first).__name__
        if not self.reparameterised:
            raise TypeError(f"expected a continuous family, got {name}: no bijection maps real numbers onto its values")
        part = self.first.bijection() if can(self.first, Constrained) else Real()
        if isinstance(part, Real):
            return part
        if trees.leaves(part):
            kind = type(part).__name__.lower()
            raise TypeError(f"expected a support that is no function of the fields, got {name} on an {kind} of its own")
        return Concatenated.of((part, self._field().shape[-1]), (part, self.second.value))

    def _given(self, z1: Tensor) -> Distribution:
        """q(z2 | z1)."""
        conditional = self.condition.value(self.params, z1)
        if type(conditional) is not type(self.first):
            raise TypeError(
                f"expected q(z2 | z1) of q(z1)'s family {type(self.first).__name__}, got "
                f"{type(conditional).__name__}: both layers share one kind of noise"
            )
        expected, shape = (*z1.shape[:-1], self.second.value), trees.leaves(conditional)[0].shape
        if shape != expected:
            raise ValueError(
                f"expected q(z2 | z1) with fields {expected}, got {tuple(shape)}: "
                "one row per sample and datum, of as many components as the last field says"
            )
        return conditional

    def _field(self) -> Tensor:
        """The first of q(z1)'s fields, which all have one shape."""
        fields = trees.leaves(self.first)
        if any(t.shape != fields[0].shape for t in fields):
            raise TypeError(f"expected a q(z1) with fields (n, d1) alone, got {type(self.first).__name__}")
        return fields[0]

    def _split(self, z: Tensor, axis: int = -1) -> list[Tensor]:
        sizes = [self._field().shape[-1], self.second.value]
        if not -z.ndim <= axis < z.ndim or z.shape[axis] != sum(sizes):
            raise ValueError(
                f"expected z = (z1, z2) with {sizes[0]} + {sizes[1]} components on the last axis, got {tuple(z.shape)}"
            )
        return list(z.split(sizes, axis))
