"""A box of one or two coordinates about a mode: its points, the density at them, and the trapezoidal rule."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.checks import described
from jensen.core.contracts import LogDensity
from jensen.core.flows import Triangular
from jensen.estimators.gradients.contract import density
from jensen.estimators.inference.coordinates import around_a_mode

WIDTH = 6.0  # of a box about a mode to each side, in Laplace's scales
CHUNK = 4096  # points at once


class Box(NamedTuple):
    """low <= u <= high, with z = where.forward(u)."""

    where: Triangular
    low: Float[Tensor, " d"]
    high: Float[Tensor, " d"]

    @classmethod
    def about_a_mode(cls, log_p: LogDensity, start: Float[Tensor, "m d"]) -> "Box":
        """Six of Laplace's scales to each side of the best mode that the starts climb to."""
        where, _ = around_a_mode(log_p, start, "full")
        assert where is not None
        return cls(where, torch.full_like(where.loc, -WIDTH), torch.full_like(where.loc, WIDTH))

    @classmethod
    def of(cls, bounds: Sequence[tuple[float, float]], start: Float[Tensor, "m d"]) -> "Box":
        """Of z itself, in the numbers of the starts. ValueError for bounds that are none."""
        d = start.shape[1]
        try:
            pairs = torch.as_tensor(bounds, dtype=start.dtype, device=start.device)
        except (TypeError, ValueError, RuntimeError) as error:
            raise TypeError(
                f"expected bounds, {d} pairs (low, high), got {described(bounds)}: pass [(-1.0, 1.0)] for one dimension"
            ) from error
        if pairs.shape != (d, 2) or not pairs.isfinite().all() or not (pairs[:, 0] < pairs[:, 1]).all():
            raise ValueError(
                f"expected bounds, {d} finite pairs (low, high) with low < high, got {pairs.tolist()}: pass one for "
                "each dimension"
            )
        return cls(Triangular.identity(d, start.dtype), pairs[:, 0], pairs[:, 1])

    def spacing(self, points: int) -> Float[Tensor, " d"]:
        return (self.high - self.low).double() / (points - 1)

    def place(self, u: Float[Tensor, "k d"]) -> Float[Tensor, "k d"]:
        """z of u."""
        return self.where.forward(u[:, None])[0][:, 0]

    def z(self, points: int) -> Float[Tensor, "k d"]:
        """At so many points along each axis."""
        axes = [
            low + (high - low) * torch.linspace(0, 1, points, dtype=low.dtype, device=low.device)
            for low, high in zip(self.low, self.high, strict=True)
        ]
        return self.place(torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).flatten(0, -2))

    def log_density(self, log_p: LogDensity, points: int) -> Float[Tensor, "..."]:
        """Of u at the points. ValueError where it is NaN or inf, or -inf everywhere."""
        z = self.z(points)
        value = torch.cat([density(log_p, some[:, None])[:, 0] for some in z.split(CHUNK)]).double()
        wrong = value.isnan() | (value == torch.inf)
        if wrong.any():
            at, found = z[wrong][0].tolist(), value[wrong][0].item()
            raise ValueError(f"expected log_p finite or -inf on the grid, got {found} at z = {at}: look at log_p there")
        if not value.isfinite().any():
            raise ValueError("expected mass on the grid, got log_p = -inf at every point: give bounds that hold it")
        return (value + self.where.log_scale.double().sum()).reshape((points,) * len(self.low))


def weighted(log_density: Float[Tensor, "..."], spacing: Float[Tensor, " d"]) -> Float[Tensor, "..."]:
    """The log density plus the logs of the trapezoidal rule's weights."""
    value = log_density
    for i, step in enumerate(spacing):
        weight = torch.full((value.shape[i],), 1.0, dtype=value.dtype, device=value.device)
        weight[[0, -1]] = 0.5
        value = value + (step * weight).log().reshape([-1 if j == i else 1 for j in range(value.ndim)])
    return value
