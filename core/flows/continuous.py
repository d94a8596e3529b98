"""The continuous flow: a neural ordinary differential equation (Chen et al., 2018)."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_count, check_floating, check_key
from jensen.core.contracts import Key
from jensen.core.flows.conditioner import Conditioner, checked_context
from jensen.core.numerics import rk4_step
from jensen.core.trees import Static


class Continuous(NamedTuple):
    """z' = z(1) of dz / dt = network(z; t, context) from z(0) = z, by equal steps of Runge and Kutta's fourth order.

    `inverse` runs from 1 to 0. Each way undoes the other, and the log det is the Jacobian's, up to the steps' error,
    O(steps^-4). Derivatives are those of the steps.

    Log det     the integral of tr J, J = d network / d z: exact at d products with J where there are no probes, and
                else mean_k e_k' J e_k of fixed probes e (Hutchinson, 1990), unbiased over probes of independent signs
    Context     (n, c) where the network was made for one, through weights that all data share; otherwise ignored
    Per datum   with an axis n in its fields, one network for each datum; without, one for all
    Reference   Chen et al., 2018; Grathwohl et al., 2019
    """

    network: Conditioner
    probes: Float[Tensor, "*n k d"]  # k = 0: the exact trace. Without a gradient
    steps: Static[int]

    @classmethod
    def identity(
        cls,
        key: Key,
        d: int,
        hidden: Sequence[int] = (64,),
        context: int = 0,
        n: int | None = None,
        steps: int = 8,
        probes: int = 0,
        dtype: torch.dtype = torch.float32,
    ) -> "Continuous":
        """The identity: the network's last layer is 0. Its hidden layers have these widths, its context this size."""
        check_key(key)
        d, context, k = check_count("d", d), check_count("context", context, 0), check_count("probes", probes, 0)
        network = Conditioner.zero(key, d, hidden, d, context + 1, n, dtype)
        none = network.given.new_zeros(*network.given.shape[:-2], k, d)
        return cls(network, none, Static(check_count("steps", steps))).reprobed(keys.fold_in(key, 1))

    def reprobed(self, key: Key, /) -> "Continuous":
        """The same with other probes: a log det, and a gradient of it, that are unbiased over keys."""
        check_key(key)
        signs = keys.bits(key, (self.probes.numel(),)).reshape(self.probes.shape) % 2
        return self._replace(probes=2 * signs.to(self.probes) - 1)

    def forward(
        self, z: Float[Tensor, "*s n d"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "*s n d"], Float[Tensor, "*s n"]]:
        return self._integrated(z, context, 0.0, 1.0)

    def inverse(
        self, z: Float[Tensor, "*s n d"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "*s n d"], Float[Tensor, "*s n"]]:
        return self._integrated(z, context, 1.0, 0.0)

    def _integrated(self, z: Tensor, context: Tensor | None, start: float, end: float) -> tuple[Tensor, Tensor]:
        d = self.probes.shape[-1]
        check_floating("z", z, f"... {d}", f"the flow is of {d} components")
        step, state = (end - start) / self.steps.value, (z, torch.zeros_like(z[..., 0]))
        for i in range(self.steps.value):
            state = rk4_step(lambda state, t: self._speed(state[0], t, context), state, start + i * step, step)
        return state

    def _speed(self, z: Tensor, t: float, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """dz / dt at time t, and tr J or its estimate."""
        given, d = z.new_full((1,), t), z.shape[-1]
        if c := self.network.given.shape[-1] - 1:
            known = checked_context(context, c, self.network.given)
            given = torch.cat([known, torch.full_like(known[..., :1], t)], -1)
        k = self.probes.shape[-2]
        directions = self.probes.detach() if k else torch.eye(d, dtype=z.dtype, device=z.device)
        speed, change = self.network.along(z, given, directions)
        return speed, (change * directions).sum((-2, -1)) / (k or 1)
