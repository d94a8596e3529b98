"""Coordinates in which a posterior is near N(0, I): those of Laplace's normal at the best mode found."""

from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.contracts import LogDensity
from jensen.core.distributions import DiagNormal, FullNormal
from jensen.core.flows import Triangular
from jensen.estimators.evidence import Laplace, find_mode
from jensen.estimators.evidence._laplace import at as laplace_at
from jensen.estimators.gradients.contract import density

Coordinates = Literal["full", "diagonal", "own"]
COORDINATES = get_args(Coordinates)
STEPS = 200  # of the climb, at most
APART = 1e-3  # nats that a step from a mode may gain
UNIT = 0.3  # the scale where no mode was found


def around_a_mode(
    log_p: LogDensity, starts: Float[Tensor, "m d"], coordinates: Coordinates
) -> tuple[Triangular | None, bool]:
    """(z = mode + factor u, whether there is such a mode): of the starts' modes, that with most evidence by Laplace.

    The factor is the covariance's root, or for "diagonal" the scales given the other coordinates, which suit a mean
    field; for "own" there are none. Where no start climbs to a mode with a definite Hessian, as where the density
    has no bound, u are coordinates about the first start.
    """
    if coordinates == "own":
        return None, True
    normals = at_modes(log_p, starts)
    return (around(starts), False) if normals.log_p.isnan().all() else (best_of(normals, coordinates), True)


def at_modes(log_p: LogDensity, starts: Float[Tensor, "m d"]) -> Laplace:
    """Laplace's normal where each start climbs to, with NaN for log_p where that is no mode."""
    return laplace_at(log_p, find_mode(log_p, starts, steps=STEPS, tolerance=0.0).z, APART)


def best_of(normals: Laplace, coordinates: Coordinates) -> Triangular:
    """Those of the normal with most evidence."""
    best = int(normals.log_p.nan_to_num(nan=-torch.inf).argmax())
    factor = normals.factor[best]
    if coordinates == "diagonal":
        factor = torch.diag(normals.precision[best].diagonal().rsqrt())
    return Triangular.of(normals.mode[best], factor)


def normal(where: Triangular, coordinates: Coordinates) -> FullNormal | DiagNormal:
    """What the coordinates take N(0, I) to, of one row."""
    if coordinates == "diagonal":
        return DiagNormal(where.loc[None], where.log_scale[None])
    return FullNormal(where.loc[None], where.log_scale[None], where.lower[None])


def around(starts: Float[Tensor, "m d"]) -> Triangular:
    """z = start + 0.3 u, of the first start."""
    return Triangular.of(starts[0], UNIT * torch.eye(starts.shape[1], dtype=starts.dtype, device=starts.device))


def in_coordinates(log_p: LogDensity, coordinates: Triangular | None) -> LogDensity:
    """The log density of u, (s, 1, d) -> (s, 1)."""
    if coordinates is None:
        return log_p

    def of_u(u: Tensor) -> Tensor:
        z, log_det = coordinates.forward(u)
        return density(log_p, z) + log_det

    return of_u
