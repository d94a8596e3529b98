"""Whatever is sent, the reply is a result or JSON of an error, a field and a fix; never 500."""

import contextlib
import json
import socket
import time

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.experiments.service.conftest import LATENT, TOKEN

GOOD = [[0.5] * LATENT]
BODIES = {
    "not JSON": (b"{", 400, "body"),
    "NaN": (b'{"z": [[NaN, 1, 1, 1, 1]]}', 400, "body"),
    "no object": (b"[]", 400, "body"),
    "deep": (b"[" * 5000, 400, "body"),
    "missing": (b"{}", 400, "z"),
    "unknown": (json.dumps({"z": GOOD, "y": 1}).encode(), 400, "y"),
    "wrong width": (json.dumps({"z": [[1.0] * 3]}).encode(), 400, "z"),
    "ragged": (json.dumps({"z": [[1.0], [1.0, 2.0]]}).encode(), 400, "z"),
    "text": (json.dumps({"z": [["a"] * LATENT]}).encode(), 400, "z"),
    "null": (json.dumps({"z": [[None] * LATENT]}).encode(), 400, "z"),
    "truth": (json.dumps({"z": [[True] * LATENT]}).encode(), 400, "z"),
    "a number": (b'{"z": 3}', 400, "z"),
    "no rows": (b'{"z": []}', 400, "z"),
    "infinite in float32": (json.dumps({"z": [[1e300] * LATENT]}).encode(), 400, "z"),
    "too large": (json.dumps({"z": [[101] * LATENT]}).encode(), 400, "z"),
    "twice": (b'{"z": [[0.5, 1, 1, 1, 1]], "z": [[0.1, 1, 1, 1, 1]]}', 400, "z"),
    "twice, by an escape": (b'{"z": [[0.5, 1, 1, 1, 1]], "\\u007a": 3}', 400, "z"),
    "twice, within": (b'{"z": {"a": 1, "a": 1}}', 400, "a"),
    "many names": (json.dumps({str(i): i for i in range(99)}).encode(), 400, "body"),
    "many rows": (json.dumps({"z": GOOD * 3000}).encode(), 413, "z"),
    "many rows, ragged": (json.dumps({"z": [[1.0]] * 20000 + [[1.0, 2.0]]}).encode(), 400, "z"),
    "many rows, one of text": (json.dumps({"z": GOOD * 5000 + [["a"] * LATENT]}).encode(), 400, "z"),
    "many brackets": (json.dumps({"z": [[]] * 50000}).encode(), 400, "z"),
    "many bytes that are no JSON": (b"[" + b" " * 2**17, 400, "body"),
    "many bytes of an object": (json.dumps({"z": {"a": list(range(50000))}}).encode(), 400, "z"),
    "too many rows": (json.dumps({"z": GOOD * 200}).encode(), 413, "z"),
}
DRAWS = {
    "negative": ({"seed": -1}, 400, "seed"),
    "fraction": ({"seed": 1.5}, 400, "seed"),
    "truth": ({"seed": True}, 400, "seed"),
    "huge": ({"seed": 2**60}, 400, "seed"),
    "none": ({"n": 0}, 400, "n"),
    "many": ({"n": 10**9}, 413, "n"),
    "with a key": ({"key": [[1, 0, 0]], "seed": 1}, 400, "seed"),
}


def typed(reply):
    """The field of an error, whose parts are there."""
    error = json.loads(reply)
    assert set(error) == {"error", "field", "fix"}
    assert error["error"]
    assert error["fix"]
    return error["field"]


def test_bad_bodies_name_the_field(plain):
    for name, (body, expected, field) in BODIES.items():
        status, _, content = plain.send("POST", "/v1/toy/decode", body, content_type="application/json")
        assert (status, typed(content)) == (expected, field), name
    for name, (body, expected, field) in DRAWS.items():
        content = json.dumps(body).encode()
        status, _, content = plain.send("POST", "/v1/toy/sample", content, content_type="application/json")
        assert (status, typed(content)) == (expected, field), name


def test_bad_arrays_name_the_field(plain):
    z = torch.zeros(1, LATENT)
    for tensors, field in (
        ({"z": z.double()}, "z"),
        ({"z": z[0]}, "z"),
        ({"z": z / 0}, "z"),
        ({"y": z}, "y"),
        ({"z": torch.zeros(0, LATENT)}, "z"),
    ):
        status, content = plain.arrays("/v1/toy/decode", tensors)
        assert (status, typed(content)) == (400, field)
    status, content = plain.arrays("/v1/toy/sample", {"seed": torch.tensor([1])})
    assert (status, typed(content)) == (400, "seed")


