"""The figures of an assessment: bounds against K, the evidence from two sides, k-hat, latent dimensions, the rate."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import torch
from matplotlib.figure import Figure

from jensen.estimators.diagnostics import k_hat_threshold
from jensen.experiments import ladder
from jensen.experiments.assessment import Assessment
from jensen.experiments.figures import save

mpl.use("Agg")
from matplotlib import pyplot as plt


def draw_all(folder: Path, found: Assessment) -> list[Path]:
    """Draws every figure that the model allows into the folder; the files it wrote."""
    drawn = {"bounds": bounds(found), "weights": weights(found), "dimensions": dimensions(found)}
    if found.annealed is not None:
        drawn["evidence"] = evidence(found)
    for name, figure in drawn.items():
        save(figure, folder / f"{name}.png")
    return [folder / f"{name}.png" for name in drawn]


def bounds(found: Assessment) -> Figure:
    """Every bound against K, and log p(x) by annealing."""
    figure, axis = plt.subplots(figsize=(6.5, 4), layout="constrained")
    for name in ladder.DRAWN:
        line = [row for row in found.bounds if row["bound"] == name]
        if line:
            errors = [2 * (row["error"] or 0) for row in line]
            axis.errorbar([row["k"] for row in line], [row["value"] for row in line], errors, label=name,
                          marker="o", markersize=3.5, linewidth=1.2)  # fmt: skip
    if found.annealed is not None:
        axis.axhline(found.annealed.log_p.mean().item(), color="black", linewidth=1, label="annealing")
    axis.set(
        xscale="log", xlabel="K", ylabel="nats per datum", title=f"Bounds, {len(found.importance.k_hat)} test images"
    )
    axis.grid(alpha=0.25)
    figure.legend(loc="outside right upper", fontsize=8)
    return figure


def weights(found: Assessment) -> Figure:
    """How many images have weights of which k-hat."""
    figure, axis = plt.subplots(figsize=(5.5, 3.6), layout="constrained")
    k_hat = found.importance.k_hat.cpu().float()
    shown = k_hat[k_hat.isfinite()]
    if len(shown):
        axis.hist(shown.numpy(), bins=30, color="C0")
    threshold = k_hat_threshold(found.samples)
    axis.axvline(threshold, color="C3", label=f"threshold {threshold:.2f}")
    if not found.discrete:
        axis.axvline(0.5, color="C1", linestyle="--", label="0.5: beyond it no variance")
    beyond = len(k_hat) - len(shown)
    axis.set(xlabel="k-hat", ylabel="images", title=f"Tails of importance weights, K = {found.samples}"
             + (f" ({beyond} not finite)" if beyond else ""))  # fmt: skip
    axis.legend(frameon=False, fontsize=8)
    return figure


def dimensions(found: Assessment) -> Figure:
    """KL by dimension, largest first, or the variance of posterior means where there is no such KL."""
    figure, axis = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
    height = found.units.variance if found.collapse is None else found.collapse.kl
    order = height.argsort(descending=True)
    active = found.units.active[order].tolist()
    label = "variance of posterior means" if found.collapse is None else "KL, nats per datum"
    axis.bar(range(len(order)), height[order].tolist(), color=["C0" if each else "C3" for each in active])
    if len(order) <= 32:
        axis.set_xticks(range(len(order)), [str(i) for i in order.tolist()], fontsize=8)
        axis.set_xlabel("latent dimension")
    else:
        axis.set_xlabel("latent dimensions, in falling order")
    axis.set(ylabel=label, title=f"{sum(active)} of {len(active)} units active (blue), the rest not (red)")
    return figure


def evidence(found: Assessment) -> Figure:
    """Of test images, what annealing finds beyond importance sampling; of simulated ones, the sandwich's gap."""
    assert found.annealed is not None
    assert found.sandwich is not None
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    more = found.annealed.log_p - found.importance.log_p
    shown = torch.isfinite(found.importance.k_hat)
    errors = (found.annealed.standard_error.square() + found.importance.standard_error.square()).sqrt()
    axes[0].errorbar(found.importance.k_hat[shown].tolist(), more[shown].tolist(), errors[shown].tolist(), fmt="o",
                     markersize=3, linewidth=0.8)  # fmt: skip
    axes[0].axhline(0, color="black", linewidth=1)
    axes[0].set(xlabel="k-hat", ylabel="annealing − importance sampling, nats", title="Test images")
    gap, sides = found.sandwich.gap, found.sandwich.over_data()
    axes[1].hist(gap.tolist(), bins=30, color="C0")
    axes[1].axvline(0, color="black", linewidth=1)
    axes[1].axvline(sides.gap.item(), color="C3", label=f"mean {sides.gap:.3f} ± {sides.gap_error:.3f}")
    axes[1].set(xlabel="upper − lower, nats", ylabel="images", title="Images simulated from the model")
    axes[1].legend(frameon=False, fontsize=8)
    return figure


def rate_distortion(path: Path, points: Sequence[tuple[float, float, float, str]]) -> None:
    """Rate against distortion, (KL weight, rate, distortion, run) each; along the grey lines −ELBO is the same."""
    figure, axis = plt.subplots(figsize=(5.8, 4.4), layout="constrained")
    distortion, rate = [point[2] for point in points], [point[1] for point in points]
    axis.plot(distortion, rate, color="C0", marker="o", markersize=5, linewidth=1)
    for beta, r, d, _ in points:
        axis.annotate(f"β = {beta:g}", (d, r), textcoords="offset points", xytext=(7, 5), fontsize=9)
    axis.margins(0.15)
    (left, right), (low, high) = axis.get_xlim(), axis.get_ylim()
    totals = torch.linspace(left + low, right + high, 9)[1:-1].tolist()
    for total in totals:
        axis.plot([left, right], [total - left, total - right], color="0.85", linewidth=0.8, zorder=0)
    axis.set(xlim=(left, right), ylim=(max(0.0, low), high), xlabel="distortion: −E log p(x | z), nats per datum",
             ylabel="rate: E KL(q || p), nats per datum", title="Rate and distortion; grey: equal ELBO")  # fmt: skip
    save(figure, path)
