"""A text to one client while it is drawn: a bounded buffer, whole characters, and the reason of its end."""

import asyncio
import codecs
from collections import deque
from collections.abc import AsyncIterator, Sequence

from jensen.experiments.service.errors import Refused

LENGTH, SLOW, LATE, CLOSING, FAILED = "length", "slow reader", "deadline", "closing", "failed"


class Stream:
    """Symbols go in and text comes out; what does not read `most` parts in time is ended, and nobody waits for it."""

    def __init__(self, words: Sequence[bytes], most: int):
        self._words, self._most = words, most
        self._parts: deque[str] = deque()
        self._changed = asyncio.Event()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.symbols = 0
        self.reason: str | None = None  # why it has ended
        self.error: Refused | None = None  # what has failed

    def put(self, symbol: int) -> None:
        """A symbol's text; none while a character is not whole."""
        if self.reason is not None:
            return
        if len(self._parts) >= self._most:
            self.end(SLOW)
            return
        self.symbols += 1
        self._add(self._decoder.decode(self._words[symbol]))

    def end(self, reason: str, error: Refused | None = None) -> None:
        """The first reason is the one."""
        if self.reason is None:
            self._add(self._decoder.decode(b"", final=True))
            self.reason, self.error = reason, error
            self._changed.set()

    async def begun(self) -> None:
        """Returns when there is something to read, or the end."""
        await self._changed.wait()

    async def parts(self) -> AsyncIterator[str]:
        """What comes, until the end."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            while self._parts:
                yield self._parts.popleft()
            if self.reason is not None:
                return

    def _add(self, text: str) -> None:
        if text:
            self._parts.append(text)
            self._changed.set()
