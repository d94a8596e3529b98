"""What a finished run draws: images, points or text, and what is said where it can draw nothing."""

import math
from collections.abc import Iterator
from typing import Any, NoReturn, Protocol, runtime_checkable

import torch
from torch import Tensor

from jensen.core import keys
from jensen.core.contracts import Key
from jensen.core.models.autoregressive.sampling import Choice
from jensen.core.trees import Params, Tree
from jensen.experiments.programs.classes import DrawingClasses
from jensen.experiments.programs.finished import FinishedRun
from jensen.experiments.programs.vq import Vq
from jensen.experiments.run.errors import InputError

CHUNK = 500  # draws at once


@runtime_checkable
class Drawing(Protocol):
    """A program that draws data."""

    def sample(self, params: Params, state: Tree, key: Key, n: int) -> Tensor:
        """(n, D), in the data's own units."""
        ...


@runtime_checkable
class Writing(Protocol):
    """A program that draws text, part by part."""

    def continued(
        self, params: Params, key: Key, length: int, prompt: str = "", choice: Choice = Choice()
    ) -> Iterator[str]: ...


def check_drawing(run: FinishedRun) -> None:
    """InputError for a run of a kind that draws no data."""
    if not isinstance(run.prepared.program, Drawing):
        refuse(run)


@torch.no_grad()
def drawn(run: FinishedRun, key: Key, n: int, label: int | None = None) -> Tensor:
    """(n, D), in the data's own units, all of a label where it is given.

    Without one they are of each class in turn, where there are classes. InputError as `check_drawing`, and for a label
    that the run has no class for.
    """
    check_drawing(run)
    program, starts = run.prepared.program, range(0, n, CHUNK)
    if label is not None:
        count = classes(run)
        if count is None:
            raise InputError(f"{run.folder} holds a {run.kind} that draws of no class: leave --class out")
        if label >= count:
            raise InputError(f"expected --class from 0 to {count - 1}, got {label}: {run.folder} has no such class")

    def part(key: Key, n: int) -> Tensor:
        if label is None:
            return program.sample(run.params, run.state, key, n)
        return program.sample_of(run.params, run.state, key, torch.full((n,), label, device=key.device))

    return torch.cat([part(keys.fold_in(key, i), min(CHUNK, n - i)) for i in starts])


def classes(run: FinishedRun) -> int | None:
    """How many there are to draw from; None for a run that draws of none."""
    program = run.prepared.program
    return program.columns if isinstance(program, DrawingClasses) else None


def pixels(run: FinishedRun, x: Tensor) -> Tensor:
    """Draws as grey values in [0, 1]: what the range of the run's training data becomes, and what is beyond is cut."""
    train = trained_on(run)
    low, high = train.min(), train.max()
    return ((x - low) / (high - low)).clamp(0, 1)


def trained_on(run: FinishedRun) -> Tensor:
    """The training data that draws are like, (N, D)."""
    return _data(run).train


def shape(run: FinishedRun, width: int) -> tuple[int, int, int] | None:
    """Channels, height and width of draws that are images of so many pixels; None of points in the plane."""
    known, side = getattr(_data(run), "shape", None), math.isqrt(width)
    if known is not None or width == 2:
        return known
    return (1, side, side) if side * side == width else (1, 1, width)


def refuse(run: FinishedRun) -> NoReturn:
    """InputError: the run draws nothing, and what to do."""
    if isinstance(run.settings, Vq):
        raise InputError(
            f"{run.folder} holds a vq, whose codes have no prior to draw from: train one with experiments.train prior "
            f"--codes {run.folder}, and draw from that"
        )
    if isinstance(run.prepared.program, Writing):
        raise InputError(f"{run.folder} holds a {run.kind}, which draws text and no images: see its report.txt")
    raise InputError(f"{run.folder} holds a {run.kind}, which draws nothing: see its report.txt and figures/")


def _data(run: FinishedRun) -> Any:
    """Images or points; a prior of codes has those that the codes are of."""
    return getattr(run.prepared.data, "images", run.prepared.data)
