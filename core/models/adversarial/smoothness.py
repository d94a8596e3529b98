"""What keeps a critic smooth: penalties on its slope, clipped weights, spectral norms. Frozen values.

A value changes the critic's parameters before they are used, and adds a penalty (n,) to its loss:

    params, state = smooth.constrained(params, state)
    loss = game.critic(a, b) + smooth.penalty(value, x, fake, key)      # value: (n, d) -> (n,)
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys, trees
from jensen.core.checks import check_number
from jensen.core.contracts import Key
from jensen.core.flows import spectral
from jensen.core.trees import Params, Tree

Value = Callable[[Tensor], Tensor]
TINY = 1e-12  # under the root, whose slope is infinite at 0


@runtime_checkable
class Smoothness(Protocol):
    """A constraint on a critic's parameters, and a penalty."""

    def start(self, key: Key, params: Params, /) -> Tree: ...
    def constrained(self, params: Params, state: Tree, /) -> tuple[Params, Tree]: ...
    def penalty(self, value: Value, x: Tensor, fake: Tensor, key: Key, /) -> Tensor: ...


@dataclass(frozen=True)
class Free:
    """Neither."""

    def start(self, key: Key, params: Params, /) -> Tree:
        return {}

    def constrained(self, params: Params, state: Tree, /) -> tuple[Params, Tree]:
        return params, state

    def penalty(self, value: Value, x: Tensor, fake: Tensor, key: Key, /) -> Float[Tensor, " n"]:
        """0."""
        return torch.zeros_like(x[:, 0])


@dataclass(frozen=True)
class GradientPenalty(Free):
    """weight (|slope| - 1)² at a point between each datum and a generated one (Gulrajani et al., 2017)."""

    weight: float = 10.0

    def __post_init__(self) -> None:
        check_number("weight", self.weight, "(0, inf)")

    def penalty(self, value: Value, x: Tensor, fake: Tensor, key: Key, /) -> Float[Tensor, " n"]:
        """At t x + (1 - t) fake, one uniform t for each datum."""
        t = keys.uniform(key, (1, len(x), 1), x.dtype)[0]
        return self.weight * ((_squared_slope(value, t * x + (1 - t) * fake) + TINY).sqrt() - 1).square()


@dataclass(frozen=True)
class R1R2(Free):
    """weight / 2 (|slope|² at the data + |slope|² at what is generated).

    Of Mescheder et al., 2018, and for relativistic games of Huang et al., 2024.
    """

    weight: float = 1.0

    def __post_init__(self) -> None:
        check_number("weight", self.weight, "(0, inf)")

    def penalty(self, value: Value, x: Tensor, fake: Tensor, key: Key, /) -> Float[Tensor, " n"]:
        return 0.5 * self.weight * (_squared_slope(value, x) + _squared_slope(value, fake))


@dataclass(frozen=True)
class Clipped(Free):
    """Every parameter in [-limit, limit] (Arjovsky et al., 2017), its gradient passing the clip."""

    limit: float = 0.01

    def __post_init__(self) -> None:
        check_number("limit", self.limit, "(0, inf)")

    def constrained(self, params: Params, state: Tree, /) -> tuple[Params, Tree]:
        return trees.map(lambda t: t + (t.clamp(-self.limit, self.limit) - t).detach(), params), state


@dataclass(frozen=True)
class Spectral(Free):
    """Weights of spectral norm 1, by a power iteration whose vectors are the state (Miyato et al., 2018)."""

    def start(self, key: Key, params: Params, /) -> Tree:
        """A vector for each weight of two axes, by its path."""
        weights = {path: t for path, t in trees.paths(params).items() if t.ndim == 2}
        each = keys.split(key, len(weights))
        return {path: spectral.start(k, t) for k, (path, t) in zip(each, weights.items(), strict=True)}

    def constrained(self, params: Params, state: Tree, /) -> tuple[Params, Tree]:
        found, after = dict(trees.paths(params)), {}
        for path, u in state.items():
            sigma, after[path] = spectral.norm(found[path], u)
            found[path] = found[path] / sigma
        return trees.from_paths(found, params), trees.stop(after)


SMOOTHNESS = {
    "free": Free, "gradient-penalty": GradientPenalty, "r1-r2": R1R2, "clipped": Clipped, "spectral": Spectral,
}  # fmt: skip


def _squared_slope(value: Value, x: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
    """|d value / d x|² of each datum: no datum has a part in another's value, so that the sum has every slope."""
    return torch.func.grad(lambda x: value(x).sum())(x).square().sum(-1)
