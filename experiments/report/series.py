"""What a model of series makes of those it sees in part: errors where it is asked, beside simple answers; a figure."""

from collections.abc import Mapping

import torch
from matplotlib.figure import Figure
from torch import Tensor

from jensen.core.distributions import DiagNormal
from jensen.estimators.evidence import Evidence
from jensen.experiments.data.irregular import Asked, carried_forward, series_mean
from jensen.experiments.report.drawing import panels
from jensen.experiments.run.program import Finding, Row

DRAWN = 6  # series of a figure
CHANNELS = 4  # at most, that are drawn as curves
FILMS = ("test film", "frames seen", "the model's mean")


def means(name: str, of: Mapping[str, Tensor], unit: str) -> Finding:
    """Means over series of numbers (n,), with their standard errors."""
    rows: list[Row] = []
    for each, values in of.items():
        mean, error = values.double().mean().item(), values.double().std().item() / len(values) ** 0.5
        rows.append({"name": each, "mean": mean, "error": error, "unit": unit})
    return Finding(name, rows, _lines(rows, 2))


def of_evidence(found: Evidence) -> Finding:
    """The mean NLL, and whether its samples can be trusted."""
    summary = means("evidence", {"NLL of the seen": -found.log_p}, "nats")
    return summary._replace(summary=f"{summary.summary}{found.verdict()}\n")


def by_part(kl: Tensor) -> Finding:
    """The mean KL of each part (n, k): a latent dimension or a visit."""
    parts = kl.double().mean(0).tolist()
    rows: list[Row] = [{"part": i, "mean": mean} for i, mean in enumerate(parts)]
    return Finding("kl", rows, f"{'KL by part':<40}{' '.join(f'{mean:.2f}' for mean in parts)} nats\n")


def answers(p: DiagNormal, asked: Asked) -> Finding:
    """Squared errors of p's mean, over samples (s, n, m, c), where the model is asked, with those of two floors.

    Each is the mean over series, with its standard error, of the mean over what is asked of a series.
    """
    seen = asked.given()
    guesses = {
        "by the model": p.loc.mean(0), "by the mean of the seen": series_mean(seen),
        "by the last one seen": carried_forward(seen),
    }  # fmt: skip
    rows: list[Row] = []
    for question, where in asked.questions.items():
        for name, guess in guesses.items():
            mean, error = _squared_error(guess, asked.series.values, where)
            rows.append({"name": f"{question} {name}", "mean": mean, "error": error, "unit": "squared error"})
    return Finding("answers", rows, _lines(rows, 4))


def figure(p: DiagNormal, asked: Asked, time: str) -> Figure:
    """Curves of few channels, films of many."""
    return films(p, asked, time) if p.loc.shape[-1] > CHANNELS else curves(p, asked, time)


def films(p: DiagNormal, asked: Asked, time: str, count: int = 4) -> Figure:
    """Frames side by side: all of them, those that were seen, and p's mean."""
    canvas, axes = panels(count, 3, 9.0, 1.3 * count + 0.6)
    for i, row in enumerate(axes):
        order = asked.series.times[i].argsort()
        x, mean = (t[i][order].float().cpu() for t in (asked.series.values, p.loc.mean(0)))
        seen = asked.seen[i][order].cpu()[:, None]
        for axis, frames, name in zip(row, (x, torch.where(seen, x, torch.nan), mean), FILMS, strict=True):
            axis.imshow(frames.T.numpy(), cmap="gray_r", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
            axis.set_xticks([])
            axis.set_yticks([])
            if i == 0:
                axis.set_title(name, fontsize=9)
        row[0].set_ylabel("pixels", fontsize=8)
    for axis in axes[-1]:
        axis.set_xlabel(f"frames in the order of {time}", fontsize=8)
    return canvas


def curves(p: DiagNormal, asked: Asked, time: str, count: int = DRAWN) -> Figure:
    """Series with what was seen of them and what was not, and p's mean with two standard deviations around it."""
    mean, spread = p.loc.mean(0), (p.loc.var(0, correction=0) + (2 * p.log_scale).exp().mean(0)).sqrt()
    canvas, axes = panels(2, (count + 1) // 2, 2.6 * ((count + 1) // 2), 4.4)
    for i, axis in enumerate(axes.flat[:count]):
        order = asked.series.times[i].argsort()
        known, seen = asked.series.mask[i][order].cpu(), asked.seen[i][order].cpu()
        t = asked.series.times[i][order].float().cpu().numpy()
        for channel in range(mean.shape[-1]):
            loc, around, x = (v[i, :, channel][order].float().cpu() for v in (mean, spread, asked.series.values))
            axis.fill_between(t, loc - 2 * around, loc + 2 * around, color=f"C{channel}", alpha=0.2, linewidth=0)
            axis.plot(t, loc, color=f"C{channel}", linewidth=1.2)
            axis.plot(t[seen], x[seen], "o", color=f"C{channel}", markersize=3.5)
            axis.plot(t[known & ~seen], x[known & ~seen], "o", color=f"C{channel}", markersize=3.5, fillstyle="none")
        axis.set_xlabel(time, fontsize=8)
        axis.tick_params(labelsize=7)
    canvas.suptitle("Test series: seen (full), not seen (hollow), and the model's mean ± 2 sd", fontsize=10)
    return canvas


def _lines(rows: list[Row], digits: int) -> str:
    return "".join(
        f"{row['name']:<40}{row['mean']:>9.{digits}f} ± {row['error']:.{digits}f} {row['unit']}\n" for row in rows
    )


def _squared_error(guess: Tensor, values: Tensor, where: Tensor) -> tuple[float, float]:
    squares = torch.where(where[..., None], (guess - values).square(), 0.0).mean(-1).sum(-1).double()
    count = where.sum(-1)
    each = (squares / count)[count > 0]
    return each.mean().item(), each.std().item() / len(each) ** 0.5
