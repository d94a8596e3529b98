"""Distributions over rows of a datum and its condition side by side."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys
from jensen.core.contracts import Distribution, Key, Noise
from jensen.core.trees import Params, Static


class Conditioned(NamedTuple):
    """p(x | z, c) for any c: `log_prob` takes rows of x and c, `sample` draws c from the kept conditions first.

    Support       that of p(x | z, c), and any c, whose own density is no part of `log_prob`
    Noise         that of p(x | z, c), and uniform (s, n, 1)
    Closed forms  none
    """

    params: Params  # with the conditions at ["decoder"]["conditions"], (M, C)
    z: Float[Tensor, "*s n d"]
    given: Static[Callable[[Params, Tensor, Tensor], Distribution]]
    data: Static[int]

    @classmethod
    def of(
        cls, given: Callable[[Params, Tensor, Tensor], Distribution], params: Params, z: Tensor, data: int
    ) -> "Conditioned":
        """Of a function (params, z, c) -> p(x | z, c) and the width of x."""
        return cls(params, z, Static(given), Static(data))

    @property
    def reparameterised(self) -> bool:
        """Whether x is, for a given c."""
        return self._first().reparameterised

    def noise(self, key: Key, s: int, /) -> tuple[Noise, Float[Tensor, "s n 1"]]:
        """Noise of x and of the choice of c, for s samples of z (n, d)."""
        x_key, c_key = keys.split(key)
        return self._first().noise(x_key, s), keys.uniform(c_key, (s, self.z.shape[-2], 1), self.z.dtype)

    def sample(self, noise: tuple[Noise, Float[Tensor, "s n 1"]], /) -> Float[Tensor, "s n e"]:
        """Rows of x and c."""
        of_x, u = noise
        conditions = self._conditions
        c = conditions[(u[..., 0] * len(conditions)).long().clamp_max(len(conditions) - 1)]
        return torch.cat([self.given.value(self.params, self.z, c).sample(of_x), c], -1)

    def log_prob(self, x: Float[Tensor, "... n e"], /) -> Float[Tensor, "..."]:
        """log p(x | z, c) in nats per datum."""
        return self.given.value(self.params, self.z, x[..., self.data.value :]).log_prob(x[..., : self.data.value])

    def _first(self) -> Distribution:
        """Under the first condition."""
        return self.given.value(self.params, self.z, self._conditions[:1].expand(self.z.shape[-2], -1))

    @property
    def _conditions(self) -> Tensor:
        return self.params["decoder"]["conditions"].detach()


class Leading(NamedTuple):
    """A distribution p of x, whatever its condition, over rows of x and c.

    Support       that of p, and any c, whose own density is no part of `log_prob`
    Noise         p's
    Closed forms  none
    """

    p: Any  # of a field (D,)

    @property
    def reparameterised(self) -> bool:
        """Whether p is."""
        return self.p.reparameterised

    def noise(self, key: Key, s: int, /) -> Noise:
        """p's noise."""
        return self.p.noise(key, s)

    def sample(self, noise: Noise, /) -> Tensor:
        """x alone."""
        return self.p.sample(noise)

    def log_prob(self, x: Float[Tensor, "n e"], /) -> Float[Tensor, " n"]:
        """log p of the first columns, as many as p has, in nats per datum."""
        return self.p.log_prob(x[..., : self.p[0].shape[-1]])
