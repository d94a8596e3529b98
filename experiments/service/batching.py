"""Rows of several requests, computed together: a bounded queue, one width, and failures that stay with their request.

Every batch is padded to one width, with a row of its own, so that the products are the same whoever else is in it: the
bits of a row's reply do not depend on its neighbours.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from math import ceil

import numpy as np

from jensen.experiments.deployment.padding import Arrays, padded, split
from jensen.experiments.run.errors import reason
from jensen.experiments.service.breaker import Breaker
from jensen.experiments.service.engines import LostWorkerError, Rows
from jensen.experiments.service.errors import Refused
from jensen.experiments.service.settings import Limits

TRIES = 3  # of a batch whose workers are lost
SMOOTH = 0.2  # the weight of the last batch in the seconds that one takes


@dataclass(eq=False)
class Asked:
    """A request's outputs by piece, and all of them once the last has come."""

    parts: list[Arrays | None]
    found: "asyncio.Future[Arrays]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @property
    def complete(self) -> bool:
        return None not in self.parts

    @property
    def wanted(self) -> bool:
        """Whether somebody still waits for it."""
        return not self.found.done()

    def answer(self, place: int, outputs: Arrays) -> None:
        self.parts[place] = outputs
        if self.wanted and self.complete:
            parts = [part for part in self.parts if part is not None]
            self.found.set_result(parts[0] if len(parts) == 1 else tuple(map(np.concatenate, zip(*parts, strict=True))))

    def fail(self, error: Exception) -> None:
        if self.wanted:
            self.found.set_exception(error)


@dataclass(eq=False)
class Piece:
    """Rows of one request that are computed in one batch."""

    asked: Asked
    place: int
    inputs: Arrays
    rows: int
    arrived: float = field(default_factory=time.monotonic)