def test_other_places_and_methods(plain):
    for method, path, expected in (
        ("POST", "/v1/other/decode", 404),
        ("POST", "/v1/toy/other", 404),
        ("POST", "/v1/toy/decode/more", 404),
        ("POST", "/v1/", 404),
        ("GET", "/nowhere", 404),
        ("GET", "/v1/toy/decode", 405),
        ("POST", "/healthz", 405),
        ("POST", "/admin/swap", 403),
    ):
        status, _, content = plain.send(method, path, b"{}")
        assert status == expected, path
        typed(content)
    status, _, content = plain.send("POST", "/v1/toy/decode", b"x", content_type="text/plain")
    assert (status, typed(content)) == (415, "content-type")


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda each: st.lists(each, max_size=4) | st.dictionaries(st.sampled_from(["z", "seed", "n", "key", "a"]), each),
    max_leaves=8,
)
ROWS_OF_JUNK = st.lists(st.lists(st.integers() | st.floats(-1, 1) | st.none(), min_size=3, max_size=6), max_size=3)


@pytest.fixture(scope="module")
def parsed():
    """parsed(content, kind, function): "ok", or the status of a body's refusal."""
    from jensen.experiments.service import bodies, json_values
    from jensen.experiments.service.errors import Refused
    from tests.experiments.service.conftest import function

    signatures = {name: function(name, None).signature for name in ("decode", "sample")}

    def status(content, kind, name):
        try:
            values = json_values.read(content) if kind == bodies.JSON else bodies.binary(content)
            found = bodies.given(values, kind, signatures[name], 128)
        except Refused as refused:
            return refused.status if refused.error and refused.fix else "without a fix"
        for argument, value in zip(signatures[name].inputs, found.inputs, strict=True):
            argument.check_array(value)
        return "ok"

    return status


@settings(deadline=None)
@given(
    st.binary(max_size=40)
    | JUNK.map(lambda each: json.dumps(each).encode())
    | st.builds(lambda z: json.dumps({"z": z}).encode(), ROWS_OF_JUNK)
    | st.builds(lambda key: json.dumps({"key": key}).encode(), ROWS_OF_JUNK)
)
def test_no_body_is_a_fault(parsed, content):
    """Each is what the function takes, or refused with a field and a fix."""
    for kind in ("application/json", "application/vnd.safetensors"):
        for name in ("decode", "sample"):
            assert parsed(content, kind, name) in ("ok", 400, 413)


@settings(deadline=None)
@given(st.integers(0, 200), st.integers(0, 255), st.sampled_from(["float32", "float64", "int64", "bool", "float16"]))
def test_no_damaged_arrays_are_a_fault(parsed, place, value, dtype):
    content = bytearray(safetensors.torch.save({"z": torch.zeros(2, LATENT, dtype=getattr(torch, dtype))}))
    content[place % len(content)] = value
    assert parsed(bytes(content), "application/vnd.safetensors", "decode") in ("ok", 400, 413)


def test_an_oversized_body_is_refused_before_it_is_read(serve):
    """By its header alone; and where it comes in parts without one, when it is over."""
    running = serve(body=1000)
    with raw(running) as link:
        link.sendall(b"POST /v1/toy/decode HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n")
        assert link.recv(4096).startswith(b"HTTP/1.1 413")
    with raw(running) as link:
        link.sendall(b"POST /v1/toy/decode HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n")
        link.sendall(b"7d0\r\n" + b"a" * 2000 + b"\r\n")
        assert link.recv(4096).startswith(b"HTTP/1.1 413")


def test_a_slow_client_is_not_waited_for(serve):
    """One that does not send its body, and one that sends no headers; others are answered meanwhile."""
    running = serve(read=0.3)
    with raw(running) as slow, raw(running) as silent:
        slow.sendall(b"POST /v1/toy/decode HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n{")
        assert running.post("/v1/toy/decode", {"z": GOOD})[0] == 200
        assert slow.recv(4096).startswith(b"HTTP/1.1 408")
        assert silent.recv(4096) == b""
    assert running.service.active == 0


def test_connections_are_bounded(serve):
    running = serve(connections=3)
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(raw(running))
        time.sleep(0.1)
        with raw(running) as link:
            assert link.recv(4096).startswith(b"HTTP/1.1 503")


def test_a_token_is_asked_for(serve):
    running = serve(tokens=(TOKEN,))
    assert running.post("/v1/toy/decode", {"z": GOOD})[0] == 401
    assert running.post("/v1/toy/decode", {"z": GOOD}, authorization="Bearer another")[0] == 401
    assert running.post("/v1/toy/decode", {"z": GOOD}, authorization=f"Bearer {TOKEN}")[0] == 200
    assert running.get("/healthz")[0] == 200


def test_outputs_that_are_no_numbers_are_refused(serve):
    running = serve({"decode": lambda z: z[:, :1].expand(-1, 7) / (z[:, :1] - 3)})
    z = np.zeros((1, LATENT))
    assert running.post("/v1/toy/decode", {"z": z.tolist()})[0] == 200
    status, error = running.post("/v1/toy/decode", {"z": (z + 3).tolist()})
    assert (status, typed(json.dumps(error))) == (422, "")


def raw(running):
    return socket.create_connection(("127.0.0.1", running.port), timeout=10)
