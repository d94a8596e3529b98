"""Flow matching (Lipman et al., 2023) along straight paths, rectified flow (Liu et al., 2023).

    x_t = (1 - t) x_0 + t x_1,    x_0 ~ N(0, I),  x_1 ~ data
    loss = E |velocity(x_t, t) - (x_1 - x_0)|²         its minimum is E[x_1 - x_0 | x_t], which carries N(0, I) to data

Samples solve dx / dt = velocity(x, t) from t = 0 to 1, and densities go with them by the trace of its Jacobian.
"""

from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_choice, check_count, check_floating, check_key, check_value
from jensen.core.contracts import Key
from jensen.core.distributions import DiagNormal
from jensen.core.models.transport import traces
from jensen.core.models.transport.fields import Field
from jensen.core.numerics import rk4_step
from jensen.core.trees import Params


@dataclass(frozen=True)
class FlowMatching:
    """A field of velocities; every method is a pure function of its parameters."""

    field: Field

    def init(self, key: Key, dtype: torch.dtype = torch.float32, /) -> Params:
        """The field's parameters."""
        return self.field.init(key, dtype)

    def loss(
        self, params: Params, x: Float[Tensor, "n d"], key: Key, start: Float[Tensor, "n d"] | None = None
    ) -> Float[Tensor, " n"]:
        """Squared errors of the velocity at a uniform time, summed over coordinates.

        start: the x_0 of each x_1, drawn from N(0, I) unless given. Of pairs that `transported` makes, it is reflow.
        """
        self._check("x", x)
        check_key(key)
        t, noise = times_and_starts(x, key)
        first = noise if start is None else start
        self._check("start", first, len(x))
        velocity = self.field(params, (1 - t) * first + t * x, t[:, 0])
        return (velocity - (x - first)).square().sum(-1)

    def transported(
        self, params: Params, x: Float[Tensor, "n d"], steps: int = 20, method: Literal["rk4", "euler"] = "rk4"
    ) -> Float[Tensor, "n d"]:
        """x_1 of x_0, by equal steps of Runge and Kutta's fourth order or of Euler's."""
        self._check("x", x)
        check_choice("method", method, ("rk4", "euler"))
        step = 1 / check_count("steps", steps)
        for i in range(steps):
            x = self._stepped(params, x, i * step, step, method)
        return x

    def sample(
        self, params: Params, key: Key, n: int, steps: int = 20, method: Literal["rk4", "euler"] = "rk4",
        dtype: torch.dtype = torch.float32,
    ) -> Float[Tensor, "n d"]:  # fmt: skip
        """x_1 of n draws from N(0, I)."""
        check_key(key)
        return self.transported(
            params, keys.normal(key, (1, check_count("n", n), self.field.data), dtype)[0], steps, method
        )

    def log_prob(self, params: Params, x: Float[Tensor, "n d"], steps: int = 20) -> Float[Tensor, " n"]:
        """log p(x) of what `sample` draws, in nats per datum, up to the steps' error, O(steps^-4).

        log N(x_0; 0, I) - the integral of tr d velocity / d x along the path, exact at d products with the Jacobian.
        """
        self._check("x", x)
        state, step = (x, torch.zeros_like(x[:, 0])), 1 / check_count("steps", steps)
        for i in range(steps, 0, -1):
            state = rk4_step(partial(self._spread, params), state, i * step, -step)
        start, change = state
        zero = torch.zeros_like(start)
        return DiagNormal(zero, zero).log_prob(start) + change

    def straightness(self, params: Params, x: Float[Tensor, "n d"], steps: int = 20) -> Float[Tensor, " n"]:
        """The mean over time of |x_1 - x_0 - velocity(x_t, t)|² from x_0 = x: 0 where one step of Euler's is exact."""
        self._check("x", x)
        step, velocities, at = 1 / check_count("steps", steps), [], x
        for i in range(steps):
            velocities.append(self.field(params, at, at.new_full((len(at),), i * step)))
            at = self._stepped(params, at, i * step, step, "rk4")
        return torch.stack([(at - x - velocity).square().sum(-1) for velocity in velocities]).mean(0)

    def _stepped(self, params: Params, x: Tensor, t: float, step: float, method: str) -> Tensor:
        def velocity(x: Tensor, t: float) -> Tensor:
            return self.field(params, x, x.new_full((len(x),), t))

        return rk4_step(velocity, x, t, step) if method == "rk4" else x + step * velocity(x, t)

    def _spread(self, params: Params, state: tuple[Tensor, Tensor], t: float) -> tuple[Tensor, Tensor]:
        """The velocity, and the trace of its Jacobian, minus the rate of log p along the path."""
        x, times = state[0], state[0].new_full((len(state[0]),), t)

        def velocity(x: Tensor) -> Tensor:
            return self.field(params, x, times)

        return velocity(x), traces.exact(velocity, x)

    def _check(self, name: str, x: Tensor, n: int | None = None) -> None:
        check_floating(name, x, f"{'n' if n is None else n} {self.field.data}", "one row per datum")


def times_and_starts(x: Float[Tensor, "n d"], key: Key) -> tuple[Float[Tensor, "n 1"], Float[Tensor, "n d"]]:
    """A uniform time and a draw of N(0, I) for each row of x."""
    time_key, noise_key = keys.split(key)
    return keys.uniform(time_key, (1, len(x), 1), x.dtype)[0], keys.normal(noise_key, (1, *x.shape), x.dtype)[0]


def build(field: Field) -> FlowMatching:
    """A flow along this field, once it is trained."""
    check_value("field", field, Field, "fields.mlp(2)")
    return FlowMatching(field)
