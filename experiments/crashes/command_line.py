"""The command line of the demonstration."""

import asyncio
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

import tyro

from jensen.experiments.crashes.clients import Clients
from jensen.experiments.crashes.demonstration import Demonstration
from jensen.experiments.crashes.expected import decoder, drawing, replies
from jensen.experiments.deployment.rooms import room
from jensen.experiments.run.errors import InputError
from jensen.experiments.service.exports import exported
from jensen.experiments.service.settings import Limits

SEEDS, ROWS = 200, 2
PATIENCE = 60.0  # seconds for the start of the service


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
    with room() as place:
        folder = decoder(place) if settings.folder is None else exported(settings.folder, place / "export")
        function = drawing(folder)
        expected = replies(function, SEEDS, ROWS, Limits().width)
        return asyncio.run(_demonstrated(settings, folder, f"/v1/model/{function.name}", expected))


async def _demonstrated(settings: Settings, folder: Path, path: str, expected: list[bytes]) -> bool:
    command = ["-m", "jensen.experiments.serve", f"model={folder}", "--engine", "process", "--port", "0", "--wait",
               "0.005", "--workers", str(settings.workers)]  # fmt: skip
    process = await asyncio.create_subprocess_exec(sys.executable, *command, stderr=asyncio.subprocess.PIPE)
    demonstration = Demonstration(process)
    reading = asyncio.create_task(demonstration.read())
    try:
        async with asyncio.timeout(PATIENCE):
            await demonstration.started(settings.workers)
        if demonstration.port is None:
            raise InputError(demonstration.fault or "the service has ended: see its log")
        clients = Clients(demonstration.port, path, ROWS, expected)
        return await demonstration.run(clients, settings.clients, settings.kills, settings.pause)
    except TimeoutError:
        raise InputError(
            f"the service is not ready after {PATIENCE:g} s: try it on a machine with less to do"
        ) from None
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
        await reading
