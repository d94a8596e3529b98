"""SIGTERM, Ctrl-C and SIGHUP while a service starts, serves and ends: the event loop's from its first step to its last.

Before and after, they are blocked: what Python's own handlers raised amid the loop's code would come out as tracebacks.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from functools import partial

import uvloop

from jensen.experiments.run.errors import InterruptError
from jensen.experiments.run.signals import SAID, STOPS


def run(serve: Callable[[], Awaitable[None]]) -> None:
    """`serve` on a loop. InterruptError for a signal that comes before it has handlers of its own."""
    handlers = {signum: signal.getsignal(signum) for signum in STOPS}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    stopped: list[InterruptError] = []

    def stop(task: asyncio.Task[None], signum: signal.Signals) -> None:
        stopped.append(InterruptError(signum, SAID[signum.name]))
        task.cancel()

    async def handled() -> None:
        task = asyncio.current_task()
        assert task is not None
        for signum in STOPS:
            asyncio.get_running_loop().add_signal_handler(signum, partial(stop, task, signum))
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        try:
            await serve()
        finally:
            signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)

    try:
        uvloop.run(handled())
    except asyncio.CancelledError:
        if not stopped:
            raise
        raise stopped[0] from None
    finally:
        for signum, handler in handlers.items():
            signal.signal(signum, handler)  # the loop leaves the system's
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
