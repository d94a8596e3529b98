"""What a density of points is worth on test data: log p beside simple densities', in nats and in bits; a figure."""

import math
from collections.abc import Callable, Mapping

import torch
from matplotlib.figure import Figure
from torch import Tensor

from jensen.experiments.data.points import DEVIATION, Points
from jensen.experiments.report.drawing import panels
from jensen.experiments.run.program import Finding, Row

NORMAL = "a normal"  # the floor of every model
SEARCHED = 1000  # of the training points, on which the kernels' width is chosen
WIDTHS = 0.01 * 1.5 ** torch.arange(13)  # of kernels, beside the points' deviation
CELLS = 200  # of a figure, along a side


def compared(
    log_p: Tensor, simple: Mapping[str, Tensor], exact: Mapping[str, Tensor], dimensions: int, cell: float | None = None
) -> Finding:
    """Means of log p (n,), with their standard errors: a model's, of simple densities, and of the data's own.

    cell: the side of the cells over which uniform noise spread the data's levels. Then each is a lower bound of the log
    probability of the cell that a datum is of, by Jensen's inequality (Theis et al., 2016).
    """
    unit = 0.0 if cell is None else dimensions * math.log(cell)
    rows: list[Row] = []
    of = "test, log p" if cell is None else "test, bound of log P(levels)"
    lines = [f"{of:<40}{'nats':>9}{'bits/dim':>18}"]
    for name, values in {"the model": log_p, **simple, **exact}.items():
        mean, error = values.double().mean().item() + unit, values.double().std().item() / len(values) ** 0.5
        bits = -mean / dimensions / math.log(2)
        rows.append({"name": name, "mean": mean, "error": error, "bits_per_dim": bits})
        lines.append(f"{name:<40}{mean:>9.3f} ± {error:.3f}{bits:>10.3f}")
    if not log_p.double().mean() > simple[NORMAL].double().mean():  # nor is NaN
        lines.append(f"no better than {NORMAL}: train longer, or look at figures/training.png for the cause")
    return Finding("log p", rows, "\n".join(lines) + "\n")


def simple(train: Tensor, x: Tensor) -> dict[str, Tensor]:
    """log p of x (n, d) by densities of train (m, d): a normal, and normal kernels of the width that fits best."""
    return {NORMAL: normal(train, x), "normal kernels at the training data": kernels(train, x)}


def normal(train: Tensor, x: Tensor) -> Tensor:
    """Of train's mean and covariance."""
    cov, mean = torch.cov(train.double().T), train.double().mean(0)
    return torch.distributions.MultivariateNormal(mean, cov).log_prob(x.double())


def kernels(train: Tensor, x: Tensor) -> Tensor:
    """One at each point, all of the width that is best for the first SEARCHED points by the others."""
    train, size = train.double(), min(SEARCHED, len(train) // 2)
    widths = WIDTHS.to(train) * train.std(0).mean()
    searched = [_kernels(train[size:], train[:size], width).mean() for width in widths]
    return _kernels(train, x.double(), widths[torch.stack(searched).argmax()])


def known(data: Points) -> dict[str, Tensor]:
    """log p of test points by the density that they are of, where that is known."""
    if not len(data.centres):
        return {}
    centres = data.centres.double()
    return {"the data's own": _kernels(centres, data.test.double(), centres.new_tensor(DEVIATION))}


def figure(log_prob: Callable[[Tensor], Tensor], drawn: Tensor, data: Tensor) -> Figure:
    """In the plane: data, draws, and the density between its 1 % and its largest, in a logarithmic scale."""
    canvas, axes = panels(1, 3, 11.0, 3.0)
    low, high = data.amin(0), data.amax(0)
    low, high = low - 0.2 * (high - low), high + 0.2 * (high - low)
    x, y = (torch.linspace(*ends, CELLS).to(data) for ends in zip(low.tolist(), high.tolist(), strict=True))
    log_p = log_prob(torch.cartesian_prod(x, y)).reshape(CELLS, CELLS).T.double().cpu()
    levels = torch.linspace(-4.6, 0, 13) + log_p.max()
    for axis, points, name in zip(axes[0], (data, drawn, None), ("data", "drawn", "log p"), strict=True):
        axis.set(title=name, xlim=(x[0].item(), x[-1].item()), ylim=(y[0].item(), y[-1].item()), aspect="equal")
        if points is not None:
            axis.scatter(*points.cpu().T, s=2, alpha=0.4, linewidths=0)
        else:
            shown = axis.contourf(x.cpu(), y.cpu(), log_p, levels=levels.tolist(), cmap="viridis")
            canvas.colorbar(shown, ax=axis, label="nats", shrink=0.9, format="%.1f", ticks=levels[::3].tolist())
    return canvas


def _kernels(centres: Tensor, x: Tensor, width: Tensor) -> Tensor:
    """log of the mean density of normals of one deviation at centres (m, d), at x (n, d)."""
    d, parts = x.shape[1], []
    for part in x.split(500):
        exponents = -torch.cdist(part, centres, compute_mode="donot_use_mm_for_euclid_dist").square() / (2 * width**2)
        parts.append(exponents.logsumexp(1))
    return torch.cat(parts) - math.log(len(centres)) - d * (width.log() + math.log(2 * math.pi) / 2)
