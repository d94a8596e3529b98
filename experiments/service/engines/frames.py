"""Messages between the front and its processes: a head of JSON and arrays of safetensors, each after its length.

Nothing is unpickled: what a process sends is data, whatever has become of the process.
"""

import asyncio
import socket
import struct
from typing import Any

import orjson
import safetensors.torch

from jensen.experiments.service.engines.seam import Rows

LENGTHS = struct.Struct(">IQ")  # bytes of the head and of the arrays


def packed(head: dict[str, Any], rows: Rows = ()) -> bytes:
    """A message."""
    said, arrays = orjson.dumps(head), saved(rows)
    return b"".join((LENGTHS.pack(len(said), len(arrays)), said, arrays))


async def read(reader: asyncio.StreamReader) -> tuple[dict[str, Any], bytes]:
    """The next message, its arrays as they came. IncompleteReadError or OSError where the other side has ended."""
    head, arrays = LENGTHS.unpack(await reader.readexactly(LENGTHS.size))
    return orjson.loads(await reader.readexactly(head)), await reader.readexactly(arrays)


def received(link: socket.socket) -> tuple[dict[str, Any], Rows]:
    """The next message. EOFError where the other side has ended."""
    head, arrays = LENGTHS.unpack(_exactly(link, LENGTHS.size))
    return orjson.loads(_exactly(link, head)), opened(_exactly(link, arrays))


def saved(rows: Rows) -> bytes:
    """As arrays of a message."""
    return safetensors.torch.save({str(i): each.contiguous() for i, each in enumerate(rows)}) if rows else b""


def opened(arrays: bytes) -> Rows:
    """The arrays of a message."""
    if not arrays:
        return ()
    named = safetensors.torch.load(arrays)
    return tuple(named[str(i)] for i in range(len(named)))


def _exactly(link: socket.socket, size: int) -> bytes:
    content = bytearray(size)
    view = memoryview(content)
    while view:
        n = link.recv_into(view)
        if not n:
            raise EOFError
        view = view[n:]
    return bytes(content)
