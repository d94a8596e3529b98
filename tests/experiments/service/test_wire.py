"""What comes over the wire and is no good request: it has a typed reply or its connection ends; no other is hurt."""

import concurrent.futures
import contextlib
import gzip
import json
import random
import socket
import time

import pytest

from tests.experiments.process import until
from tests.experiments.service.wire import BODY, GOOD, POST, ask, check_error, connect, received, send, split

ENDLESS = 20  # s, of a service that waits 0.3 for a client
CLOSE = b"connection: close\r\n"
SENT = b"%bcontent-length: %d\r\n%b\r\n%b"

NO_HTTP = {
    "no bytes of HTTP": b"\x00\x01\x02\r\n\r\n",
    "TLS": bytes.fromhex("16030100b5010000b10303") + bytes(60),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a version": b"GET / HTTP/9.7\r\n\r\n",
    "a method": b"G\xc3\xa9T / HTTP/1.1\r\nhost: a\r\n\r\n",
    "a path": "GET /é HTTP/1.1\r\nhost: a\r\n\r\n".encode(),
    "a name": b"GET / HTTP/1.1\r\nho st: a\r\n\r\n",
    "a value": b"GET / HTTP/1.1\r\nhost: a\x00b\r\n\r\n",
    "two lengths": POST + b"content-length: 3\r\ncontent-length: 4\r\n\r\n{}  ",
    "a negative length": POST + b"content-length: -3\r\n\r\n{}",
    "no length": POST + b"content-length: many\r\n\r\n{}",
    "a length beyond 64 bits": POST + b"content-length: 99999999999999999999999\r\n\r\n{}",
    "a length and chunks": POST + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "a tunnel": b"CONNECT a:1 HTTP/1.1\r\nhost: a\r\n\r\n",
}


@pytest.fixture(scope="module")
def hasty():
    """A service that waits for no client."""
    from tests.experiments.service.conftest import Limits, Running, calls, held

    running = Running(Limits(wait=0.001, read=0.3), (), held(calls()))
    yield running
    running.drain()


def test_what_is_no_http_is_refused(hasty):
    for name, content in NO_HTTP.items():
        replies = ask(hasty, content)
        assert len(replies) == 1, name
        check_error(replies[0], 400, 404, 405)
    assert ask(hasty, b"GET /\r\n") == []  # HTTP/0.9, which llhttp waits for more of


def test_paths_are_taken_for_what_they_are(hasty):
    for path in (
        b"/v1/toy/%zz",
        b"/%00",
        b"/%ff%fe",
        b"/v1/../healthz",
        b"//healthz",
        b"/v1/%74oy/none",
        b"/" + b"a" * 9000,
    ):
        (reply,) = ask(hasty, b"POST " + path + b" HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n" + CLOSE + b"\r\n")
        check_error(reply, 404)
        assert len(reply.content) < 500
    (reply,) = ask(hasty, SENT % (POST.replace(b"toy", b"%74oy"), len(BODY), CLOSE, BODY))
    assert reply.status == 200


def test_methods(hasty):
    """HEAD is GET without its content; others are named in a refusal."""
    for path in (b"/healthz", b"/metrics", b"/openapi.json"):
        request = b"HEAD " + path + b" HTTP/1.1\r\nhost: a\r\n" + CLOSE + b"\r\n"
        (reply,) = ask(hasty, request, heads=(0,))
        assert (reply.status, reply.content) == (200, b"")
    for method, path, allow in ((b"OPTIONS", b"/v1/toy/decode", "POST"), (b"DELETE", b"/healthz", "GET, HEAD")):
        (reply,) = ask(hasty, method + b" " + path + b" HTTP/1.1\r\nhost: a\r\n" + CLOSE + b"\r\n")
        check_error(reply, 405)
        assert reply.headers["allow"] == allow.lower()


def test_coded_bodies_are_refused(hasty):
    """By their header, whatever they hold: one that grows when it is unpacked is never unpacked."""
    for coding in (b"gzip", b"br", b"deflate, gzip"):
        content = gzip.compress(bytes(10**6))
        (reply,) = ask(hasty, SENT % (POST, len(content), CLOSE + b"content-encoding: " + coding + b"\r\n", content))
        assert check_error(reply, 415) == "content-encoding"
    (reply,) = ask(hasty, SENT % (POST, len(BODY), CLOSE + b"content-encoding: identity\r\n", BODY))
    assert reply.status == 200


def test_headers_are_bounded(hasty):
    """Many of them, one without an end, and a path without one."""
    for content in (
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 200_000,
        b"GET / HTTP/1.1\r\na: " + b"b" * 1_200_000,
        b"GET /" + b"a" * 1_200_000,
        POST + b"transfer-encoding: chunked\r\n\r\n" + b"1;" + b"a" * 1_200_000,
    ):
        found = ask(hasty, content)
        if found:  # else the reply was lost with what the service did not read
            check_error(found[0], 400, 431)
    assert hasty.get("/healthz")[0] == 200


