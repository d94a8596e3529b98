"""Coordinates in which a posterior is near N(0, I): those of Laplace's normal at the best mode found."""

from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.contracts import LogDensity
from jensen.core.flows import Triangular
from jensen.estimators.evidence import find_mode
from jensen.estimators.evidence.local import Local
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
    mode = find_mode(log_p, starts, steps=STEPS)
    precision = -Local.of(log_p, mode.z).hessian()
    found = mode.climb.nan_to_num(nan=torch.inf) < APART
    flipped, failed = torch.linalg.cholesky_ex(precision.flip(-2, -1))
    root = flipped.flip(-2, -1)  # upper-triangular, precision = root root', so that root'^-1 is the covariance's
    found &= (failed == 0) & precision.isfinite().flatten(1).all(1)
    evidence = mode.log_p - root.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    if not found.any():
        return around(starts), False
    best = int(torch.where(found, evidence, -torch.inf).argmax())
    if coordinates == "diagonal":
        return Triangular.of(mode.z[best], torch.diag(precision[best].diagonal().rsqrt())), True
    unit = torch.eye(starts.shape[1], dtype=root.dtype, device=root.device)
    return Triangular.of(mode.z[best], torch.linalg.solve_triangular(root[best].mT, unit, upper=False)), True


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
