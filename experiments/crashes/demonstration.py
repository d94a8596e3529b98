"""The timeline: a service whose workers are killed one after another while its clients ask."""

import asyncio
import os
import signal
import time
from typing import Any

import orjson

from jensen.experiments.crashes.clients import Clients, get
from jensen.experiments.run.command import echo

HELD = 0.05  # seconds that a worker is stopped before it is killed, so that it has a batch then
PATIENCE = 30.0  # seconds for another worker


class Demonstration:
    """A service in a process of its own, whose log says which workers there are."""

    def __init__(self, process: asyncio.subprocess.Process):
        self._process = process
        self.port: int | None = None
        self.fault = ""  # what the service said where it did not start
        self._changed, self._ended, self._begun = asyncio.Condition(), False, 0.0
        self._ids: dict[str, int] = {}  # of workers, by seat

    async def read(self) -> None:
        """The log, to its end."""
        assert self._process.stderr is not None
        while line := await self._process.stderr.readline():
            try:
                said: dict[str, Any] = orjson.loads(line)
            except orjson.JSONDecodeError:
                self.fault = line.decode(errors="replace").strip().removeprefix("error: ")
                continue
            async with self._changed:
                if said["event"] == "serving":
                    self.port = said["port"]
                if said["event"] == "worker":
                    self._ids[said["seat"]] = said["id"]
                self._changed.notify_all()
        async with self._changed:
            self._ended = True
            self._changed.notify_all()

    async def started(self, workers: int) -> None:
        """Returns when the service has as many workers, or has ended."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._ended or (self.port and len(self._ids) == workers))

    async def run(self, clients: Clients, n: int, kills: int, pause: float) -> bool:
        """The load and the kills; whether nothing was lost or wrong."""
        self._begun, slowest = time.monotonic(), 0.0
        self._say(f"serving, workers {', '.join(map(str, self._ids.values()))}, {n} clients")
        load = [asyncio.create_task(clients.ask(i)) for i in range(n)]
        await asyncio.sleep(pause)
        for i in range(kills):
            slowest = max(slowest, await self._killed([*self._ids][i % len(self._ids)], clients))
            await asyncio.sleep(pause)
        clients.stopping = True
        await asyncio.gather(*load)
        counts, retried = clients.counts, await self._retried()
        refused = sum(n for status, n in counts.items() if isinstance(status, int))
        self._say(f"answered {counts['right']}, retried {retried} batches, refused {refused}, "
                  f"lost {counts['lost']}, wrong {counts['wrong']}")  # fmt: skip
        self._say(f"longest without a worker in a seat {slowest:.3f} s, slowest reply {clients.slowest:.3f} s")
        return counts["right"] > 0 and not counts["lost"] and not counts["wrong"]

    async def _killed(self, seat: str, clients: Clients) -> float:
        """Seconds until the seat has another worker."""
        pid, begun = self._ids[seat], time.monotonic()
        if self._ended:
            return 0.0
        os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(HELD)
        begun, answered = time.monotonic(), clients.counts.total()
        os.kill(pid, signal.SIGKILL)
        self._say(f"worker {pid} killed with a batch under way")
        try:
            async with asyncio.timeout(PATIENCE), self._changed:
                await self._changed.wait_for(lambda: self._ended or self._ids[seat] != pid)
        except TimeoutError:
            pass
        seconds = time.monotonic() - begun
        if self._ids[seat] == pid:
            self._say(f"no worker in its place after {seconds:.3f} s")
        else:
            self._say(f"worker {self._ids[seat]} in its place after {seconds:.3f} s, "
                      f"{clients.counts.total() - answered} requests answered meanwhile")  # fmt: skip
        return seconds

    async def _retried(self) -> int:
        """Batches; 0 where the service has ended."""
        try:
            page = await get(self.port or 0, "/metrics")
        except OSError:
            return 0
        lines = (line for line in page.splitlines() if line.startswith(b"jensen_batches_retried_total{"))
        return int(sum(float(line.split()[-1]) for line in lines))

    def _say(self, text: str) -> None:
        echo(f"{time.monotonic() - self._begun:7.3f} s  {text}")
