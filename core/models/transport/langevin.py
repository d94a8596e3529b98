"""Langevin dynamics: draws from exp(-energy), with the steps' bias, or corrected by Metropolis and Hastings.

    x' = x + step score(x) + sqrt(2 step) noise

Invariant     p as step -> 0 (`unadjusted`): the steps leave variance v / (1 - step / (2 v)) of N(m, v). p at any step
              (`adjusted`)
Cost          a gradient a step for each chain
Reference     Roberts and Tweedie, 1996
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_count, check_floating, check_function, check_key, check_number
from jensen.core.contracts import Key
from jensen.core.models.transport import energies
from jensen.core.models.transport.energies import Energy
from jensen.core.models.transport.traces import VectorField


@torch.no_grad()
def unadjusted(score: VectorField, x: Float[Tensor, "n d"], key: Key, steps: int, step: float) -> Float[Tensor, "n d"]:
    """Where n chains from x are after so many steps."""
    check_function("score", score, "energies.score(energy)")
    steps, step = _checked(x, key, steps, step)
    for i in range(steps):
        x = _proposed(score(x), x, keys.fold_in(key, i), step)
    return x


@torch.no_grad()
def adjusted(
    energy: Energy, x: Float[Tensor, "n d"], key: Key, steps: int, step: float
) -> tuple[Float[Tensor, "n d"], Float[Tensor, " n"]]:
    """The same with each step accepted or not, and the share of its steps that each chain accepted.

    Where energy is inf or NaN, nothing is accepted.
    """
    score = energies.score(energy)
    steps, step = _checked(x, key, steps, step)
    accepted, height, slope = torch.zeros_like(x[:, 0]), energy(x), score(x)
    for i in range(steps):
        noise_key, accept_key = keys.split(keys.fold_in(key, i))
        new = _proposed(slope, x, noise_key, step)
        new_height, new_slope = energy(new), score(new)
        there, back = (_log_density(b, a, s, step) for a, b, s in ((x, new, slope), (new, x, new_slope)))
        log_ratio = height - new_height + back - there
        moved = keys.uniform(accept_key, (1, len(x)), x.dtype)[0].log() < log_ratio  # never where it is NaN
        x, slope = (torch.where(moved[:, None], a, b) for a, b in ((new, x), (new_slope, slope)))
        height, accepted = torch.where(moved, new_height, height), accepted + moved
    return x, accepted / steps


def _proposed(slope: Tensor, x: Tensor, key: Key, step: float) -> Tensor:
    return x + step * slope + math.sqrt(2 * step) * keys.normal(key, (1, *x.shape), x.dtype)[0]


def _log_density(to: Tensor, x: Tensor, slope: Tensor, step: float) -> Tensor:
    """Of a step from x, up to a constant."""
    return -(to - x - step * slope).square().sum(-1) / (4 * step)


def _checked(x: Tensor, key: Key, steps: int, step: float) -> tuple[int, float]:
    check_floating("x", x, "n d", "one row per chain")
    check_key(key)
    return check_count("steps", steps), check_number("step", step, "(0, inf)")
