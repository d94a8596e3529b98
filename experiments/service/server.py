"""uvicorn with bounded connections, a limit on a client's silence, a drain on SIGTERM and a reload on SIGHUP."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import uvicorn

from jensen.experiments.run.signals import handled
from jensen.experiments.service.application import Service
from jensen.experiments.service.connections import bounded


class Server(uvicorn.Server):
    """Serves until `drain`, or a signal: SIGTERM and SIGINT drain, SIGHUP reads every model again."""

    def __init__(self, service: Service, host: str, port: int, drain: float):
        limits = service.limits
        config = uvicorn.Config(
            service,
            host,
            port,
            http=bounded(limits.connections, limits.read, service.refused),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=max(int(drain), 1),
        )
        super().__init__(config)
        self._service = service
        self._reloading: asyncio.Task[None] | None = None

    def drain(self) -> None:
        """No connection is taken on any more; requests that are under way are answered."""
        self._service.log.write("drain", active=self._service.active)
        self._service.draining = self.should_exit = True

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """uvicorn's own would raise the signal again after the drain."""
        yield

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        for server in self.servers if self.started else ():
            for socket in server.sockets:
                host, port, *_ = socket.getsockname()
                self._service.log.write("serving", host=host, port=port)

    @contextmanager
    def answering_signals(self) -> Iterator[None]:
        """Of the main thread, those too that it ignored."""
        loop = asyncio.get_running_loop()
        answers = {signal.SIGTERM: self.drain, signal.SIGINT: self.drain, signal.SIGHUP: self._reload}

        def answer(signum: int, frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(answers[signal.Signals(signum)])

        with handled(tuple(answers), answer, ignored_too=True):
            yield

    def _reload(self) -> None:
        if self._reloading is None or self._reloading.done():
            self._reloading = asyncio.get_running_loop().create_task(self._service.administration.reload())
