"""The pushforward of a base distribution by flows."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import trees
from jensen.core.bijections import Composed, Real
from jensen.core.checks import check_floating, described
from jensen.core.contracts import Bijection, Constrained, Distribution, Flow, Key, Noise, can
from jensen.core.distributions._draw import draw, sample_and_log_prob, sample_and_score
from jensen.core.distributions.support import beyond, moved_inside, some_value, zero_density
from jensen.core.flows._push_score import push_score


class Pushforward(NamedTuple):
    """The distribution of flows_k(... flows_1(z)), z from `base` (Rezende and Mohamed, 2015).

    log q(z') = base.log_prob(z) + log |det dz/dz'|. TypeError for a discrete base, whose masses no map rescales.
    `log_prob` walks the flows' inverses; `draw` and `sample_and_log_prob` give a sample's own density on its way.

    Support       the image of the base's, as the flows' `contains` have it
    Noise         the base's
    Closed forms  none
    """

    base: Distribution
    flows: tuple[Flow, ...]

    @property
    def reparameterised(self) -> bool:
        return self.base.reparameterised

    def noise(self, key: Key, s: int, /) -> Noise:
        """The base's noise."""
        return self.base.noise(key, s)

    def sample(self, noise: Noise, /) -> Float[Tensor, "s n *event"]:
        """The base's sample through the flows, differentiable in everything if the base's is."""
        self._check()
        z = self.base.sample(noise)
        for flow in self.flows:
            z, _ = flow.forward(z)
        return z

    def sample_and_log_prob(self, noise: Noise, /) -> tuple[Float[Tensor, "s n *event"], Float[Tensor, "s n"]]:
        """The sample of this noise and its log density, in nats per datum, without an inverse."""
        self._check()
        return self._pushed(*sample_and_log_prob(self.base, noise))

    def sample_and_score(
        self, noise: Noise, /
    ) -> tuple[Float[Tensor, "s n *event"], Float[Tensor, "s n"], Float[Tensor, "s n *event"]]:
        """The sample of this noise, its log density in nats per datum, and the gradient of that in z, detached.

        Flow by flow, J^-T (score - grad log det) (Vaitl et al., 2022): without an inverse where that is dear.
        """
        self._check()
        z, log_q, score = sample_and_score(self.base, noise)
        for flow in self.flows:
            score = push_score(trees.stop(flow), z.detach(), score).detach()
            z, log_det = flow.forward(z)
            log_q = log_q - log_det
        return z, log_q, score

    def draw(self, key: Key, s: int, /) -> tuple[Float[Tensor, "s n *event"], Float[Tensor, "s n"]]:
        """Samples and their log densities, in nats per datum, without an inverse."""
        self._check()
        return self._pushed(*draw(self.base, key, s))

    def log_prob(self, z: Float[Tensor, "s n *event"], /) -> Float[Tensor, "s n"]:
        """In nats per datum, by the flows' inverses."""
        self._check()
        check_floating("z", z)
        log_det, never = 0.0, z.new_zeros((), dtype=torch.bool)
        for flow in reversed(self.flows):
            if can(flow, Bijection):
                z, never = _inside(z, never, flow)
            z, change = flow.inverse(z)
            log_det = log_det + change
        if can(self.base, Constrained) and never.ndim:
            z, never = _inside(z, never, self.base.bijection())
        log_p = self.base.log_prob(z)
        return zero_density(log_p + log_det, never | (log_p.detach() == -torch.inf))

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

    def _pushed(self, z: Tensor, log_q: Tensor) -> tuple[Tensor, Tensor]:
        for flow in self.flows:
            z, log_det = flow.forward(z)
            log_q = log_q - log_det
        return z, log_q

    def _check(self) -> None:
        if not self.base.reparameterised:
            raise TypeError(f"expected a continuous base, got {type(self.base).__name__}: flows change volumes")
        if not all(hasattr(flow, "forward") for flow in self.flows):  # a flow is itself a tuple, of its fields
            raise TypeError(f"expected flows, a tuple of them, got {described(self.flows)}: write (flow,)")


def _inside(z: Tensor, never: Tensor, onto: Bijection) -> tuple[Tensor, Tensor]:
    """z with a value of the set where it is outside, or the image was already; and all of these rows."""
    never = never | beyond(z, onto)
    return moved_inside(z, never, some_value(z, onto)), never
