"""Where a queue is: in a file, or at a server."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from jensen.experiments.jobs.contract import Queue, Work
from jensen.experiments.jobs.embedded import Embedded
from jensen.experiments.jobs.jetstream import JetStream
from jensen.experiments.run.errors import InputError, shown

SERVER = "nats://127.0.0.1:4222"


@dataclass(frozen=True)
class Place:
    """A queue's."""

    queue: Annotated[str, tyro.conf.Positional]
    """The queue: a file, or with --engine nats a name."""
    engine: Literal["sqlite", "nats"] = "sqlite"
    """sqlite for the processes of one machine, nats for those of many."""
    server: str = SERVER
    """Of --engine nats."""

    def check(self) -> None:
        """InputError for what cannot work."""
        if self.engine == "sqlite" and self.server != SERVER:
            raise InputError(f"--server {shown(self.server)} is of --engine nats: add that, or leave it out")
        if self.engine == "sqlite" and not self.queue:
            raise InputError("expected a file for the queue, got an empty name: name it")

    def make(self, work: Work) -> Queue:
        """The queue, made of what its jobs are unless it is there. InputError where it is one of others."""
        return self._opened(work)

    def open(self) -> Queue:
        """The queue. InputError where there is none, and for anything that is no queue."""
        return self._opened(None)

    def _opened(self, work: Work | None) -> Queue:
        if work is not None:
            work.check()
        if self.engine == "nats":
            return JetStream(self.queue, self.server, work)
        return Embedded(Path(self.queue), work)
