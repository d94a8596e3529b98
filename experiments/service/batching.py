"""Rows of several requests, computed together: a bounded queue, one width, and failures that stay with their request.

Every batch is padded to one width, with a row of its own, so that the products are the same whoever else is in it: the
bits of a row's reply do not depend on its neighbours.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from jensen.experiments.run.errors import reason
from jensen.experiments.service.breaker import Breaker
from jensen.experiments.service.errors import Refused
from jensen.experiments.service.settings import Limits
from jensen.experiments.service.worker import Worker

Rows = tuple[Tensor, ...]  # of as many rows each


@dataclass(eq=False)
class Asked:
    """A request's outputs by piece, and all of them once the last has come."""

    parts: list[Rows | None]
    found: "asyncio.Future[Rows]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @property
    def complete(self) -> bool:
        return None not in self.parts


@dataclass(eq=False)
class Piece:
    """Rows of one request that are computed in one batch."""

    asked: Asked
    place: int
    inputs: Rows
    arrived: float = field(default_factory=time.monotonic)

    @property
    def rows(self) -> int:
        return len(self.inputs[0])

    @property
    def wanted(self) -> bool:
        """Whether somebody still waits for it."""
        return not self.asked.found.done()

    def answer(self, outputs: Rows) -> None:
        self.asked.parts[self.place] = outputs
        if self.wanted and self.asked.complete:
            parts = [part for part in self.asked.parts if part is not None]
            self.asked.found.set_result(tuple(torch.cat(each) for each in zip(*parts, strict=True)))

    def fail(self, error: Exception) -> None:
        if self.wanted:
            self.asked.found.set_exception(error)


class Batcher:
    """A function of rows, called by many requests. All but the function itself runs on the event loop.

    call: of inputs of `limits.width` rows each, a tensor or a tuple of them; watch: is given the rows of each batch.
    """

    def __init__(
        self,
        call: Callable[..., Any],
        limits: Limits,
        worker: Worker,
        breaker: Breaker,
        watch: Callable[[int], object] = lambda rows: None,
    ):
        self._call, self._limits, self._worker, self._breaker, self._watch = call, limits, worker, breaker, watch
        self._waiting: deque[Piece] = deque()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.rows = 0  # that wait
        self.since: float | None = None  # when the batch that runs was begun

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    def close(self) -> None:
        """What waits is refused."""
        if self._task is not None:
            self._task.cancel()
        for piece in self._waiting:
            piece.fail(Refused(503, "the model was withdrawn", fix="send it again", retry_after=1))
        self._waiting.clear()
        self.rows = 0

    @property
    def stalled(self) -> bool:
        return self.since is not None and time.monotonic() - self.since > self._limits.stall

    def check_room(self, rows: int = 1) -> None:
        """Refused, 429 where the queue has no room, 503 where the circuit is open."""
        if wait := self._breaker.open_for:
            raise Refused(503, "the model fails: its circuit is open", fix="send it later", retry_after=int(wait) + 1)
        if self.rows + rows > self._limits.queue:
            error = f"{self.rows} rows wait of {self._limits.queue}"
            raise Refused(429, error, fix="send it later, or fewer rows at once", retry_after=1)

    def submit(self, inputs: Rows) -> Asked:
        """Rows to wait for, at the end of the queue. Refused as `check_room`."""
        n = len(inputs[0])
        self.check_room(n)
        parts = list(zip(*(value.split(self._limits.batch) for value in inputs), strict=True))
        asked = Asked([None] * len(parts))
        self._waiting.extend(Piece(asked, place, part) for place, part in enumerate(parts))
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
            await self._gathered()
            pieces = self._taken()
            if pieces:
                await self._answer(pieces)

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
        self.since = time.monotonic()
        try:
            found = await self._worker.submit(lambda: self._computed(pieces))
        except Exception as error:  # of the function, of whatever kind
            if len(pieces) > 1:
                for piece in pieces:
                    if piece.wanted:
                        await self._answer([piece])
                return
            self._breaker.failed()
            pieces[0].fail(Refused(500, f"the model failed on these rows ({reason(error)})", fix="change them"))
        else:
            self._breaker.succeeded()
            for piece, rows in zip(pieces, found, strict=True):
                piece.answer(rows)
        finally:
            self.since = None

    def _computed(self, pieces: list[Piece]) -> list[Rows]:
        sizes = [piece.rows for piece in pieces]
        spare = self._limits.width - sum(sizes)
        together = zip(*(piece.inputs for piece in pieces), strict=True)
        padded = [torch.cat([*parts, parts[0][:1].expand(spare, *parts[0].shape[1:])]) for parts in together]
        found = self._call(*padded)
        outputs = found if isinstance(found, tuple) else (found,)
        return list(zip(*(each[: sum(sizes)].split(sizes) for each in outputs), strict=True))
