"""Several stochastic layers in one vector: q(z1 | x) q(z2 | z1) q(z3 | z1, z2) ..."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys
from jensen.core.bijections import Concatenated, Real
from jensen.core.checks import check_count, check_floating, described
from jensen.core.contracts import Bijection, Distribution, Key, Noise
from jensen.core.distributions.joint import Given, Joint, Latents, Part, onto_support
from jensen.core.trees import Params, Static, leaves


class Hierarchical(NamedTuple):
    """A `Joint` whose latents are parts of one vector z = (z1, z2, ...), (s, n, d1 + d2 + ...).

        q = Hierarchical.of((DiagNormal(loc, log_scale), 20), (Given(params, condition), 10))

    The condition of a layer is a function of all layers before it, side by side, (s, n, d1 + ...). Layers may be of
    different families. As for `Joint`, `trees.stop(q)` detaches parameters alone: the path through z1 into q(z2 | z1)
    remains, as doubly reparameterised gradients of a hierarchy need (Bauer and Mnih, 2021).

    Support       the product of the layers' supports
    Noise         a tuple of the layers' noise, (s, n, ...) each
    Closed forms  none
    """

    layers: tuple[Part, ...]
    sizes: Static[tuple[int, ...]]  # d1, d2, ...

    @classmethod
    def of(cls, *layers: tuple[Part, int]) -> "Hierarchical":
        """Pairs of a layer and the size of its last axis."""
        for i, pair in enumerate(layers):
            if not isinstance(pair, tuple) or len(pair) != 2:
                raise TypeError(
                    f"expected pairs of (distribution, size), got {described(pair)} at {i}: write (Given(params, f), 2)"
                )
            check_count(f"layers[{i}]'s size", pair[1])
        parts, sizes = zip(*layers, strict=True)
        Joint(**dict(zip(_names(len(parts)), parts, strict=True)))  # refuses what is no chain of latents
        return cls(parts, Static(sizes))

    @property
    def reparameterised(self) -> bool:
        return self._joint().reparameterised

    def noise(self, key: Key, s: int, /) -> tuple[Noise, ...]:
        """Each layer's noise."""
        return tuple(self._joint().noise(key, s).values())

    def sample(self, noise: tuple[Noise, ...], /) -> Float[Tensor, "s n d ..."]:
        """Each layer given those before it, side by side; differentiable where all layers are."""
        return self._side_by_side(self._joint().sample(self._named(noise)))

    def sample_and_log_prob(
        self, noise: tuple[Noise, ...], /
    ) -> tuple[Float[Tensor, "s n d ..."], Float[Tensor, "s n"]]:
        """The sample of this noise and its log density, in nats per datum, in one pass through the conditions."""
        z, log_q = self._joint().sample_and_log_prob(self._named(noise))
        return self._side_by_side(z), log_q

    def log_prob(self, z: Float[Tensor, "... d"], /) -> Float[Tensor, "..."]:
        """log q(z1 | x) + log q(z2 | z1) + ... in nats per datum: (s, n, d1 + d2 + ...) -> (s, n)."""
        check_floating("z", z)
        sizes = self.sizes.value
        if not z.ndim or z.shape[-1] != sum(sizes):
            raise ValueError(
                f"expected z with {' + '.join(map(str, sizes))} components on the last axis, got {tuple(z.shape)}"
            )
        return self._joint().log_prob(dict(zip(_names(len(sizes)), z.split(sizes, -1), strict=True)))

    def bijection(self) -> Bijection:
        """Each layer's, or `Real` where it has none.

        TypeError for a discrete layer, and for one whose support is a function of its fields, which moves with the
        layers before.
        """
        joint = self._joint()
        draw = joint.noise(keys.key(0, leaves(self)[0].device), 1)
        parts = [onto_support(name, q) for name, q in joint.conditionals(draw).items()]
        if all(isinstance(part, Real) for part in parts):
            return Real()
        return Concatenated.of(*zip(parts, self.sizes.value, strict=True))

    def _named(self, noise: tuple[Noise, ...]) -> dict[str, Noise]:
        if not isinstance(noise, tuple) or len(noise) != len(self.layers):
            raise TypeError(
                f"expected noise, a tuple with that of each of {len(self.layers)} layers, got {described(noise)}: "
                "draw q.noise(key, s)"
            )
        return dict(zip(_names(len(noise)), noise, strict=True))

    def _side_by_side(self, z: Latents) -> Tensor:
        found = tuple(each.shape[-1] for each in z.values())
        if found != self.sizes.value:
            raise ValueError(f"expected layers of sizes {self.sizes.value}, got {found}: state those of the samples")
        return torch.cat(list(z.values()), -1)

    def _joint(self) -> Joint:
        layers = (Given(p.params, _Beside(p)) if isinstance(p, Given) else p for p in self.layers)
        return Joint(**dict(zip(_names(len(self.layers)), layers, strict=True)))


@dataclass(frozen=True)
class _Beside:
    """A layer's condition as a function of named layers: of all before it, side by side."""

    layer: Given

    def __call__(self, params: Params, z: Latents) -> Distribution:
        return Given(params, self.layer.condition)(torch.cat(list(z.values()), -1))


def _names(layers: int) -> list[str]:
    return [f"z{i + 1}" for i in range(layers)]