def test_requests_in_a_row_are_answered_in_a_row(hasty):
    """Without waiting for replies; what follows the last is no request."""
    replies = ask(hasty, GOOD * 3 + b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n" + GOOD + b"\x00\r\n\r\n")
    assert [reply.status for reply in replies][:3] in ([200] * 3, [400])
    replies = ask(hasty, GOOD * 3 + b"GET /healthz HTTP/1.1\r\nhost: a\r\n" + CLOSE + b"\r\n")
    assert [reply.status for reply in replies] == [200] * 4
    assert replies[3].content.startswith(b'{"ok":true,"stalled":[]')
    assert len({reply.content for reply in replies[:3]}) == 1


def test_lengths_that_lie(hasty):
    """A body that is shorter than its header says is waited for, and one that is longer is another request."""
    (reply,) = ask(hasty, POST + b"content-length: 1000\r\n\r\n" + BODY)
    check_error(reply, 408)
    replies = ask(hasty, GOOD + b"trailing")
    assert [reply.status for reply in replies] in ([200, 400], [400], [200])
    (reply,) = ask(hasty, POST + b"transfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n")
    check_error(reply, 400)


def test_a_body_that_is_asked_for_and_one_that_is_not(hasty):
    """100-continue: the body is asked for where there is room, and an upgrade is not taken."""
    with contextlib.closing(connect(hasty)) as link:
        send(link, POST + b"expect: 100-continue\r\ncontent-length: %d\r\n%b\r\n" % (len(BODY), CLOSE))
        assert link.recv(100).startswith(b"HTTP/1.1 100")
        send(link, BODY)
        assert split(received(link))[0].status == 200
    upgrade = b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: YQ==\r\n"
    for content in (
        b"GET /healthz HTTP/1.1\r\nhost: a\r\n" + upgrade + b"\r\n",
        SENT % (POST, len(BODY), upgrade, BODY),
    ):
        assert ask(hasty, content)[0].status in (200, 400, 408)


def dribbled(running, head, pause=0.02):
    """A head, and letters one after another until the service closes: the seconds that it took, and its replies."""
    begun, found = time.monotonic(), b""
    with contextlib.closing(connect(running, pause)) as link:
        send(link, head)
        while time.monotonic() - begun < ENDLESS and send(link, b"a"):
            with contextlib.suppress(TimeoutError, ConnectionError):
                if not (part := link.recv(4096)):
                    break
                found += part
    return time.monotonic() - begun, split(found)


def test_slow_clients_hold_nothing_for_long(hasty):
    """Headers byte by byte, at first and after a reply; a body byte by byte; and one that nobody waits for."""
    endless, long = b"GET / HTTP/1.1\r\na: ", b"content-length: 1000\r\n\r\n"
    unread = POST.replace(b"toy", b"none") + long
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        slow = [pool.submit(dribbled, hasty, head) for head in (endless, GOOD + endless, POST + long, unread)]
        assert hasty.post("/v1/toy/decode", json.loads(BODY))[0] == 200
    assert [[reply.status for reply in each.result()[1]] for each in slow] == [[], [200], [408], [404]]
    assert max(each.result()[0] for each in slow) < ENDLESS
    assert hasty.service.active == 0


def test_a_client_that_takes_no_reply_is_let_go(serve):
    """Its connection ends after `read` seconds, and so does what it asked for."""
    running = serve(read=0.3, rows=128)
    z = [[0.5] * 5] * 128
    content = json.dumps({"z": z}).encode()
    request = SENT % (POST, len(content), b"", content)
    with contextlib.closing(socket.socket()) as link:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        link.settimeout(0.1)
        link.connect(("127.0.0.1", running.port))
        with contextlib.suppress(TimeoutError):
            link.sendall(request * 1000)
        until(lambda: not running.server.server_state.connections)
    assert running.service.active == 0
    assert running.get("/healthz")[0] == 200


def mutated(number):
    """A request with bytes changed, left out, put in, or parts of it twice."""
    chance = random.Random(number)
    content = bytearray(
        chance.choice([GOOD, GOOD * 2, SENT % (POST, len(BODY), b"x-a: b\r\nconnection: close\r\n", BODY)])
    )
    for _ in range(chance.choice([1, 1, 2, 5])):
        place = chance.randrange(len(content))
        kind = chance.randrange(4)
        if kind == 0:
            content[place] = chance.randrange(256)
        elif kind == 1:
            del content[place : place + chance.choice([1, 2, 10])]
        elif kind == 2:
            content[place:place] = chance.choice([b"\r\n", b"\x00", b"\r\n\r\n", b"99999", b":", b"\xff\xfe", b" "])
        else:
            end = place + chance.randrange(20)
            content[end:end] = content[place:end]
    return bytes(content)


@pytest.mark.parametrize("many", [150, pytest.param(20_000, marks=pytest.mark.slow)])
def test_no_mutated_request_is_a_fault(hasty, many):
    """Every reply is a result or a typed refusal; whatever is waited for has its end."""
    at_once = 50
    for begin in range(0, many, at_once):
        with contextlib.ExitStack() as stack:
            links = {i: stack.enter_context(contextlib.closing(connect(hasty))) for i in range(begin, begin + at_once)}
            for i, link in links.items():
                send(link, mutated(i))
            for i, link in links.items():
                found = received(link)
                assert found is not None, mutated(i)
                for reply in split(found, heads=range(9) if mutated(i).startswith(b"HEAD") else ()):
                    if reply.status != 200:
                        check_error(reply, 400, 404, 405, 408, 413, 415, 431)
    assert hasty.get("/healthz")[0] == 200
    assert hasty.service.active == 0
    assert not any(line["event"] == "fault" for line in hasty.lines)
