"""Large bodies of JSON: what they become, who is answered meanwhile, and what a process that ends costs."""

import asyncio
import json
import threading
import time

import numpy as np
import orjson
import pytest
import torch

from jensen.experiments.service import bodies, json_values
from jensen.experiments.service.errors import Refused
from jensen.experiments.service.json_process import SMALL, JsonReader
from tests.experiments.service.conftest import LATENT, PIXELS

WIDE = b'{"z": [' + b"[]," * 600_000 + b"0]}"  # a second of the event loop's, were it read there


def test_bodies_are_the_same_whoever_reads_them():
    """Arrays bit by bit, what is unfit by its words, other values, their order, and refusals."""
    bodies = [
        {"x": np.random.default_rng(0).normal(size=(3, 4)).tolist(), "n": 3, "a": [1, 2], "t": "text \u00e9", "e": []},
        {"z": [[1.0], [2.0, 3.0]], "y": ["a"], "b": [True, 1], "o": [{}], "k": None, "f": True, "h": [2**63]},
    ]
    contents = [orjson.dumps(each)[:-1] + b" " * SMALL + b"}" for each in bodies]

    async def read():
        reader = JsonReader(60)
        try:
            found = [await reader.read(content) for content in contents]
            with pytest.raises(Refused, match="it is there twice") as caught:
                await reader.read(b'{"a": 1, "a": 2' + b" " * SMALL + b"}")
            return found, caught.value
        finally:
            reader.close()

    found, refused = asyncio.run(read())
    assert (refused.status, refused.field) == (400, "a")
    for content, values in zip(contents, found, strict=True):
        expected = json_values.read(content)
        assert list(values) == list(expected)
        for name, value in expected.items():
            assert type(values[name]) is type(value)
            if isinstance(value, np.ndarray):
                assert values[name].dtype == value.dtype
                assert np.array_equal(values[name], value)
            else:
                assert values[name] == value


@pytest.fixture
def wide(serve):
    """A service whose rows may be many, which has read a large body."""
    running = serve({"decode": lambda z: torch.zeros(len(z), PIXELS)}, rows=2000, queue=4000, deadline=30)
    body = {"z": [[0.123456789] * LATENT] * 1200}
    assert len(orjson.dumps(body)) > SMALL
    assert running.post("/v1/toy/decode", body)[0] == 200
    return running


def test_others_are_answered_while_a_large_body_is_read(wide):
    """None of health's replies takes half of the time that a body of 600,000 brackets does, under any load."""
    found = []
    asking = threading.Thread(target=lambda: found.append(wide.send("POST", "/v1/toy/decode", WIDE)))
    asking.start()
    seconds = []
    while asking.is_alive():
        started = time.monotonic()
        assert wide.get("/healthz")[0] == 200
        seconds.append(time.monotonic() - started)
    asking.join()
    status, _, content = found[0]
    assert (status, json.loads(content)["field"]) == (400, "z")
    assert max(seconds) < sum(seconds) / 2


def test_a_process_that_is_killed_costs_its_body_alone(wide):
    reader = wide.service._json
    asking = []
    thread = threading.Thread(target=lambda: asking.append(wide.send("POST", "/v1/toy/decode", WIDE)))
    thread.start()
    while not reader._alone.locked():
        time.sleep(0.001)
    reader._process.kill()
    thread.join()
    status, headers, content = asking[0]
    assert (status, json.loads(content)["field"]) == (503, "body")
    assert headers["retry-after"] == "1"
    assert wide.post("/v1/toy/decode", {"z": [[0.123456789] * LATENT] * 1200})[0] == 200


def test_a_body_that_takes_too_long_is_given_up(serve):
    """And the next is read by another process."""
    running = serve({"decode": lambda z: torch.zeros(len(z), PIXELS)}, rows=2000, queue=4000, deadline=0.05)
    status, _, content = running.send("POST", "/v1/toy/decode", WIDE)
    assert (status, json.loads(content)["field"]) == (504, "body")
    running.service._json._seconds = 30
    assert running.send("POST", "/v1/toy/decode", WIDE)[0] == 400


@pytest.mark.parametrize(
    "shape", [(bodies.PIECE + 1,), (9, 3, 2000), (2, 3, bodies.PIECE), (1, bodies.PIECE + 5), (4, 1, 20_000)], ids=str
)
def test_large_replies_are_the_bytes_of_small_ones(shape):
    """And others have their turns meanwhile, one for each piece at least."""
    x, turns = np.random.default_rng(0).normal(size=shape).astype(np.float32), 0
    outputs, head = {"a": x, "b": np.arange(3), "c": -x}, {"model": "toy", "version": 1}

    async def counted():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def made():
        other = asyncio.create_task(counted())
        try:
            return await bodies.reply(outputs, 3, bodies.JSON, head)
        finally:
            other.cancel()

    expected = orjson.dumps({**head, "seed": 3, "outputs": outputs}, option=orjson.OPT_SERIALIZE_NUMPY)
    assert asyncio.run(made()) == expected
    assert turns >= 2 * x.size / bodies.PIECE
    assert all(len(piece) < 20 * bodies.PIECE for piece in bodies.pieces(x))
