"""A transport by which a reply's head and its body leave as one packet."""

from asyncio import AbstractEventLoop
from typing import Any


class Packets:
    """What is written in one turn of the event loop is sent at the end of it: a call of the system for all of it."""

    def __init__(self, transport: Any, loop: AbstractEventLoop):
        self._transport, self._loop = transport, loop
        self._parts: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._parts:
            self._loop.call_soon(self._send)
        self._parts.append(data)

    def close(self) -> None:
        """What was written goes first."""
        self._send()
        self._transport.close()

    def _send(self) -> None:
        parts, self._parts = self._parts, []
        if parts and not self._transport.is_closing():
            self._transport.writelines(parts)
