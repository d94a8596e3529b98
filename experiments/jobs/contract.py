"""What a queue of jobs does, whichever engine keeps it.

    put ─→ waiting ─→ taken ─→ done          the result is stored first, then the job is done with
              ↑          │
              ├──────────┤  its worker's lease has run out, or it failed and is tried again
              │          ↓
              └──── dead letters             after `tries` of the job alone, with the reason

A job is handed out at least once; its result is stored once, for a second one under the same id changes nothing. Only
tries of a job alone are counted: of a batch whose worker died, nobody knows which job killed it.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, Protocol

from jensen.experiments.run import files
from jensen.experiments.run.config import from_json, to_json
from jensen.experiments.run.errors import InputError, option, reason, shown

ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,126}[A-Za-z0-9_-]|[A-Za-z0-9_-]")
LOST = "its worker died or hung while it computed it alone"
PAUSE = 0.2  # s before a second try, doubled by each further one


@dataclass(frozen=True)
class Work:
    """What the jobs of a queue are, and how they are treated: fixed when the queue is made."""

    digest: str
    """The sha256 of the manifest of the export whose function they are rows of."""
    function: str
    """Its name."""
    room: int = 10_000
    """Jobs that wait or are taken, at most; there is no room for more until some are done."""
    batch: int = 10
    """Jobs that a worker computes together, at most."""
    tries: int = 3
    """Of a job alone, until it is a dead letter."""
    lease: float = 30.0
    """Seconds from a worker's last sign of life until its jobs are handed to others."""

    def check(self) -> None:
        """InputError for what cannot work."""
        bounds = {"room": (1, 2**31), "batch": (1, 4096), "tries": (1, 1000), "lease": (0.05, 86_400)}
        for each in fields(self):
            low, high = bounds.get(each.name, (None, None))
            value = getattr(self, each.name)
            if low is not None and high is not None and not low <= value <= high:
                got = f"got {value}: leave it out for {each.default}"
                raise InputError(f"expected {option(each.name)} from {low} to {high}, {got}")

    @property
    def text(self) -> str:
        """As a queue keeps it."""
        return json.dumps(to_json(self))

    def pause(self, tries: int) -> float:
        """Seconds until a job that has failed as often is tried again."""
        return min(PAUSE * 2.0 ** (tries - 1), self.lease)


class Job(NamedTuple):
    """A row of each input of the function: a file of safetensors."""

    id: str
    content: bytes


class Taken(NamedTuple):
    """A job that a worker has, until its lease runs out."""

    job: Job
    again: bool  # it was handed out before, and may be what its worker died of
    receipt: Any  # the engine's own


class Counts(NamedTuple):
    """Jobs by where they are."""

    waiting: int
    taken: int
    done: int
    dead: int

    @property
    def open(self) -> int:
        """Those that are still to be computed."""
        return self.waiting + self.taken


class Letter(NamedTuple):
    """A job that was given up, and why."""

    id: str
    tries: int
    reason: str


class Queue(Protocol):
    """Jobs and their results; it may be used by several threads. Each method raises InputError where it is damaged."""

    @property
    def work(self) -> Work: ...

    def put(self, jobs: Sequence[Job]) -> list[Job]:
        """Those that there was no room for; [] where all are in it. A job whose id it has had is in it already."""
        ...

    def take(self, most: int) -> list[Taken]:
        """Jobs that nobody has, at most so many, each with a lease; [] where there are none."""
        ...

    def prolong(self, taken: Sequence[Taken]) -> None:
        """Their leases begin anew."""
        ...

    def begin(self, taken: Taken) -> bool:
        """Counts a try of this job alone. False where it is not to be computed: another has it, or it is dead now."""
        ...

    def done(self, taken: Taken, result: bytes) -> None:
        """Stores the result, unless there is one of this id, and then acknowledges the job."""
        ...

    def fail(self, taken: Taken, reason: str) -> None:
        """After `begin`: it is tried again after a pause, or is a dead letter after its last try."""
        ...

    def give_back(self, taken: Sequence[Taken]) -> None:
        """Others may have them at once."""
        ...

    def counts(self) -> Counts: ...

    def dead(self) -> list[Letter]:
        """By id."""
        ...

    def revive(self, ids: Sequence[str]) -> None:
        """Dead jobs wait again, with all of their tries. InputError for others, and where there is no room."""
        ...

    def results(self) -> Iterator[tuple[str, bytes]]:
        """By id."""
        ...

    def close(self) -> None: ...


def work_of(text: str | bytes, place: str) -> Work:
    """What `Work.text` was of. InputError that names the place for anything else."""
    try:
        return from_json(Work, files.parse(text))
    except ValueError as error:
        raise InputError(f"{place} is no sound queue ({reason(error)}): restore it, or choose another") from error


def check_id(id_: str) -> None:
    """InputError for an id that one of the engines could not keep."""
    if not ID.fullmatch(id_):
        raise InputError(
            f"expected a job's id of 1 to 128 letters, digits, '.', '_' and '-', got {shown(repr(id_))}: rename it"
        )
