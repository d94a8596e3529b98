"""Connections of clients that are slow, silent or send what is no HTTP: each is bounded in time and in bytes."""

from asyncio import TimerHandle, Transport
from collections.abc import Callable
from typing import Any, cast

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from jensen.experiments.service.errors import Refused
from jensen.experiments.service.exchange import LINK
from jensen.experiments.service.packets import Packets

HEAD = 2**19  # bytes of a request that are no body; one read has fewer
REASONS = {400: "Bad Request", 431: "Request Header Fields Too Large", 503: "Service Unavailable"}


def bounded(most: int, seconds: float, watch: Callable[[int], object]) -> type[HttpToolsProtocol]:
    """Connections of which there are at most `most`.

    A client has `seconds` to send a request's headers, from the reply before it, and to take the reply. watch: is given
    the status of what is refused here. A request's scope has its connection, as `exchange.Link`.
    """

    class Bounded(HttpToolsProtocol):
        gone = False
        leave: Callable[[], object] | None = None
        _patience: TimerHandle | None = None  # for a request
        _taking: TimerHandle | None = None  # for a reply to be taken
        _head: int | None = None  # bytes of a request so far that are no body

        def connection_made(self, transport: Any) -> None:
            super().connection_made(cast(Transport, Packets(transport, self.loop)))
            self._wait()
            if len(self.connections) > most:
                self._refuse(Refused(503, "too many connections", fix="connect later", retry_after=1))

        def connection_lost(self, exc: Exception | None) -> None:
            for timer in (self._patience, self._taking):
                _cancel(timer)
            super().connection_lost(exc)
            self.gone = True
            if self.leave is not None:
                self.leave()

        @property
        def whole(self) -> bool:
            return not self.cycle.more_body  # of a later request, of which some is here, where there are several

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self._head is not None:
                self._head += len(data)
                if self._head > HEAD:
                    self._refuse(Refused(431, f"the headers are longer than {HEAD} bytes", "", "send fewer"))

        def send_400_response(self, msg: str) -> None:
            self._refuse(Refused(400, "it is no HTTP request", "", "send one of HTTP/1.1"))

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self._head = 0
            self.scope["state"] = {LINK: self}

        def on_headers_complete(self) -> None:
            _cancel(self._patience)
            super().on_headers_complete()

        def on_body(self, body: bytes) -> None:
            super().on_body(body)
            if self._head is not None:
                self._head -= len(body)

        def on_message_complete(self) -> None:
            super().on_message_complete()
            self._head = None

        def on_response_complete(self) -> None:
            super().on_response_complete()
            _cancel(self._patience)
            self._wait()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._taking = self.loop.call_later(seconds, self.transport.abort)

        def resume_writing(self) -> None:
            _cancel(self._taking)
            super().resume_writing()

        def _wait(self) -> None:
            self._patience = self.loop.call_later(seconds, self._hurry)

        def _hurry(self) -> None:
            if self.cycle is None or self.cycle.response_complete:
                self.transport.abort()  # to close it would wait until its last reply is taken

        def _refuse(self, refused: Refused) -> None:
            if not self.transport.is_closing():
                watch(refused.status)
                self.transport.write(_written(refused))
                self.transport.close()

    return Bounded


def _cancel(timer: TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()


def _written(refused: Refused) -> bytes:
    """A whole reply, of a connection that has no request."""
    content = orjson.dumps(refused.content)
    head = [f"HTTP/1.1 {refused.status} {REASONS[refused.status]}", "content-type: application/json"]
    head += [f"retry-after: {refused.retry_after}"] * (refused.retry_after is not None)
    head += ["connection: close", f"content-length: {len(content)}", "", ""]
    return "\r\n".join(head).encode() + content
