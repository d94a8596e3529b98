"""Objectives by name, for command lines: one row each."""

from collections.abc import Callable

from jensen.core import spelling
from jensen.core.objectives.objective import Objective
from jensen.core.objectives.values import Beta, BetaTc, Capacity, Committed, FreeBits, Geco

ROWS: dict[str, Callable[..., Objective]] = {
    "elbo": lambda: Beta(1.0),
    "beta": Beta,
    "capacity": Capacity,
    "free-bits": lambda floor, *groups: FreeBits(floor, groups or None),
    "free-bits-per-datum": lambda floor, *groups: FreeBits(floor, groups or None, per_datum=True),
    "geco": Geco,
    "committed": Committed,
    "beta-tc": BetaTc,
}
NAMES = tuple(spelling.forms(ROWS))


def parse(text: str) -> Objective:
    """The objective of a name with its arguments, as in "free-bits(0.5, 10, 10)"; NAMES lists them.

    ValueError for an unknown name or arguments that do not fit, with the form expected.
    """
    return spelling.parse(text, ROWS, "objective")