class Batcher:
    """A function of rows, called by many requests. All of it runs on the event loop.

    call: of inputs of `limits.width` rows each, an engine's; at_once: batches that it is given at the same time;
    watch: is given the rows of each batch; retried: is called when one is tried again, for its worker was lost.
    """

    def __init__(
        self,
        call: Callable[[Rows], Awaitable[Rows]],
        limits: Limits,
        breaker: Breaker,
        at_once: int = 1,
        watch: Callable[[int], object] = lambda rows: None,
        retried: Callable[[], object] = lambda: None,
    ):
        self._call, self._limits, self._breaker, self._watch, self._retried = call, limits, breaker, watch, retried
        self._waiting: deque[Piece] = deque()
        self._changed = asyncio.Event()
        self._free, self._at_once = asyncio.Semaphore(at_once), at_once
        self._seconds = 0.0  # of a batch, smoothed
        self._tasks: dict[asyncio.Task[None], float] = {}  # batches under way, and when they were begun
        self._task: asyncio.Task[None] | None = None
        self.rows = 0  # that wait

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    def close(self) -> None:
        """What waits is refused."""
        if self._task is not None:
            self._task.cancel()
        for task in tuple(self._tasks):
            task.cancel()
        for piece in self._waiting:
            piece.asked.fail(Refused(503, "the model was withdrawn", fix="send it again", retry_after=1))
        self._waiting.clear()
        self.rows = 0

    @property
    def since(self) -> float | None:
        """When the oldest batch that is under way was begun."""
        return min(self._tasks.values(), default=None)

    @property
    def stalled(self) -> bool:
        return self.since is not None and time.monotonic() - self.since > self._limits.stall

    def check_room(self, rows: int = 1) -> None:
        """Refused, 429 where the queue has no room or is too slow, 503 where the circuit is open."""
        if wait := self._breaker.open_for:
            raise Refused(503, "the model fails: its circuit is open", fix="send it later", retry_after=int(wait) + 1)
        late = self._expected(rows) - self._limits.deadline
        if self.rows + rows > self._limits.queue or late > 0:
            slow = f", which take more than {self._limits.deadline:g} s" if late > 0 else ""
            error = f"{self.rows} rows wait of {self._limits.queue}{slow}"
            raise Refused(429, error, fix="send it later, or fewer rows at once", retry_after=max(ceil(late), 1))

    def _expected(self, rows: int) -> float:
        """Seconds until as many more rows have a result, if batches take as long as they did; 0 where nothing waits.

        What would be late anyway is refused at once: nobody would take the result of its batch.
        """
        if not self.rows and not self._tasks:
            return 0.0
        return self._seconds * (2 + (self.rows + rows) / (self._limits.batch * self._at_once))

    def submit(self, inputs: Arrays) -> Asked:
        """Rows to wait for, at the end of the queue. Refused as `check_room`."""
        n, most = len(inputs[0]), self._limits.batch
        self.check_room(n)
        parts = [inputs] if n <= most else _cut(inputs, most)
        asked = Asked([None] * len(parts))
        self._waiting.extend(Piece(asked, i, part, min(most, n - i * most)) for i, part in enumerate(parts))
        self.rows += n
        self._changed.set()
        return asked

    def withdraw(self, asked: Asked) -> None:
        """What nobody waits for any more leaves the queue, and its room is free."""
        asked.found.cancel()
        if not asked.complete:
            self._waiting = deque(piece for piece in self._waiting if piece.asked is not asked)
            self.rows = sum(piece.rows for piece in self._waiting)

    async def _run(self) -> None:
        while True:
            await self._free.acquire()
            await self._gathered()
            pieces = self._taken()
            if pieces:
                task = asyncio.get_running_loop().create_task(self._answer(pieces))
                self._tasks[task] = time.monotonic()
                task.add_done_callback(self._ended)
            else:
                self._free.release()

    def _ended(self, task: asyncio.Task[None]) -> None:
        passed = time.monotonic() - self._tasks.pop(task)
        self._seconds += (SMOOTH if self._seconds else 1) * (passed - self._seconds)
        self._free.release()

    async def _gathered(self) -> None:
        """Returns when a batch is full, or its first row has waited."""
        while self.rows < self._limits.batch:
            self._changed.clear()
            left = self._waiting[0].arrived + self._limits.wait - time.monotonic() if self._waiting else None
            if left is not None and left <= 0:
                return
            try:
                async with asyncio.timeout(left):
                    await self._changed.wait()
            except TimeoutError:
                return

    def _taken(self) -> list[Piece]:
        """The first pieces that fit into a batch."""
        pieces, size = [], 0
        while self._waiting and size + self._waiting[0].rows <= self._limits.batch:
            piece = self._waiting.popleft()
            size += piece.rows
            pieces.append(piece)
        self.rows -= size
        return pieces

    async def _answer(self, pieces: list[Piece]) -> None:
        """Each piece's rows, or its error. Of a batch that fails each piece is tried alone: one may spoil it."""
        self._watch(sum(piece.rows for piece in pieces))
        try:
            found = await self._computed(pieces)
        except Exception as error:  # of the function, of whatever kind
            if len(pieces) > 1:
                for piece in pieces:
                    if piece.asked.wanted:
                        await self._answer([piece])
                return
            self._breaker.failed()
            pieces[0].asked.fail(_refusal(error))
        else:
            self._breaker.succeeded()
            for piece, rows in zip(pieces, found, strict=True):
                piece.asked.answer(piece.place, rows)

    async def _computed(self, pieces: list[Piece]) -> list[Arrays]:
        """Tried again where a worker is lost, while somebody waits."""
        sizes = [piece.rows for piece in pieces]
        inputs = padded([piece.inputs for piece in pieces], self._limits.width)
        task = asyncio.current_task()
        assert task is not None
        for left in reversed(range(TRIES)):
            self._tasks[task] = time.monotonic()  # a worker that hung was ended: the next try is on time
            try:
                return split(await self._call(inputs), sizes)
            except LostWorkerError:
                if not left or not any(piece.asked.wanted for piece in pieces):
                    raise
                self._retried()
        raise AssertionError


def _cut(inputs: Arrays, most: int) -> list[Arrays]:
    """Pieces of at most so many rows."""
    return [tuple(each[i : i + most] for each in inputs) for i in range(0, len(inputs[0]), most)]


def _refusal(error: Exception) -> Refused:
    if isinstance(error, LostWorkerError):
        return Refused(503, f"{TRIES} workers were lost on these rows", fix="send it later", retry_after=1)
    return Refused(500, f"the model failed on these rows ({reason(error)})", fix="change them")
