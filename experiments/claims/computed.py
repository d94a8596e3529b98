"""A computed figure beside its exact value, or its bound, and curves to draw: what a claim comes to."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

ERRORS = 4.5  # standard errors that a figure may be off: one of some 40 is by chance in 3,700 runs


class Row(NamedTuple):
    """A figure and what it is exactly, "="; at most, "≤"; or in the limit of large N, "≈", to a share `digits` of it.

    error is the standard error of a figure from draws, and 0 of one that is computed to rounding.
    """

    part: str
    quantity: str
    computed: float
    exact: float
    error: float = 0.0
    relation: str = "="
    digits: float = 1e-9  # how far apart the two may be without draws, as a share of the exact one

    @property
    def holds(self) -> bool:
        slack = ERRORS * self.error + self.digits * abs(self.exact)
        gap = self.computed - self.exact
        return gap <= slack if self.relation == "≤" else abs(gap) <= slack


class Curve(NamedTuple):
    """What a panel shows: points that were computed, or the line of a formula; without a name it has no legend."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    exact: bool = False


class Part(NamedTuple):
    """The rows of one part of probability, and its panel."""

    rows: list[Row]
    curves: list[Curve]
    xlabel: str
    ylabel: str
    scales: tuple[str, str] = ("linear", "linear")
    ticks: Sequence[str] = ()  # names of x = 0, 1, …


def table(rows: Sequence[Row]) -> str:
    """Each figure beside its exact value, with its distance in standard errors where it is one of draws."""
    lines = [f"{'':<52}{'computed':>13}{'':>3}{'exact':>12}{'errors off':>12}"]
    for part in dict.fromkeys(row.part for row in rows):
        lines += ["", part]
        for row in (row for row in rows if row.part == part):
            off = f"{(row.computed - row.exact) / row.error:.1f}" if row.error else ""
            mark = "" if row.holds else "  ← off"
            lines.append(f"  {row.quantity:<50}{row.computed:>13.6g}{row.relation:>3}{row.exact:>12.6g}{off:>12}{mark}")
    return "\n".join([*lines, "", verdict(rows)])


def verdict(rows: Sequence[Row]) -> str:
    """How many figures are what they should be, and which are not."""
    off = [row.quantity for row in rows if not row.holds]
    if off:
        return f"{len(off)} of {len(rows)} figures are off: {'; '.join(off)}"
    return f"all {len(rows)} figures hold, to {ERRORS:g} standard errors or to rounding"


def mean_and_error(values: Tensor | Sequence[float]) -> tuple[float, float]:
    """The mean of independent values (n,), and its standard error."""
    each = torch.as_tensor(values, dtype=torch.float64)
    return each.mean().item(), each.std().item() / len(each) ** 0.5


def with_error(mean: float, error: float, form: str = "+.3f") -> str:
    """A difference with its standard error, and how many of these it is from 0."""
    away = f"{mean / error:.1f} standard errors" if error else "without spread"
    return f"{mean:{form}} ± {error:{form.removeprefix('+')}}, {away}"


def mean_of(part: str, quantity: str, values: Tensor, exact: float) -> Row:
    """The mean of independent draws beside its exact value."""
    mean, error = mean_and_error(values.flatten())
    return Row(part, quantity, mean, exact, error)


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """That of the least-squares line through log y against log x."""
    a, b = [math.log(each) for each in x], [math.log(each) for each in y]
    middle, height = sum(a) / len(a), sum(b) / len(b)
    return sum((s - middle) * (t - height) for s, t in zip(a, b, strict=True)) / sum((s - middle) ** 2 for s in a)
