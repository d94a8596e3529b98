"""What an exact model of pixels is worth on test images: NLL beside that of independent pixels; drawn images."""

import math

from matplotlib.figure import Figure
from torch import Tensor

from jensen.experiments.report.images import Images, grid
from jensen.experiments.run.program import Finding, Row


def likelihoods(test: Tensor, train: Tensor, independent: Tensor, pixels: int) -> Finding:
    """Means of -log p(x) of test and of training images, and of test images by independent pixels, (n,) each."""
    rows: list[Row] = []
    lines = [f"{'NLL, exact':<40}{'nats':>9}{'bits/dim':>17}"]
    for name, log_p in {"test": test, "training": train, "test, by independent pixels": independent}.items():
        nll, error = -log_p.double().mean().item(), log_p.double().std().item() / len(log_p) ** 0.5
        bits = nll / pixels / math.log(2)
        rows.append({"name": name, "nll": nll, "error": error, "bits_per_dim": bits})
        lines.append(f"{name:<40}{nll:>9.2f} ± {error:.2f}{bits:>10.3f}")
    if not test.double().mean() > independent.double().mean():  # nor is NaN above it
        lines.append("no better than independent pixels: train longer, or look at figures/training.png for the cause")
    return Finding("likelihood", rows, "\n".join(lines) + "\n")


def drawn(x: Tensor, images: Images) -> Figure:
    """Images drawn (n, D), in a square grid."""
    side = math.isqrt(len(x))
    return grid(x[: side * side].split(side), images, [""] * side, "Drawn images")
