"""Flows conditional on a context: at a given one, and with fields that are functions of it."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys, trees
from jensen.core.checks import check_count, check_floating, check_key, check_number, described
from jensen.core.contracts import Flow, Key, can
from jensen.core.flows._push_score import push_score
from jensen.core.flows.conditioner import checked_context
from jensen.core.trees import Tree


class Conditional(NamedTuple):
    """flows_k(... flows_1(z | context) | context): flows in turn, each given one row of the context per datum.

        q = Pushforward(base, (Conditional(iaf(key, d, context=h.shape[-1]), h),))

    Log det     the sum of the flows'
    Context     its own; another is ignored
    Per datum   one row of the context each, (n, c), through weights that all data share
    """

    flows: tuple[Flow, ...]
    context: Float[Tensor, "n c"]

    def forward(
        self, z: Float[Tensor, "*s n d"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "*s n d"], Float[Tensor, "*s n"]]:
        check_floating("z", z, "... d")
        total = torch.zeros_like(z[..., 0])
        for flow in self.flows:
            z, log_det = flow.forward(z, self.context)
            total = total + log_det
        return z, total

    def inverse(
        self, z: Float[Tensor, "*s n d"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "*s n d"], Float[Tensor, "*s n"]]:
        check_floating("z", z, "... d")
        total = torch.zeros_like(z[..., 0])
        for flow in reversed(self.flows):
            z, log_det = flow.inverse(z, self.context)
            total = total + log_det
        return z, total

    def push_score(
        self, z: Float[Tensor, "*s n d"], score: Float[Tensor, "*s n d"], context: Tensor | None = None, /
    ) -> Float[Tensor, "*s n d"]:
        """The flows' in turn."""
        for flow in self.flows:
            score = push_score(flow, z, score, self.context)
            z, _ = flow.forward(z, self.context)
        return score


class Hypernetwork(NamedTuple):
    """A flow whose every field is a linear function of the context: field + slope context, a flow of its own per datum.

    For flows of few numbers: planar, radial, Sylvester, actnorm and PLU. `flow` has no axis n.

    Log det     the flow's
    Context     (n, c)
    Per datum   its fields, from slopes that all data share
    Reference   Ha et al., 2017; in a VAE Rezende and Mohamed, 2015, and van den Berg et al., 2018
    """

    flow: Flow
    slopes: Tree  # the flow's, with an axis c last in each field

    @classmethod
    def of(cls, key: Key, flow: Flow, context: int, scale: float = 0.01) -> "Hypernetwork":
        """The flow, nearly: slopes are normal with this standard deviation / sqrt(context)."""
        check_key(key)
        if isinstance(flow, type) or not can(flow, Flow) or not trees.leaves(flow):
            raise TypeError(f"expected flow, one with fields, got {described(flow)}: pass a value such as a Planar")
        c, fields = check_count("context", context), trees.leaves(flow)
        check_number("scale", scale, "[0, inf)")
        drawn = iter(keys.split(key, len(fields)))

        def slope(field: Tensor) -> Tensor:
            noise = keys.normal(next(drawn), (field.numel() * c,), field.dtype)
            return scale * noise.reshape(*field.shape, c) / c**0.5

        return cls(flow, trees.map(slope, flow))

    def forward(
        self, z: Float[Tensor, "*s n d"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "*s n d"], Float[Tensor, "*s n"]]:
        return self._given(context).forward(z)

    def inverse(
        self, z: Float[Tensor, "*s n d"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "*s n d"], Float[Tensor, "*s n"]]:
        return self._given(context).inverse(z)

    def push_score(
        self, z: Float[Tensor, "*s n d"], score: Float[Tensor, "*s n d"], context: Tensor | None = None, /
    ) -> Float[Tensor, "*s n d"]:
        """The flow's."""
        return push_score(self._given(context), z, score)

    def _given(self, context: Tensor | None) -> Flow:
        first = trees.leaves(self.slopes)[0]
        given = checked_context(context, first.shape[-1], first)
        return trees.map(
            lambda field, slope: field + torch.einsum("...c,nc->n...", slope, given), self.flow, self.slopes
        )
