"""The pushforward of a base distribution by flows."""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from jensen.core.bijections import Composed, Real
from jensen.core.contracts import Bijection, Constrained, Distribution, Flow, Key, can


class Pushforward(NamedTuple):
    """The distribution of flows_k(... flows_1(z)), z from `base` (Rezende and Mohamed, 2015).

    log q(z') = base.log_prob(z) + log |det dz/dz'|. TypeError for a discrete base, whose masses no map rescales.

    Support       the image of the base's
    Noise         the base's
    Closed forms  none
    """

    base: Distribution
    flows: tuple[Flow, ...]

    @property
    def reparameterised(self) -> bool:
        return self.base.reparameterised

    def noise(self, key: Key, s: int, /) -> Float[Tensor, "s n d"]:
        """The base's noise."""
        return self.base.noise(key, s)

    def sample(self, noise: Float[Tensor, "s n d"], /) -> Float[Tensor, "s n d"]:
        """The base's sample through the flows, differentiable in everything if the base's is."""
        self._check()
        z = self.base.sample(noise)
        for flow in self.flows:
            z, _ = flow.forward(z)
        return z

    def log_prob(self, z: Float[Tensor, "*s n d"], /) -> Float[Tensor, "*s n"]:
        """In nats per datum, by the flows' inverses: (s, n, d) -> (s, n)."""
        self._check()
        log_det = 0.0
        for flow in reversed(self.flows):
            z, change = flow.inverse(z)
            log_det = log_det + change
        return self.base.log_prob(z) + log_det

    def bijection(self) -> Bijection:
        """The base's, then the flows; of an unconstrained base, the flows from the first `Bijection` on.

        What comes before maps R^d onto R^d and has no part in the support.
        """
        self._check()
        base = self.base.bijection() if can(self.base, Constrained) else Real()
        parts = self.flows if isinstance(base, Real) else (base, *self.flows)
        for i, part in enumerate(parts):
            if can(part, Bijection):
                return Composed(parts[i:]) if parts[i + 1 :] else part
        return Real()

    def _check(self) -> None:
        if not self.base.reparameterised:
            raise TypeError(f"expected a continuous base, got {type(self.base).__name__}: flows change volumes")
