"""One request and its reply, of ASGI: a body that is read late, in bounds, and a client that may leave or be slow."""

import asyncio
import itertools
import re
import secrets
from collections.abc import AsyncIterable, Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from jensen.experiments.service.bodies import JSON
from jensen.experiments.service.errors import Gone, Refused

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
IDENTITY = re.compile(r"[A-Za-z0-9._-]{1,64}")
LINK = "jensen.link"  # the state of a request's scope that is its connection
PROCESS, COUNT = secrets.token_hex(4), itertools.count(1)  # of which a request's own id is made


class Link(Protocol):
    """A connection, which ends where its client does not take a reply in time. It has one request at a time."""

    gone: bool
    """Whether the client has closed it, or was too slow."""
    leave: Callable[[], object] | None
    """What is called then."""

    @property
    def whole(self) -> bool:
        """Whether all of the request's body is here."""
        ...


@dataclass(frozen=True)
class Reply:
    """What is sent."""

    content: bytes
    status: int = 200
    media: str = JSON
    headers: dict[str, str] = field(default_factory=dict)


def refusal(refused: Refused) -> Reply:
    """As JSON; where the body was not waited for, its connection ends."""
    wait = {} if refused.retry_after is None else {"retry-after": str(refused.retry_after)}
    headers = refused.headers | wait
    if refused.status in (408, 413):
        headers["connection"] = "close"
    return Reply(orjson.dumps(refused.content), refused.status, headers=headers)


class Exchange:
    """A request; `seconds` bounds the wait for its body.

    client: who asks, an address unless it is known by its token; also: headers of the reply, whatever that is.
    """

    def __init__(self, scope: Message, receive: Receive, send: Send, seconds: float):
        self._receive, self._send, self._seconds = receive, send, seconds
        self._link: Link = scope["state"][LINK]
        self.method, self.path = str(scope["method"]), str(scope["path"])
        self.headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        self.begun = False  # whether a reply is on its way
        self.client, self.also = str((scope.get("client") or ("",))[0]), dict[str, str]()
        asked = self.headers.get("x-request-id", "")
        self.id = asked if IDENTITY.fullmatch(asked) else f"{PROCESS}{next(COUNT):08x}"

    def check_length(self, most: int) -> None:
        """Refused, 413, by the header alone."""
        length = self.headers.get("content-length", "0")
        if not length.isascii() or not length.isdigit() or int(length[:20]) > most:
            raise _too_long(most)

    async def body(self, most: int) -> bytes:
        """The body. Refused, 413 and 408; Gone."""
        if self._link.whole:  # no limit, which takes longer to set than a small body to read
            return await self._read(most)
        try:
            async with asyncio.timeout(self._seconds):
                return await self._read(most)
        except TimeoutError:
            raise Refused(408, f"the body did not come in {self._seconds:g} s", "body", "send it faster") from None

    @contextmanager
    def leaving(self, then: Callable[[], object]) -> Iterator[None]:
        """Calls `then` where the client closes the connection meanwhile."""
        if self._link.gone:
            then()
        self._link.leave = then
        try:
            yield
        finally:
            self._link.leave = None

    async def send(self, reply: Reply) -> None:
        """Gone where the client does not take it."""
        head = self._head(reply, {"content-length": str(len(reply.content))})
        await self._take(head, {"type": "http.response.body", "body": reply.content})

    async def stream(self, reply: Reply, parts: AsyncIterable[bytes]) -> None:
        """A reply whose content is in parts, each sent as it comes. Gone where the client does not take one."""
        await self._take(self._head(reply, {"cache-control": "no-store", "x-accel-buffering": "no"}))
        async for part in parts:
            await self._take({"type": "http.response.body", "body": part, "more_body": True})
        await self._take({"type": "http.response.body", "body": b""})

    def _head(self, reply: Reply, own: dict[str, str]) -> Message:
        self.begun = True
        headers = {"content-type": reply.media, "x-request-id": self.id} | own | self.also | reply.headers
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        return {"type": "http.response.start", "status": reply.status, "headers": raw}

    async def _read(self, most: int) -> bytes:
        parts, size, more = [], 0, True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Gone
            part, more = message.get("body", b""), message.get("more_body", False)
            size += len(part)
            if size > most:
                raise _too_long(most)
            parts.append(part)
        return b"".join(parts)

    async def _take(self, *messages: Message) -> None:
        for message in messages:
            await self._send(message)
            if self._link.gone:
                raise Gone


def _too_long(most: int) -> Refused:
    return Refused(413, f"the body is longer than {most} bytes", "body", "send fewer rows at once")
