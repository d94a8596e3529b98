"""The front's side of a fork server: its start with every export, its forks, its end."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from jensen.experiments.run.errors import InputError
from jensen.experiments.service import messages
from jensen.experiments.service.engines import forked
from jensen.experiments.service.engines.remote import WorkerProcess
from jensen.experiments.service.engines.seam import LostWorkerError

HELLO = 5.0  # seconds that a fork has to send its id


@dataclass(frozen=True)
class Plan:
    """What a fork server is started with: exports by key, their digests, rows of a batch and a worker's threads."""

    folders: Mapping[str, Path]
    digests: Mapping[str, str]
    width: int
    threads: int

    @property
    def message(self) -> bytes:
        folders = {key: str(folder) for key, folder in self.folders.items()}
        digests = dict(self.digests)
        return messages.packed({"folders": folders, "digests": digests, "width": self.width, "threads": self.threads})


class ForkServer:
    """A process that has loaded a plan's exports, and forks workers that have them."""

    def __init__(self, process: subprocess.Popen[bytes], link: socket.socket, reader: asyncio.StreamReader,
                 writer: asyncio.StreamWriter):  # fmt: skip
        self._process, self._link, self._reader, self._writer = process, link, reader, writer
        self._watch: asyncio.Task[None] | None = None

    @classmethod
    async def start(cls, plan: Plan, ended: Callable[["ForkServer"], object]) -> "ForkServer":
        """A server that is ready; `ended` is called when its process ends by itself.

        Raises:
            InputError: a folder is no sound export, or ends the process that loads it.
        """
        link, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", forked.__name__, str(theirs.fileno())]
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, pass_fds=(theirs.fileno(),), start_new_session=True
            )
        server = cls(process, link, *await messages.streams(link))
        try:
            server._writer.write(plan.message)
            head, _ = await messages.read(server._reader)
        except (asyncio.IncompleteReadError, OSError) as error:
            await server.close()
            raise InputError(f"the process that loads {_names(plan)} has ended: export them again") from error
        except BaseException:
            await server.close()
            raise
        if "error" in head:
            await server.close()
            raise InputError(head["error"])
        server._watch = asyncio.get_running_loop().create_task(server._watched(ended))
        return server

    @property
    def pid(self) -> int:
        return self._process.pid

    async def fork(self, ended: Callable[[WorkerProcess], object]) -> WorkerProcess:
        """A worker. LostWorkerError where none comes."""
        link, theirs = socket.socketpair()
        with theirs:
            try:
                socket.send_fds(self._link, [b"f"], [theirs.fileno()])
            except OSError as error:
                link.close()
                raise LostWorkerError("the fork server has ended") from error
        reader, writer = await messages.streams(link)
        try:
            async with asyncio.timeout(HELLO):
                head, _ = await messages.read(reader)
            return WorkerProcess(head["pid"], reader, writer, ended)
        except (asyncio.IncompleteReadError, OSError, TimeoutError) as error:
            writer.close()
            raise LostWorkerError("the fork server has made no worker") from error
        except BaseException:
            writer.close()
            raise

    async def close(self) -> None:
        """Ends it, and every worker that is its fork."""
        if self._watch is not None:
            self._watch.cancel()
        self._writer.close()
        if self._process.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)
            await asyncio.to_thread(self._process.wait)

    async def _watched(self, ended: Callable[["ForkServer"], object]) -> None:
        """Its workers go on without it."""
        with suppress(OSError):
            await self._reader.read(1)
        self._writer.close()
        self._process.kill()
        await asyncio.to_thread(self._process.wait)
        ended(self)


def _names(plan: Plan) -> str:
    return ", ".join(map(str, plan.folders.values()))
