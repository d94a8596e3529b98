"""What drawn points are worth beside data: modes found, exact transport distances, tests of two samples, a figure."""

import math

import torch
from matplotlib.figure import Figure
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from jensen.core import keys
from jensen.core.contracts import Key
from jensen.estimators.diagnostics import two_sample
from jensen.experiments.data.points import DEVIATION
from jensen.experiments.report.drawing import panels
from jensen.experiments.run.program import Finding, Row

COMPARED, TIMES = 2000, 4  # points of a transport distance, and how many of these it is the mean of
DRAWN = COMPARED * TIMES
NEAR = 4.0  # deviations within which a point is a mode's
ENOUGH = 0.2  # of a mode's equal share of all points, from which it counts as found


def judged(drawn: Tensor, data: Tensor, centres: Tensor, key: Key) -> Finding:
    """Of drawn points (n, d) beside test data (m, d): Wasserstein's distance, a test of two samples, and modes.

    The distance of so few points varies by a third from draw to draw: it is the mean of several, with its standard
    error. Beside it stand those of other data, and of data each of whose coordinates is shuffled by itself: what a
    generator without error has, and one that knows no more than the coordinates' distributions.
    """
    n = min(COMPARED, len(drawn), len(data) // 2)
    apart = torch.tensor([wasserstein(part, data[:n]) for part in drawn[: TIMES * n].split(n) if len(part) == n])
    mean, error = apart.mean().item(), apart.std(correction=min(1, len(apart) - 1)).item() / len(apart) ** 0.5
    of_data = wasserstein(data[n : 2 * n], data[:n])
    of_shuffled = wasserstein(shuffled(data[n : 2 * n], keys.fold_in(key, 1)), data[:n])
    test = two_sample(drawn[:n], data[:n], key)
    rows: list[Row] = [
        {"name": "wasserstein", "value": mean, "error": error, "of_data": of_data, "of_shuffled": of_shuffled},
        {"name": "two-sample p", "value": float(test.p_value), "of_data": None},
    ]
    lines = [
        f"{f'Wasserstein-1, {n} points':<40}{mean:>9.3f} ± {error:.3f}   of other data {of_data:.3f}, shuffled "
        f"{of_shuffled:.3f}",
        f"{'two-sample p':<40}{float(test.p_value):>9.3f}",
    ]
    if len(centres):
        found, near = modes(drawn, centres)
        rows += [
            {"name": "modes", "value": found, "of_data": len(centres)},
            {"name": "near", "value": near, "of_data": modes(data, centres)[1]},
        ]
        lines += [
            f"{'modes found':<40}{found:>9} of {len(centres)}",
            f"{f'points within {NEAR:.0f} deviations of one':<40}{100 * near:>8.1f} %",
        ]
    return Finding("points", rows, "\n".join(lines) + "\n")


def shuffled(x: Tensor, key: Key) -> Tensor:
    """x (n, d) with each coordinate in an order of its own."""
    orders = keys.uniform(key, (1, *x.shape), torch.float64)[0].argsort(0)
    return x.gather(0, orders.to(x.device))


def modes(x: Tensor, centres: Tensor) -> tuple[int, float]:
    """How many centres have ENOUGH points within NEAR deviations, and the share of points that are near any."""
    distance, nearest = torch.cdist(x, centres.to(x)).min(1)
    near = distance < NEAR * DEVIATION
    counts = torch.bincount(nearest[near], minlength=len(centres))
    return int((counts > ENOUGH * len(x) / len(centres)).sum()), near.double().mean().item()


def wasserstein(x: Tensor, y: Tensor) -> float:
    """The mean distance of the best pairing of x and y (n, d) each: Wasserstein's distance of the two samples.

    In one dimension it pairs them in order; otherwise by the assignment problem, in O(n³).
    """
    if x.shape != y.shape:
        raise ValueError(f"expected as many points, got {tuple(x.shape)} and {tuple(y.shape)}: cut the longer")
    if x.shape[1] == 1:
        return (x.sort(0).values - y.sort(0).values).abs().mean().item()
    distance = torch.cdist(x.double(), y.double()).cpu().numpy()
    return float(distance[linear_sum_assignment(distance)].mean())


def figure(drawn: Tensor, data: Tensor) -> Figure:
    """Points of the plane beside data, or images in a grid."""
    canvas, axes = panels(1, 2, 8.0, 4.0)
    for axis, points, name in zip(axes[0], (data, drawn), ("data", "drawn"), strict=True):
        axis.set_title(name)
        if points.shape[1] == 2:
            axis.scatter(*points.cpu().T, s=2, alpha=0.4, linewidths=0)
            axis.set_xlim(*_limits(data[:, 0]))
            axis.set_ylim(*_limits(data[:, 1]))
            axis.set_aspect("equal")
        else:
            side, count = math.isqrt(points.shape[1]), math.isqrt(min(len(points), 64))
            tiles = points[: count**2].cpu().reshape(count, count, side, side).transpose(1, 2)
            tiles = tiles.reshape(count * side, -1).numpy()
            axis.imshow(tiles, cmap="gray", vmin=-1, vmax=1, interpolation="nearest")
            axis.set_axis_off()
    return canvas


def _limits(x: Tensor) -> tuple[float, float]:
    low, high = x.min().item(), x.max().item()
    return low - 0.2 * (high - low), high + 0.2 * (high - low)
