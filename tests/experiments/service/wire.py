"""Bytes to a service and the replies to them, without a client's help."""

import contextlib
import json
import socket
import time
from typing import NamedTuple

POST = b"POST /v1/toy/decode HTTP/1.1\r\nhost: a\r\n"
BODY = b'{"z": [[0.5, 0.5, 0.5, 0.5, 0.5]]}'
GOOD = b"%bcontent-length: %d\r\n\r\n%b" % (POST, len(BODY), BODY)


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    content: bytes


def connect(running, seconds=10):
    return socket.create_connection(("127.0.0.1", running.port), timeout=seconds)


def send(link, content):
    """Whether it was taken."""
    try:
        link.sendall(content)
    except OSError:
        return False
    return True


def received(link, seconds=10):
    """All that comes until the service closes the connection; None where it does not."""
    end, found = time.monotonic() + seconds, b""
    while (left := end - time.monotonic()) > 0:
        link.settimeout(left)
        try:
            part = link.recv(2**20)
        except TimeoutError:
            return None
        except ConnectionError:
            return found
        if not part:
            return found
        found += part
    return None


def split(content, heads=()):
    """Replies one after another; those whose places are in `heads` have no content. The last may be cut."""
    found = []
    while content:
        head, _, content = content.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        if first.startswith("HTTP/1.1 100"):
            continue
        headers = dict(line.lower().split(": ", 1) for line in lines)
        length = 0 if len(found) in heads else int(headers["content-length"])
        found.append(Reply(int(first.split()[1]), headers, content[:length]))
        content = content[length:]
    return found


def ask(running, content, seconds=10, **more):
    """Replies to bytes, of a connection that the service closes."""
    with contextlib.closing(connect(running)) as link:
        send(link, content)
        found = received(link, seconds)
    assert found is not None, "the service does not close the connection"
    return split(found, **more)


def check_error(reply, *statuses):
    """It is JSON of an error, a field and a fix; a 429 or 503 says when to come again."""
    assert reply.status in statuses, reply
    error = json.loads(reply.content)
    assert set(error) == {"error", "field", "fix"}
    assert error["error"]
    assert error["fix"]
    assert ("retry-after" in reply.headers) == (reply.status in (429, 503))
    return error["field"]
