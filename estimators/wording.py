"""Phrases of verdicts: one sentence, with the numbers, the threshold and what to do."""

from collections.abc import Sequence

from jaxtyping import Bool
from torch import Tensor

MOST = 10  # indices named before the rest are counted


def listed(flags: Bool[Tensor, " n"], names: Sequence[str] = ()) -> str:
    """The indices of true flags: "0, 4, 7", or "0, 1, …, 9 and 12 more", or "none"; or their names, each once."""
    index: list[int] = flags.nonzero()[:, 0].tolist()
    if not index:
        return "none"
    found = list(dict.fromkeys(names[i] if names else str(i) for i in index))
    rest = f" and {len(found) - MOST} more" if len(found) > MOST else ""
    return ", ".join(found[:MOST]) + rest


def no_verdict(bad: Bool[Tensor, " n"], what: str, look: str) -> str:
    """In place of a verdict, where numbers are NaN or infinite: which ones, and what to check."""
    which = f"{what} {listed(bad)} of {len(bad)} give" if len(bad) > 1 else f"{what.removesuffix(' of data')} give"
    return f"no verdict: {which} NaN or infinite numbers: look at {look} there first"


def of_data(flags: Bool[Tensor, " n"]) -> str:
    """Which of several data: " (data 0, 4)", and nothing of a single one."""
    return f" (data {listed(flags)})" if len(flags) > 1 else ""


def counted(number: int, noun: str) -> str:
    """A number with its noun: "1 dimension", "3 dimensions"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
