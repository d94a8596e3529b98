"""A posterior for any data: a conditional density of the parameters, how it is calibrated, and where it is known."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.checks import check_count, check_floating, check_key, check_tensor
from jensen.core.contracts import Distribution, Flow, Key
from jensen.core.distributions import DiagNormal, Pushforward
from jensen.core.flows import Conditional, Triangular
from jensen.core.models.bayes import Support, coordinates
from jensen.core.trees import Params, Static
from jensen.estimators.diagnostics import Calibration
from jensen.estimators.inference._mahalanobis import Mahalanobis
from jensen.estimators.inference.simulator import Simulations
from jensen.estimators.inference.summaries import Summary

LEVEL = 0.01  # of data that are called outside what was simulated


class Scaling(NamedTuple):
    """value = loc + scale u: the median, and half the width of the central 68 %, one standard deviation of a normal.

    Where that width is 0, as of few whole numbers, the standard deviation; 1 of a constant.
    """

    loc: Float[Tensor, "*event"]
    scale: Float[Tensor, "*event"]

    @classmethod
    def of(cls, value: Float[Tensor, "n *event"], alike: int = 0) -> "Scaling":
        """Over the first axis, and so many of the next as one."""
        flat = value.flatten(0, alike)
        low, loc, high = (flat.sort(0).values[round(q * (len(flat) - 1))] for q in (0.1587, 0.5, 0.8413))
        width, deviation = (high - low) / 2, flat.std(0, correction=0)
        scale = torch.where(width > 0, width, torch.where(deviation > 0, deviation, 1.0))
        shape = (*[1] * alike, *loc.shape)
        return cls(loc.reshape(shape), scale.reshape(shape))

    def standardised(self, value: Float[Tensor, "n *event"]) -> Float[Tensor, "n *event"]:
        return (value - self.loc) / self.scale


class ConditionalDensity(NamedTuple):
    """q(z | x): z = loc + scale flows(u | summary(x)), u ~ N(0, I).

    params are those of "flows", and of the network of the "summary".
    """

    params: Params
    summary: Static[Summary]
    event: Static[tuple[int, ...]]  # the shape of x
    of_z: Scaling
    of_x: Scaling

    def given(self, x: Float[Tensor, "n *event"]) -> Distribution:
        """The distribution of z (s, n, d) for each x."""
        flows: tuple[Flow, ...] = self.params["flows"]
        summaries = self.summaries(x)
        zero = self.of_z.loc.expand(len(x), -1) * 0
        placed = Triangular.of(self.of_z.loc, torch.diag(self.of_z.scale))
        return Pushforward(DiagNormal(zero, zero), (Conditional(flows, summaries), placed))

    def log_prob(self, simulations: Simulations) -> Float[Tensor, " n"]:
        """log q(z | x) of each pair, in nats."""
        return self.given(simulations.x).log_prob(simulations.z[None])[0]

    def summaries(self, x: Float[Tensor, "n *event"]) -> Float[Tensor, "n c"]:
        return self.summary.value.apply(self.params["summary"], self.of_x.standardised(x))

    def features(self, x: Float[Tensor, "n *event"]) -> Float[Tensor, "n c"]:
        """x itself, standardised, beside its summaries: a network may see nothing of what makes data strange."""
        return torch.cat([self.of_x.standardised(x).reshape(len(x), -1), self.summaries(x)], 1)


class Amortised(NamedTuple):
    """q(z | x) for any x, the calibration of simulations that it did not learn from, and what x are like those.

    log_q is the mean of log q(z | x) in nats over these simulations, with its standard error. They chose when to stop,
    which flatters log_q by less than its error.
    """

    q: ConditionalDensity
    support: Static[Mapping[str, Support]]
    log_q: Float[Tensor, ""]
    standard_error: Float[Tensor, ""]
    calibration: Calibration
    simulated: Mahalanobis
    settled: bool

    def given(self, x: Float[Tensor, "n *event"]) -> Distribution:
        """The posterior of z (s, n, d), the parameters' real numbers, for each of n data sets."""
        return self.q.given(self._checked(x))

    def draws(self, key: Key, x: Float[Tensor, "n *event"], s: int) -> Float[Tensor, "s n d"]:
        """Draws of z."""
        check_key(key)
        q = self.given(x)
        with torch.no_grad():
            return q.sample(q.noise(key, check_count("s", s)))

    def constrained(self, z: Float[Tensor, "... d"]) -> dict[str, Tensor]:
        """The parameters (..., *shape) by name."""
        return coordinates.constrained(self.support.value, z)

    def likeness(self, x: Float[Tensor, "n *event"]) -> Float[Tensor, " n"]:
        """The share of simulations as far as x or farther from their middle: a p-value, small outside of them.

        By Mahalanobis's distance; data may be strange in ways that it does not see.
        """
        return self.simulated.p_value(self.q.features(self._checked(x)))

    def verdict(self, x: Float[Tensor, "n *event"] | None = None) -> str:
        """Whether posteriors are calibrated over the prior, and whether data x are among what was simulated."""
        reasons = [self.calibration.verdict()]
        if not self.settled:
            reasons.append("the held-out density still rose: more epochs may make it better")
        if x is not None:
            reasons.append(self._place(x))
        return "; ".join(reasons)

    def _place(self, x: Tensor) -> str:
        likeness, m = self.likeness(x), len(self.simulated.unseen)
        far = likeness <= max(LEVEL, 1 / (m + 1))
        if not far.any():
            return f"data are among what was simulated, p-value {likeness.min().item():.2g}"
        which = ", ".join(map(str, far.nonzero()[:, 0].tolist()[:5])) + (", …" if far.sum() > 5 else "")
        return (
            f"data {which} of {len(x)} are outside what was simulated, p-value {likeness.min().item():.2g} by "
            f"Mahalanobis's distance among {m} simulations: do not trust their posterior; look at the model"
        )

    def _checked(self, x: Tensor) -> Tensor:
        event = self.q.event.value
        fix = "a row for each data set, so one alone is x[None]"
        check_tensor("x", x, " ".join(["n", *map(str, event)]), fix)
        x = x.to(self.q.of_x.loc.dtype)
        check_floating("x", x)
        if not x.isfinite().all():
            rows = int((~x.isfinite()).reshape(len(x), math.prod(event)).any(1).sum())
            raise ValueError(
                f"expected finite x, got NaN or infinity in {rows} of {len(x)} rows: mend or leave them out"
            )
        return x
