"""A thread that runs calls one after another, away from the event loop."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any


class Worker:
    """Ends with the process even while a call is stuck, which the threads of an Executor do not."""

    def __init__(self, name: str):
        self._calls: SimpleQueue[tuple[Callable[[], Any], asyncio.Future[Any]] | None] = SimpleQueue()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def submit(self, call: Callable[[], Any]) -> asyncio.Future[Any]:
        """What the call returns or raises, of the running event loop."""
        future = asyncio.get_running_loop().create_future()
        self._calls.put((call, future))
        return future

    def close(self) -> None:
        """Ends the thread after what it was given."""
        self._calls.put(None)

    def _run(self) -> None:
        while (given := self._calls.get()) is not None:
            call, future = given
            try:
                settle, found = _result, call()
            except BaseException as error:  # of any kind: the thread goes on
                settle, found = _error, error
            with suppress(RuntimeError):  # where the loop has been closed
                future.get_loop().call_soon_threadsafe(settle, future, found)
            del given, call, future, found


def _result(future: asyncio.Future[Any], value: Any) -> None:
    if not future.done():
        future.set_result(value)


def _error(future: asyncio.Future[Any], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error if isinstance(error, Exception) else RuntimeError(type(error).__name__))
