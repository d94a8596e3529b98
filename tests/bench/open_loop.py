"""Requests that are sent when they are due, answered or not, over as many connections as that takes.

It imports little, and is run in a process of its own.
"""

import asyncio
import random
import re
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import uvloop

LENGTH = re.compile(rb"content-length: (\d+)")


@dataclass
class Load:
    """Requests that are sent when they are due, and what has become of them."""

    port: int
    request: bytes
    idle: list["Link"] = field(default_factory=list)
    lags: list[float] = field(default_factory=list)
    times: dict[str, list[float]] = field(default_factory=dict)  # by status, in seconds
    sent: int = 0

    async def send(self, rate: float, seconds: float, patience: float) -> None:
        """At `rate` a second, with exponential gaps; `patience` seconds more for the last replies."""
        gaps, loop = random.Random(0), asyncio.get_running_loop()
        begun = due = loop.time()
        waiting: set[asyncio.Task[None]] = set()
        while (due := due + gaps.expovariate(rate)) < begun + seconds:
            if (early := due - loop.time()) > 0:
                await asyncio.sleep(early)
            self.sent += 1
            if self.idle:
                self.idle.pop().ask(due)
            else:
                task = loop.create_task(self._connected(due))
                waiting.add(task)
                task.add_done_callback(waiting.discard)
        end = loop.time() + patience
        while self.answered < self.sent and loop.time() < end:
            await asyncio.sleep(0.01)

    async def _connected(self, due: float) -> None:
        try:
            _, link = await asyncio.get_running_loop().create_connection(lambda: Link(self), "127.0.0.1", self.port)
            link.ask(due)
        except OSError:
            self.times.setdefault("lost", []).append(0.0)

    @property
    def answered(self) -> int:
        return sum(map(len, self.times.values()))


class Link(asyncio.Protocol):
    """A connection with one request at a time."""

    def __init__(self, load: Load):
        self._load, self._read = load, b""
        self._due: float | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def ask(self, due: float) -> None:
        self._due, self._read = due, b""
        self._transport.write(self._load.request)
        self._load.lags.append(asyncio.get_running_loop().time() - due)

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, blank, content = self._read.partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        if blank and length and len(content) >= int(length[1]):
            self._ended(head[9:12].decode())
            self._load.idle.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self in self._load.idle:
            self._load.idle.remove(self)
        self._ended("lost")

    def _ended(self, status: str) -> None:
        if self._due is not None:
            passed = asyncio.get_running_loop().time() - self._due
            self._load.times.setdefault(status, []).append(passed)
            self._due = None


def load(port: int, request: bytes, rate: float, seconds: float, patience: float, pipe: Connection) -> None:
    """How many requests were sent, by how many seconds each was late, and the seconds of replies by status."""
    made = Load(port, request)
    uvloop.run(made.send(rate, seconds, patience))
    pipe.send((made.sent, made.lags, made.times))
