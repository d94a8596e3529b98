"""Messages between the front and its processes: a head of JSON and arrays of safetensors, each after its length.

Nothing is unpickled: what a process sends is data, whatever has become of the process. It imports no torch, which a
process that computes nothing does without.
"""

import asyncio
import socket
import struct
from typing import Any

import orjson

LENGTHS = struct.Struct(">IQ")  # bytes of the head and of the arrays
Message = tuple[dict[str, Any], bytes]  # the arrays as they came


def packed(head: dict[str, Any], arrays: bytes = b"") -> bytes:
    """As it is sent."""
    said = orjson.dumps(head)
    return b"".join((LENGTHS.pack(len(said), len(arrays)), said, arrays))


async def read(reader: asyncio.StreamReader) -> Message:
    """The next message. IncompleteReadError or OSError where the other side has ended."""
    head, arrays = LENGTHS.unpack(await reader.readexactly(LENGTHS.size))
    return orjson.loads(await reader.readexactly(head)), await reader.readexactly(arrays)


def received(link: socket.socket) -> Message:
    """The next message. EOFError where the other side has ended."""
    head, arrays = LENGTHS.unpack(_exactly(link, LENGTHS.size))
    return orjson.loads(_exactly(link, head)), _exactly(link, arrays)


async def streams(link: socket.socket) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """The front's side of a pair of sockets."""
    link.setblocking(False)
    return await asyncio.open_unix_connection(sock=link)


def _exactly(link: socket.socket, size: int) -> bytes:
    content = bytearray(size)
    view = memoryview(content)
    while view:
        n = link.recv_into(view)
        if not n:
            raise EOFError
        view = view[n:]
    return bytes(content)
