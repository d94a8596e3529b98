"""Clients that ask again and again, each with a seed, and count what they get."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence

import orjson

from jensen.experiments.service.bodies import BINARY, JSON

PATIENCE = 30.0  # seconds for a reply, after which a request is lost


class Clients:
    """A steady load. counts: of requests, by what became of them: right, wrong, lost, or the status of a refusal."""

    def __init__(self, port: int, path: str, rows: int, expected: Sequence[bytes]):
        self._port, self._path, self._rows, self._expected = port, path, rows, expected
        self.counts: Counter[str | int] = Counter()
        self.slowest = 0.0
        self.stopping = False

    async def ask(self, client: int) -> None:
        """One client, until it is to stop; a connection that breaks is made again."""
        chance = random.Random(client)
        while not self.stopping:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            except OSError:
                self.counts["lost"] += 1
                await asyncio.sleep(0.1)
                continue
            while not self.stopping:
                became = await self._asked(chance.randrange(len(self._expected)), reader, writer)
                self.counts[became] += 1
                if became == "lost":
                    break
            writer.close()

    async def _asked(self, seed: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str | int:
        body = orjson.dumps({"seed": seed, "n": self._rows})
        head = f"POST {self._path} HTTP/1.1\r\nhost: a\r\ncontent-type: {JSON}\r\naccept: {BINARY}\r\n"
        begun = time.monotonic()
        try:
            async with asyncio.timeout(PATIENCE):
                writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
                status, content = await reply(reader)
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            return "lost"
        self.slowest = max(self.slowest, time.monotonic() - begun)
        if status != 200:
            return status
        return "right" if content == self._expected[seed] else "wrong"


async def get(port: int, path: str) -> bytes:
    """A page of the service."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n".encode())
    _, content = await reply(reader)
    writer.close()
    return content


async def reply(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Status and content."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = int(head.partition("content-length:")[2].split()[0])
    return int(head.split()[1]), await reader.readexactly(length)
