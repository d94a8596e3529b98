"""k-means (Lloyd, 1982) with the careful start of k-means++ (Arthur and Vassilvitskii, 2007).

centres = fit(x, start(key, x, 512), 10)            # x (N, d)
"""

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_count, check_floating
from jensen.core.concrete import is_concrete
from jensen.core.contracts import Key
from jensen.core.numerics import at_least_float32
from jensen.core.ops import nearest_code


def start(key: Key, x: Float[Tensor, "N d"], size: int) -> Float[Tensor, "size d"]:
    """`size` of the vectors x, each drawn with probability proportional to its squared distance to those before.

    ValueError for more centres than there are vectors, or than distinct ones.
    """
    check_floating("x", x, "N d", "one row per vector")
    size, x = check_count("size", size), at_least_float32(x.detach())
    if size > len(x):
        raise ValueError(
            f"expected x of {size} vectors or more, one for each centre, got {len(x)}: pass more, or a smaller size"
        )
    u = keys.uniform(key, (size,), torch.float64)
    mass, chosen, totals = torch.ones_like(x[:, 0], dtype=torch.float64), [], []
    for i in range(size):
        cumulative = mass.cumsum(0)
        place = (cumulative <= u[i] * cumulative[-1]).sum(0, keepdim=True).clamp_max(len(x) - 1)
        chosen.append(x[place])
        totals.append(cumulative[-1])
        distance = (x - x[place]).square().sum(-1).double()
        mass = torch.minimum(mass, distance) if i else distance
    distinct = torch.stack(totals) > 0
    if is_concrete(distinct) and not distinct.all():
        raise ValueError(
            f"expected x of {size} distinct vectors or more, one for each centre, got {int(distinct.sum())}: pass "
            "others, or a smaller size"
        )
    return torch.cat(chosen)


def fit(x: Float[Tensor, "N d"], centres: Float[Tensor, "C d"], iterations: int) -> Float[Tensor, "C d"]:
    """Each centre at the mean of the vectors nearest to it, so many times over: the inertia never rises.

    A centre that is nearest to no vector stays.
    """
    _check(x, centres)
    iterations, x = check_count("iterations", iterations, 0), at_least_float32(x.detach())
    for _ in range(iterations):
        codes, _ = nearest_code(x, centres)
        counts = torch.zeros_like(centres[:, 0]).index_add(0, codes, torch.ones_like(x[:, 0]))[:, None]
        sums = torch.zeros_like(centres).index_add(0, codes, x)
        centres = torch.where(counts > 0, sums / counts.clamp_min(1), centres)
    return centres


def inertia(x: Float[Tensor, "N d"], centres: Float[Tensor, "C d"]) -> Float[Tensor, ""]:
    """The sum of squared distances to the nearest centres."""
    _check(x, centres)
    return nearest_code(x, centres)[1].sum()


def _check(x: Tensor, centres: Tensor) -> None:
    check_floating("x", x, "N d", "one row per vector")
    check_floating("centres", centres, "C d", "one row per centre")
    if x.shape[1] != centres.shape[1] or not len(centres):
        raise ValueError(
            f"expected centres (C, {x.shape[1]}), got {tuple(centres.shape)}: give one at least, as wide as x's vectors"
        )
