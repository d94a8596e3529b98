"""The figures of an assessment: bounds against K, the evidence from two sides, k-hat, latent dimensions, the gaps."""

import torch
from matplotlib.figure import Figure

from jensen.estimators.diagnostics import k_hat_threshold
from jensen.experiments.report import ladder
from jensen.experiments.report.assessment import Assessment
from jensen.experiments.report.chunks import average
from jensen.experiments.report.drawing import line, name_ends, panels
from jensen.experiments.report.inference import Inference


def bounds(found: Assessment) -> Figure:
    """Every bound against K with two standard errors, and annealing's log p(x) as a band of as many."""
    figure, axes = panels(1, 1, 7, 4.4)
    axis = axes[0, 0]
    for style, name in enumerate(ladder.DRAWN):
        values = [each for each in found.bounds if each.bound == name]
        errors = [2 * (each.error or 0.0) for each in values]
        line(axis, [each.k for each in values], [each.value for each in values], name, style, errors)
    if found.annealed is not None:
        log_p, error = average(found.annealed.log_p, found.annealed.standard_error)
        axis.axhspan(log_p - 2 * error, log_p + 2 * error, color="0.8", zorder=0)
        axis.axhline(log_p, color="black", linewidth=1, linestyle="--")
        axis.annotate("annealing ± 2 errors", (0.01, log_p), xycoords=("axes fraction", "data"), xytext=(0, 3),
                      textcoords="offset points", fontsize=7)  # fmt: skip
    images = len(found.importance.k_hat)
    axis.set(xscale="log", xlabel="K", ylabel="nats per datum", title=f"Bounds, {images} test images")
    axis.grid(alpha=0.25)
    name_ends(axis)
    return figure


def annealing(found: Assessment) -> Figure | None:
    """Of test images, what annealing finds beyond importance sampling, against k-hat."""
    if found.annealed is None:
        return None
    figure, axes = panels(1, 1, 5.5, 3.8)
    axis = axes[0, 0]
    more = found.annealed.log_p - found.importance.log_p
    errors = (found.annealed.standard_error.square() + found.importance.standard_error.square()).sqrt()
    shown = torch.isfinite(found.importance.k_hat) & torch.isfinite(more) & torch.isfinite(errors)
    axis.errorbar(found.importance.k_hat[shown].tolist(), more[shown].tolist(), errors[shown].tolist(), fmt="o",
                  markersize=3, linewidth=0.8)  # fmt: skip
    axis.axhline(0, color="black", linewidth=1)
    axis.set(xlabel="k-hat", ylabel="annealing − importance sampling, nats; bars: one error",
             title=f"Test images{left_out(shown, 'without a known error')}")  # fmt: skip
    return figure


def sandwich(found: Assessment) -> Figure | None:
    """Of simulated images, the gap between the bounds from above and from below."""
    if found.sandwich is None:
        return None
    figure, axes = panels(1, 1, 5.5, 3.8)
    axis = axes[0, 0]
    gap, sides = found.sandwich.gap, found.sandwich.over_data()
    shown = torch.isfinite(gap)
    if shown.any():
        axis.hist(gap[shown].tolist(), bins=30, color="C0")
    axis.axvline(0, color="black", linewidth=1)
    if torch.isfinite(sides.gap):
        axis.axvline(
            sides.gap.item(), color="C3", linestyle="--", label=f"mean {sides.gap:.3f} ± {sides.gap_error:.3f}"
        )
        axis.legend(frameon=False, fontsize=8)
    axis.set(xlabel="upper − lower, nats", ylabel="images", title=f"Images simulated from the model{left_out(shown)}")
    return figure


def gaps(found: Inference) -> Figure:
    """For each image, how far below log p(x) the best flow, the best of q's family and the encoder's q are."""
    figure, axes = panels(1, 1, 6.2, 3.8)
    axis = axes[0, 0]
    names = {"flow": "best flow", "family": "best of q's family", "encoder": "encoder"}
    for style, (name, loss) in enumerate(found.losses().items()):
        line(axis, range(len(loss)), loss.tolist(), names[name], style, linestyle="none")
        if loss.isfinite().all():
            axis.axhline(loss.mean().item(), color=f"C{style}", linewidth=0.8)
    axis.axhline(0, color="black", linewidth=1)
    axis.set(xlabel="test image", ylabel="log p(x) − ELBO, nats", title="Where nats are lost; lines: means")
    axis.locator_params(axis="x", integer=True)
    if axis.get_legend_handles_labels()[0]:
        figure.legend(loc="outside right upper", fontsize=8)
    return figure


def weights(found: Assessment) -> Figure:
    """How many images have weights of which k-hat."""
    figure, axes = panels(1, 1, 5.5, 3.6)
    axis = axes[0, 0]
    k_hat = found.importance.k_hat.cpu().float()
    shown = k_hat.isfinite()
    if shown.any():
        axis.hist(k_hat[shown].numpy(), bins=30, color="C0")
    threshold = k_hat_threshold(found.samples)
    axis.axvline(threshold, color="C3", label=f"threshold {threshold:.2f}")
    if not found.discrete:
        axis.axvline(0.5, color="C1", linestyle="--", label="0.5: beyond it no variance")
    title = f"Tails of importance weights, K = {found.samples}{left_out(shown)}"
    axis.set(xlabel="k-hat", ylabel="images", title=title)
    axis.legend(frameon=False, fontsize=8)
    return figure


def dimensions(found: Assessment) -> Figure:
    """KL by dimension, largest first, or the variance of posterior means where there is no such KL."""
    figure, axes = panels(1, 1, 6.5, 3.6)
    axis = axes[0, 0]
    height = found.units.variance if found.collapse is None else found.collapse.kl
    order = height.argsort(descending=True)
    active = found.units.active[order].tolist()
    bars = axis.bar(range(len(order)), height[order].tolist(), color=["C0" if each else "C3" for each in active])
    for bar, each in zip(bars, active, strict=True):
        bar.set_hatch("" if each else "////")
    if len(order) <= 32:
        axis.set_xticks(range(len(order)), [str(i) for i in order.tolist()], fontsize=8)
        axis.set_xlabel("latent dimension")
    else:
        axis.set_xlabel("latent dimensions, in falling order")
    label = "variance of posterior means" if found.collapse is None else "KL, nats per datum"
    rest = "" if all(active) else "; the rest are red and hatched"
    axis.set(ylabel=label, title=f"{sum(active)} of {len(active)} units active{rest}")
    return figure


def left_out(shown: torch.Tensor, why: str = "not finite") -> str:
    """What a title says of values that cannot be drawn."""
    beyond = int((~shown).sum())
    return f" ({beyond} {why})" if beyond else ""
