"""A worker process as the front sees it: a link on which a batch goes out and its outputs come back."""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress

from jensen.experiments.service import messages
from jensen.experiments.service.engines import frames
from jensen.experiments.service.engines.seam import LostWorkerError, Rows


class WorkerProcess:
    """Takes one batch at a time. `ended` is called once, when the process has ended, was killed or was let go."""

    def __init__(self, pid: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter,
                 ended: Callable[["WorkerProcess"], object]):  # fmt: skip
        self.pid = pid
        self.since: float | None = None  # when its present batch was begun
        self.usable = True
        self.gone = asyncio.Event()
        self._reader, self._writer, self._ended = reader, writer, ended
        self._retired = False
        self._reply: asyncio.Future[messages.Message] | None = None
        self._watch = asyncio.get_running_loop().create_task(self._watched())
        self._watch.add_done_callback(self._over)

    async def compute(self, head: dict[str, str], inputs: Rows, seconds: float) -> Rows:
        """A batch's outputs.

        Raises:
            LostWorkerError: the process has ended, or had no reply after as many seconds and was killed.
            RuntimeError: what the function has raised.
        """
        self._reply = asyncio.get_running_loop().create_future()
        self.since = time.monotonic()
        try:
            async with asyncio.timeout(seconds):
                self._writer.write(messages.packed(head, frames.saved(inputs)))
                head, arrays = await self._reply
        except TimeoutError as error:
            self.kill()
            raise LostWorkerError(f"worker {self.pid} had no result in {seconds:g} s") from error
        except asyncio.CancelledError:
            self.kill()
            raise
        finally:
            self.since = self._reply = None
            if self._retired:
                self.close()
        if "error" in head:
            raise RuntimeError(head["error"])
        return frames.opened(arrays)

    def retire(self) -> None:
        """Ends after its present batch."""
        self._retired = True
        if self.since is None:
            self.close()

    def kill(self) -> None:
        if self.usable:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self.close()

    def close(self) -> None:
        """The process ends where it has no batch, for its link does."""
        self.usable = False
        self._watch.cancel()

    async def _watched(self) -> None:
        """Hands over replies, until the link ends."""
        with suppress(asyncio.IncompleteReadError, OSError, ValueError):
            while True:
                message = await messages.read(self._reader)
                if self._reply is None or self._reply.done():
                    return  # it speaks unasked: not to be trusted
                self._reply.set_result(message)

    def _over(self, watch: asyncio.Task[None]) -> None:
        self.usable = False
        self._writer.close()
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(LostWorkerError(f"worker {self.pid} has ended"))
        self.gone.set()
        self._ended(self)
