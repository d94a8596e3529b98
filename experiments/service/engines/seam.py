"""The seam between the service's front, which has the queues, and an engine, which computes batches somewhere.

The front gathers rows into padded batches, tries again what is lost, and refuses; an engine loads exports, runs their
functions on inputs that have been checked, and keeps its workers alive. All methods are called on the front's loop.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import Tensor

from jensen.experiments.deployment.manifest import Signature

Rows = tuple[Tensor, ...]  # of as many rows each


class LostWorkerError(RuntimeError):
    """A worker has ended, or was ended because it hung: its batch has no result, and may be computed again."""


@dataclass(frozen=True)
class Loaded:
    """An export that an engine has loaded: its functions run, at `key`, until it is retired."""

    key: str  # no other load has the same, of the same export neither
    digest: str  # of the manifest
    functions: Mapping[str, Signature]


@dataclass(frozen=True)
class Seat:
    """Where batches are computed, and who is there."""

    name: str
    worker: str | None  # its id; None while another is on its way
    since: float | None = None  # time.monotonic() when its present batch was begun
    lost: int = 0  # workers that this seat has had and lost


class Engine(Protocol):
    """Computes batches. Models are loaded beside others, and retired, while batches run."""

    @property
    def at_once(self) -> int:
        """Batches of one function that the front may have under way."""
        ...

    async def start(self) -> None:
        """Before anything else."""
        ...

    async def load(self, folders: Sequence[Path]) -> list[Loaded]:
        """Exports, whose every function has run once on a batch: all of them or none.

        Raises:
            InputError: a folder is no sound export.
        """
        ...

    async def run(self, model: Loaded, function: str, inputs: Rows) -> Rows:
        """A batch's outputs.

        Raises:
            LostWorkerError: the batch has no result, for no fault of it that is known.
            Exception: of whatever kind, where the function has failed on these rows.
        """
        ...

    async def retire(self, model: Loaded) -> None:
        """The front asks for no batch of it any more."""
        ...

    def seats(self) -> Sequence[Seat]:
        """For health and metrics."""
        ...

    async def close(self) -> None:
        """Ends every worker, whatever it does. Nothing is asked afterwards."""
        ...
