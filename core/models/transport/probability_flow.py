"""The probability-flow ODE of a diffusion (Song et al., 2021): its marginals without its noise, and their density.

With s² = (1 - a) / a, the variance of the noise beside data of scale 1, and x_t = sqrt(a) (x_0 + s noise),

    d x / d log s = sqrt(1 - a) noise(x, t) - (1 - a) x

carries the density of each level to the next one's. It starts at the first level, data with noise of deviation s_1, and
ends at the last, where N(0, I) takes its place. t between levels is linear in log s; steps are equal in log s.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.checks import check_count, check_floating, check_value
from jensen.core.distributions import DiagNormal
from jensen.core.models.transport import traces
from jensen.core.models.transport.diffusion import Diffusion
from jensen.core.numerics import rk4_step
from jensen.core.trees import Params

State = TypeVar("State")


@dataclass(frozen=True)
class ProbabilityFlow:
    """A diffusion as an invertible map; every method is a pure function of the field's parameters.

    By steps of Runge and Kutta's fourth order: a density's error is O(steps^-4).
    """

    diffusion: Diffusion

    def encoded(self, params: Params, x: Float[Tensor, "n d"], steps: int = 50) -> Float[Tensor, "n d"]:
        """z of x, N(0, I) where the noise is right and the last level has no data left."""
        self._check("x", x)
        return self._moved(partial(self._speed, params), self._scale(x) * x, steps, forward=True)

    def decoded(self, params: Params, z: Float[Tensor, "n d"], steps: int = 50) -> Float[Tensor, "n d"]:
        """x of z, the inverse of `encoded`: of z ~ N(0, I), draws from what `log_prob` is the density of."""
        self._check("z", z)
        return self._moved(partial(self._speed, params), z, steps, forward=False) / self._scale(z)

    def log_prob(self, params: Params, x: Float[Tensor, "n d"], steps: int = 50) -> Float[Tensor, " n"]:
        """log p(x) in nats per datum, by the exact trace, at d products with the Jacobian of the noise a stage."""
        self._check("x", x)

        def spread(places: Tensor, state: tuple[Tensor, Tensor], share: float) -> tuple[Tensor, Tensor]:
            def speed(x: Tensor) -> Tensor:
                return self._speed(params, places, x, share)

            return speed(state[0]), traces.exact(speed, state[0])

        scale = self._scale(x)
        z, change = self._moved(spread, (scale * x, torch.zeros_like(x[:, 0])), steps, forward=True)
        zero = torch.zeros_like(z)
        return DiagNormal(zero, zero).log_prob(z) + change + x.shape[-1] * scale.log()

    def _moved(self, speed: Callable[[Tensor, State, float], State], state: State, steps: int, forward: bool) -> State:
        """The state at the last level from that at the first, or back."""
        kept = self.diffusion.table.kept
        places = 0.5 * (torch.log1p(-kept) - kept.log())  # log s of t = 1, ..., T
        step = (1 if forward else -1) / check_count("steps", steps)
        for i in range(steps):
            state = rk4_step(partial(speed, places), state, i * step if forward else 1 + i * step, step)
        return state

    def _speed(self, params: Params, places: Tensor, x: Tensor, share: float) -> Tensor:
        """dx by the share of the way from the first level to the last."""
        length = places[-1] - places[0]
        place = places[0] + share * length
        after = torch.searchsorted(places, place).clamp(1, len(places) - 1)
        before = places[after - 1]
        t = after + (place - before) / (places[after] - before)  # levels count from 1
        lost = torch.sigmoid(2 * place)  # 1 - a
        noise = self.diffusion.field(params, x, (t / len(places)).to(x).expand(len(x)))
        return (length * lost.sqrt()).to(x) * noise - (length * lost).to(x) * x

    def _scale(self, x: Tensor) -> Tensor:
        return self.diffusion.table.kept[0].sqrt().to(x)

    def _check(self, name: str, x: Tensor) -> None:
        check_floating(name, x, f"n {self.diffusion.field.data}", "one row per datum")


def build(diffusion: Diffusion) -> ProbabilityFlow:
    """That of a diffusion."""
    check_value("diffusion", diffusion, Diffusion, "diffusion.build(field, levels)")
    return ProbabilityFlow(diffusion)
