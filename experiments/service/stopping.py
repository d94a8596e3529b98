"""SIGTERM, Ctrl-C and SIGHUP from before the event loop starts until after it has ended: none raises amid its code.

Python's own handlers would, and what they raise comes out as a traceback; nor may signals be blocked meanwhile, for the
threads that torch has started take them.
"""

import asyncio
from collections.abc import Awaitable, Callable

import uvloop

from jensen.experiments.run.errors import InterruptError
from jensen.experiments.run.signals import noted


def run(serve: Callable[[], Awaitable[None]]) -> None:
    """`serve` on a loop, cancelled by every signal. InterruptError for the first, whenever it comes."""
    stopped: list[InterruptError] = []
    cancels: list[Callable[[], None]] = []

    def stop(interrupt: InterruptError) -> None:
        stopped.append(interrupt)
        for cancel in cancels:
            cancel()

    async def handled() -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        cancels.append(lambda: loop.call_soon_threadsafe(task.cancel) and None)
        try:
            if not stopped:
                await serve()
        finally:
            cancels.clear()

    with noted(stop):
        try:
            uvloop.run(handled())
        except asyncio.CancelledError:
            if not stopped:
                raise
        if stopped:
            raise stopped[0] from None
