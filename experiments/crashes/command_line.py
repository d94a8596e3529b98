"""The command line of the demonstration, and its timeline."""

import asyncio
import os
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import orjson
import tyro

from jensen.experiments.crashes.clients import Clients, get
from jensen.experiments.crashes.expected import decoder, drawing, replies
from jensen.experiments.run.command import echo
from jensen.experiments.run.errors import InputError
from jensen.experiments.service.exports import exported
from jensen.experiments.service.settings import Limits

SEEDS, ROWS = 200, 2
HELD = 0.05  # seconds that a worker is stopped before it is killed, so that it has a batch then
PATIENCE = 60.0  # with the start of the service, and with another worker


@dataclass(frozen=True)
class Settings:
    """Kill the workers of a service that answers a steady load, and count its replies."""

    folder: Annotated[Path | None, tyro.conf.Positional] = None
    """A run or an export that draws; an untrained decoder is made unless one is given."""
    workers: int = 2
    """Processes that compute."""
    clients: int = 32
    """Connections that each ask again and again."""
    kills: int = 3
    """Workers that are killed, one after another."""
    pause: float = 1.0
    """Seconds of load before the first kill and after each."""

    def check(self) -> None:
        """InputError for what cannot work."""
        for each in fields(self)[1:]:
            value = getattr(self, each.name)
            if not 0 < value <= 1000:
                raise InputError(
                    f"expected --{each.name} above 0 and at most 1000, got {value}: leave it out for {each.default}"
                )


def parse(args: list[str]) -> Settings:
    settings = tyro.cli(Settings, args=args, prog="python -m jensen.experiments.crash")
    settings.check()
    return settings


def run(settings: Settings) -> bool:
    """Whether every request had the reply of its seed, or a refusal that says why."""
    with tempfile.TemporaryDirectory(prefix="jensen-") as name:
        place = Path(name)
        folder = decoder(place) if settings.folder is None else exported(settings.folder, place / "export")
        function = drawing(folder)
        expected = replies(function, SEEDS, ROWS, Limits().width)
        return asyncio.run(_demonstrated(settings, folder, f"/v1/model/{function.name}", expected))


async def _demonstrated(settings: Settings, folder: Path, path: str, expected: list[bytes]) -> bool:
    command = ["-m", "jensen.experiments.serve", f"model={folder}", "--engine", "process", "--port", "0", "--wait",
               "0.005", "--workers", str(settings.workers)]  # fmt: skip
    process = await asyncio.create_subprocess_exec(sys.executable, *command, stderr=asyncio.subprocess.PIPE)
    demonstration = Demonstration(settings, process)
    reading = asyncio.create_task(demonstration.read())
    try:
        async with asyncio.timeout(PATIENCE):
            await demonstration.serving.wait()
        if demonstration.port is None:
            raise InputError(demonstration.fault or "the service has ended: see its log")
        return await demonstration.held(path, expected)
    except TimeoutError:
        raise InputError(
            f"the service is not ready after {PATIENCE:g} s: try it on a machine with less to do"
        ) from None
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
        await reading


class Demonstration:
    """A service in a process of its own, whose log says which workers there are."""

    def __init__(self, settings: Settings, process: asyncio.subprocess.Process):
        self._settings, self._process, self._begun = settings, process, time.monotonic()
        self.serving, self.port, self.fault = asyncio.Event(), None, ""
        self._came = asyncio.Condition()
        self._ids: dict[str, int] = {}  # of workers, by seat

    async def read(self) -> None:
        """The log, to its end."""
        assert self._process.stderr is not None
        while line := await self._process.stderr.readline():
            try:
                said: dict[str, Any] = orjson.loads(line)
            except orjson.JSONDecodeError:
                self.fault = line.decode().strip().removeprefix("error: ")
                continue
            if said["event"] == "serving":
                self.port = said["port"]
                self.serving.set()
            if said["event"] == "worker":
                async with self._came:
                    self._ids[said["seat"]] = said["id"]
                    self._came.notify_all()
        self.serving.set()

    async def held(self, path: str, expected: list[bytes]) -> bool:
        """The load and the kills; whether nothing was lost or wrong."""
        assert self.port is not None
        async with asyncio.timeout(PATIENCE), self._came:
            await self._came.wait_for(lambda: len(self._ids) == self._settings.workers)
        clients = Clients(self.port, path, ROWS, expected)
        self._say(f"serving, workers {', '.join(map(str, self._ids.values()))}, {self._settings.clients} clients")
        load = [asyncio.create_task(clients.ask(i)) for i in range(self._settings.clients)]
        await asyncio.sleep(self._settings.pause)
        slowest = 0.0
        for i in range(self._settings.kills):
            slowest = max(slowest, await self._killed([*self._ids][i % len(self._ids)], clients))
            await asyncio.sleep(self._settings.pause)
        clients.stopping = True
        await asyncio.gather(*load)
        retried = _metric(await get(self.port, "/metrics"), b"jensen_batches_retried_total")
        counts = clients.counts
        refused = {status: n for status, n in counts.items() if isinstance(status, int)}
        self._say(f"answered {counts['right']}, retried {retried} batches, refused {sum(refused.values())}, "
                  f"lost {counts['lost']}, wrong {counts['wrong']}")  # fmt: skip
        self._say(f"longest without a worker in a seat {slowest:.3f} s, slowest reply {clients.slowest:.3f} s")
        return counts["right"] > 0 and not counts["lost"] and not counts["wrong"]

    async def _killed(self, seat: str, clients: Clients) -> float:
        """Seconds until the seat has another worker."""
        pid = self._ids[seat]
        os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(HELD)
        answered = clients.counts.total()
        os.kill(pid, signal.SIGKILL)
        begun = time.monotonic()
        self._say(f"worker {pid} killed with a batch under way")
        async with asyncio.timeout(PATIENCE), self._came:
            await self._came.wait_for(lambda: self._ids[seat] != pid)
        seconds = time.monotonic() - begun
        self._say(f"worker {self._ids[seat]} in its place after {seconds:.3f} s, "
                  f"{clients.counts.total() - answered} requests answered meanwhile")  # fmt: skip
        return seconds

    def _say(self, text: str) -> None:
        echo(f"{time.monotonic() - self._begun:7.3f} s  {text}")


def _metric(page: bytes, name: bytes) -> int:
    return int(sum(float(line.split()[-1]) for line in page.splitlines() if line.startswith(name + b"{")))
