"""What was found as one screen of text."""

import math
import textwrap
from collections.abc import Mapping, Sequence

from torch import Tensor

from jensen.core.contracts import Estimate
from jensen.experiments.inference.comparison import Compared
from jensen.experiments.inference.found import Found, Row

WIDTH = 118
MOST = 40  # rows on a screen


def screen(title: str, found: Found, rows: Sequence[Row], reference: Mapping[str, Tensor]) -> str:
    """A line for each parameter, with the reference's beside where it has one; the evidence; a verdict."""
    shown = rows[:MOST]
    width = max(len(row.name) for row in shown) + 2
    chains = found.chains is not None
    head = f"{'':<{width}}{'mean':>10}{'sd':>10}{'5 %':>10}{'95 %':>10}{'error':>10}{'ESS':>9}"
    head += (f"{'R-hat':>8}" if chains else "") + (f"{'reference':>14}{'sd':>9}{'apart':>9}" if reference else "")
    lines = [title, "", head]
    for row in shown:
        numbers = (row.mean, row.sd, row.low, row.high)
        line = f"{row.name:<{width}}" + "".join(f"{x:>10.4g}" for x in numbers)
        line += " " * 19 if row.error is None or row.ess is None else f"{row.error:>10.2g}{row.ess:>9.0f}"
        line += f"{row.r_hat:>8.3f}" if row.r_hat is not None else ""
        if row.name in reference:
            mean, sd = moments(reference[row.name])
            line += f"{mean:>14.4g}{sd:>9.4g}{(row.mean - mean) / sd:>9.2f}"
        lines.append(line)
    if len(rows) > MOST:
        lines.append(f"… and {len(rows) - MOST} more, in the table of --out")
    lines.append("")
    if found.approximation is not None:
        q = found.approximation
        lines.append(
            f"{'ELBO':<24}{q.elbo.item():.3f} ± {small(q.standard_error.item())} nats; k-hat {found.k_hat:.2f}"
        )
    lines += [f"{f'log p(x) by {name}':<24}{estimated(each)}" for name, each in found.evidence.items()]
    return "\n".join([*lines, "", folded(found.verdict)])


def table(compared: Sequence[Compared], beside: str) -> str:
    """A line for each method, and below why some are in doubt; `beside` are those whose moments are compared with."""
    width = max(len(each.method) for each in compared) + 2
    head = f"{'method':<{width}}{'seconds':>9}{'gap, nats':>11}{'mean off':>10}{'sd off':>9}{'k-hat':>8}{'R-hat':>8}"
    lines = [f"{head}{'ESS':>8}{'log p(x)':>20}   verdict"]
    for each in compared:
        if each.error is not None:
            lines.append(f"{each.method:<{width}}{each.seconds:>9.1f}   {each.error}")
            continue
        cells = [(each.gap, 11, 3), (each.mean_off, 10, 3), (each.sd_off, 9, 3), (each.k_hat, 8, 2),
                 (each.r_hat, 8, 3), (each.ess, 8, 0)]  # fmt: skip
        numbers = "".join(f"{'' if x is None else brief(x, places):>{size}}" for x, size, places in cells)
        word = "reliable" if each.reliable else "in doubt"
        lines.append(f"{each.method:<{width}}{each.seconds:>9.1f}{numbers}{_evidence(each):>20}   {word}")
    legend = (
        f"mean off and sd off: the largest distance of a mean from {beside}, in standard deviations, and the largest "
    )
    lines += ["", folded(f"{legend}relative one of a standard deviation")]
    doubted = [each for each in compared if each.reliable is False]
    lines += ["", "in doubt"] * bool(doubted)
    lines += [folded(f"{each.method:<{width}}{each.verdict}", width) for each in doubted]
    return "\n".join(lines)


def _evidence(each: Compared) -> str:
    if each.log_p is None or each.log_p_error is None:
        return "not known"
    return f"{each.log_p:.3f} ± {small(each.log_p_error)}"


def brief(x: float, places: int) -> str:
    """With so many places, or by its power of ten where that would be more than seven digits."""
    return f"{x:.{places}f}" if abs(x) < 10 ** (7 - places) else f"{x:.1e}"


def estimated(estimate: Estimate) -> str:
    """log p(x) with its error, or that the error is not known."""
    value, error = estimate.log_p[0].item(), estimate.standard_error[0].item()
    if error < math.inf:
        return f"{value:.3f} ± {small(error)} nats"
    return f"{value:.3f} nats, with an error that is not known"


def small(error: float) -> str:
    """In three places, or by its power of ten where these would be 0."""
    return f"{error:.3f}" if error >= 5e-4 or not error else f"{error:.0e}"


def moments(t: Tensor) -> tuple[float, float]:
    return t.mean().item(), t.std().item()


def folded(text: str, indent: int = 0) -> str:
    """Over lines, those after the first indented."""
    return textwrap.fill(text, WIDTH, subsequent_indent=" " * indent)
