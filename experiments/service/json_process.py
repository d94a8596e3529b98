"""Large bodies of JSON are read by a process of its own, so that the event loop answers others meanwhile.

A thread would not do: what makes objects of JSON holds the interpreter's lock, for a second where 8 MiB are brackets.

    front -> process    a body                  process -> front    its values and arrays, or why it is refused
"""

import asyncio
import gc
import socket
import subprocess
import sys
from typing import Any

import numpy as np
import safetensors.numpy

from jensen.experiments.service import messages
from jensen.experiments.service.errors import Refused
from jensen.experiments.service.json_values import Unfit, read

SMALL = 2**16  # bytes that are read at once


class JsonReader:
    """Starts the process at the first large body, and again after it has ended."""

    def __init__(self, seconds: float):
        """seconds: of a body, with its wait for those before it."""
        self._seconds, self._alone = seconds, asyncio.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def read(self, content: bytes) -> dict[str, Any]:
        """As `json_values.read`. Refused, 504 and 503 too, where the process does not do it."""
        if len(content) <= SMALL:
            return read(content)
        try:
            async with asyncio.timeout(self._seconds), self._alone:
                return await self._elsewhere(content)
        except TimeoutError:
            raise Refused(504, f"the body was not read in {self._seconds:g} s", "body", "send fewer rows") from None

    def close(self) -> None:
        """Ends the process, whatever it does."""
        if self._process is not None and self._streams is not None:
            self._streams[1].close()
            self._process.kill()
            self._process.wait()
        self._process = self._streams = None

    async def _elsewhere(self, content: bytes) -> dict[str, Any]:
        try:
            reader, writer = self._streams or await self._started()
            writer.write(messages.packed({}, content))
            head, arrays = await messages.read(reader)
        except (OSError, asyncio.IncompleteReadError) as error:
            self.close()
            fix = "send fewer rows, or as safetensors"
            raise Refused(503, "the process that reads it has ended", "body", fix, 1) from error
        except BaseException:
            self.close()
            raise
        return _opened(head, arrays)

    async def _started(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        link, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", __name__, str(theirs.fileno())]
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, pass_fds=(theirs.fileno(),), start_new_session=True
            )
        self._streams = await messages.streams(link)
        return self._streams


def main(descriptor: int) -> None:
    """The process: it ends where the front does."""
    gc.disable()  # lists of lists are no cycles, and to look for some takes most of the time
    link = socket.socket(fileno=descriptor)
    try:
        while True:
            _, content = messages.received(link)
            try:
                reply = _packed(read(content))
            except Refused as refused:
                reply = messages.packed({"refused": [refused.status, refused.error, refused.field, refused.fix]})
            link.sendall(reply)
    except (EOFError, OSError):
        return


def _packed(values: dict[str, Any]) -> bytes:
    arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
    unfit = {name: value.error for name, value in values.items() if isinstance(value, Unfit)}
    others = {name: value for name, value in values.items() if name not in arrays and name not in unfit}
    others = {name: {} if isinstance(value, dict) else value for name, value in others.items()}
    head = {"names": list(values), "arrays": list(arrays), "unfit": unfit, "others": others}
    return messages.packed(head, safetensors.numpy.save({str(i): each for i, each in enumerate(arrays.values())}))


def _opened(head: dict[str, Any], arrays: bytes) -> dict[str, Any]:
    if "refused" in head:
        raise Refused(*head["refused"])
    found = safetensors.numpy.load(arrays)
    named = {name: found[str(i)] for i, name in enumerate(head["arrays"])}
    named |= {name: Unfit(text) for name, text in head["unfit"].items()} | head["others"]
    return {name: named[name] for name in head["names"]}


if __name__ == "__main__":
    main(int(sys.argv[1]))
