"""The queue in NATS JetStream, for the processes of many machines.

What the server keeps is in streams.py, in coroutines; here are its connection, and the calls that wait for answers.
"""

import asyncio
import json
import re
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import nats
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from nats.js.errors import NoStreamResponseError, ServiceUnavailableError

from jensen.experiments.jobs.contract import Counts, Job, Letter, Taken, Work, check_id
from jensen.experiments.jobs.link import Link
from jensen.experiments.jobs.streams import CHUNK, POLL, Streams, opened, together, values
from jensen.experiments.run.errors import InputError, reason, shown

T = TypeVar("T")
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
UNANSWERED = TimeoutError, NoRespondersError, NoStreamResponseError, ServiceUnavailableError
ANSWER, PATIENCE = 3.0, 30.0  # s until a request is sent again, and until none has had an answer


class JetStream:
    """A queue at a server. A process forked from one that has opened it must open it itself."""

    def __init__(self, name: str, server: str, work: Work | None = None):
        """Makes the queue where work is given and it is not there. InputError for a server that cannot be reached."""
        if not NAME.fullmatch(name):
            raise InputError(f"expected a queue's name of letters, digits, '_' and '-', got {shown(name)}: rename it")
        self.name, self.server, self._link = name, server, Link()
        try:
            self._run(self._connected, 0)
            self._streams = self._run(lambda: self._opened(work), 0)
        except BaseException:
            self.close()
            raise

    @property
    def work(self) -> Work:
        return self._streams.work

    def put(self, jobs: Sequence[Job]) -> list[Job]:
        for job in jobs:
            check_id(job.id)
            self._check_size(job.id, job.content)
        for start in range(0, len(jobs), CHUNK):
            part = jobs[start : start + CHUNK]
            placed = self._run(lambda part=part: together(self._streams.placed(job, job.id) for job in part))
            if not all(placed):
                return [*(job for job, is_in in zip(part, placed, strict=True) if not is_in), *jobs[start + CHUNK :]]
        return []

    def take(self, most: int) -> list[Taken]:
        return self._run(lambda: self._streams.fetched(most))

    def prolong(self, taken: Sequence[Taken]) -> None:
        self._run(lambda: self._streams.prolonged(taken))

    def begin(self, taken: Taken) -> bool:
        return self._run(lambda: self._streams.begun(taken))

    def done(self, taken: Taken, result: bytes) -> None:
        self._check_size(taken.job.id, result)
        self._run(lambda: self._streams.stored(taken, result, ANSWER))

    def fail(self, taken: Taken, reason: str) -> None:
        self._run(lambda: self._streams.failed(taken, reason))

    def give_back(self, taken: Sequence[Taken]) -> None:
        self._run(lambda: self._streams.given_back(taken))

    def counts(self) -> Counts:
        return self._run(lambda: self._streams.counted())

    def dead(self) -> list[Letter]:
        return [Letter(id_, *json.loads(value.partition(b"\n")[0]))
                for id_, value in self._run(lambda: values(self._streams.dead))]  # fmt: skip

    def revive(self, ids: Sequence[str]) -> None:
        self._run(lambda: self._streams.revived(ids))

    def results(self) -> Iterator[tuple[str, bytes]]:
        yield from self._run(lambda: values(self._streams.results))

    def close(self) -> None:
        with suppress(NatsError, AttributeError):
            self._link.run(self._client.close())
        self._link.close()

    async def _connected(self) -> None:
        faults: list[Exception] = []

        async def note(fault: Exception) -> None:
            faults.append(fault)

        asked = nats.connect(self.server, error_cb=note, connect_timeout=2, max_reconnect_attempts=-1)
        try:
            self._client = await asyncio.wait_for(asked, ANSWER)
        except TimeoutError as error:  # of which the client has noted the reason
            raise faults[-1] if faults else error from error

    async def _opened(self, work: Work | None) -> Streams:
        found = await opened(self._client.jetstream(timeout=ANSWER), self.name, self.server, work)
        await found.mended()
        return found

    def _check_size(self, id_: str, content: bytes) -> None:
        if len(content) + 2**12 > self._client.max_payload:  # with its headers
            most = f"{self._client.max_payload} bytes"
            raise InputError(f"{id_} has {len(content)} bytes and the server takes {most}: raise its max_payload")

    def _run(self, ask: Callable[[], Coroutine[Any, Any, T]], patience: float = PATIENCE) -> T:
        """Asked again where no answer comes, for the server may be starting anew: no state is the worse for it."""
        end = time.monotonic() + patience
        while True:
            try:
                return self._link.run(ask())
            except (NatsError, OSError, TimeoutError) as error:
                if not isinstance(error, UNANSWERED) or time.monotonic() > end:
                    said = f"{type(error).__name__}: {reason(error)}): start nats-server --jetstream, or mend that"
                    raise InputError(f"{self.server} does not serve the queue {self.name} ({said}") from error
                time.sleep(POLL)
