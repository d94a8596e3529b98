"""Overload, deadlines, clients that leave, functions that fail or hang, swaps and drains."""

import concurrent.futures
import json
import socket
import threading
import time

import pytest
import torch

from jensen.core import keys
from jensen.experiments.service.breaker import Breaker
from tests.experiments.process import until
from tests.experiments.service.conftest import LATENT, PIXELS, TOKEN, calls, read

GOOD = [[0.5] * LATENT]
POISON = 7.0


def slow(seconds):
    def decode(z):
        time.sleep(seconds)
        return torch.zeros(len(z), PIXELS)

    return {"decode": decode}


def test_requests_at_once_are_bounded(serve):
    running = serve(slow(0.3), requests=2)
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        statuses = [status for status, _ in pool.map(lambda _: running.post("/v1/toy/decode", {"z": GOOD}), range(6))]
    assert set(statuses) == {200, 503}


def test_a_cancelled_request_frees_its_room(serve):
    """Its rows leave the queue while the batch before them runs."""
    running = serve(slow(0.4), queue=10, rows=10)
    batcher = running.service.models["toy"].batchers["decode"]
    first = threading.Thread(target=running.post, args=("/v1/toy/decode", {"z": GOOD}))
    first.start()
    until(lambda: batcher.since is not None)
    content = json.dumps({"z": GOOD * 10}).encode()
    with socket.create_connection(("127.0.0.1", running.port)) as link:
        link.sendall(
            b"POST /v1/toy/decode HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n%b" % (len(content), content)
        )
        until(lambda: batcher.rows == 10)
        assert running.post("/v1/toy/decode", {"z": GOOD})[0] == 429
    until(lambda: batcher.rows == 0)
    assert running.post("/v1/toy/decode", {"z": GOOD})[0] == 200
    first.join()
    assert any(line.get("status") == 499 for line in running.lines)


def test_a_poison_row_fails_alone(serve):
    """Others of its batch are answered, and so is what comes after."""
    right = calls()["decode"]

    def decode(z):
        if bool((z == POISON).any()):
            raise RuntimeError("a poison row")
        return right(z)

    running = serve({"decode": decode}, wait=0.05)
    bodies = [{"z": [[POISON if i == 3 else 0.1 * i] * LATENT]} for i in range(8)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda body: running.post("/v1/toy/decode", body), bodies))
    assert [status for status, _ in found] == [500 if i == 3 else 200 for i in range(8)]
    assert "a poison row" in found[3][1]["error"]
    for body, (status, reply) in zip(bodies, found, strict=True):
        if status == 200:
            assert reply == running.post("/v1/toy/decode", body)[1]


def test_a_row_of_another_width_leaves_its_neighbours_alone(serve):
    """It is refused before it is in a batch."""
    running = serve(wait=0.05)
    bodies = [{"z": [[0.5] * (LATENT + i % 2)]} for i in range(8)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        statuses = [status for status, _ in pool.map(lambda body: running.post("/v1/toy/decode", body), bodies)]
    assert statuses == [200, 400] * 4
    assert running.post("/v1/toy/decode", bodies[0])[0] == 200


def test_a_circuit_opens_and_closes(serve):
    """After failures in a row the model is left alone; it is tried again, and answers."""
    broken = [True]

    def decode(z):
        if broken[0]:
            raise RuntimeError("no memory")
        return torch.zeros(len(z), PIXELS)

    running = serve({"decode": decode}, failures=3, cooldown=0.3)
    statuses = [running.post("/v1/toy/decode", {"z": GOOD})[0] for _ in range(4)]
    assert statuses == [500, 500, 500, 503]
    assert running.get("/readyz")[0] == 503
    broken[0] = False
    until(lambda: running.post("/v1/toy/decode", {"z": GOOD})[0] == 200)
    assert running.get("/readyz")[0] == 200


def test_a_breaker_opens_again_at_the_first_failed_try():
    now = [0.0]
    breaker = Breaker(2, 10, lambda: now[0])
    breaker.failed()
    assert breaker.open_for == 0
    breaker.failed()
    assert breaker.open_for == 10
    now[0] = 10.0
    assert breaker.open_for == 0
    breaker.failed()
    assert breaker.open_for == 10
    breaker.succeeded()
    breaker.failed()
    assert breaker.open_for == 0


def test_stalled_inference_turns_health_red(serve):
    """The event loop answers meanwhile, and the request has its deadline."""
    going = threading.Event()

    def decode(z):
        going.wait(10)
        return torch.zeros(len(z), PIXELS)

    running = serve({"decode": decode}, stall=0.1, deadline=0.3)
    assert running.post("/v1/toy/decode", {"z": GOOD})[0] == 504
    assert running.get("/healthz") == (
        503,
        b'{"ok":false,"stalled":["toy@1/decode"],"workers":[{"seat":"1","id":"thread-1","lost":0}]}',
    )
    going.set()
    until(lambda: running.get("/healthz")[0] == 200)


def test_a_swap_under_load_fails_no_request_and_mixes_no_reply(serve, exports):
    """Each reply is that of the model whose digest it names."""

    running = serve(build=read(exports[0]), tokens=(TOKEN,))
    z = keys.normal(keys.key(1), (3, LATENT))
    expected = [calls(seed)["decode"](z) for seed in range(2)]
    old = running.service.models["toy"]
    found, stop, auth = [], threading.Event(), {"authorization": f"Bearer {TOKEN}"}

    def ask():
        while not stop.is_set():
            found.append(running.post("/v1/toy/decode", {"z": z.tolist()}, **auth))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    digests = [old.digest]
    for folder in (exports[1], exports[0]):
        status, reply = running.post("/admin/swap", {"model": "toy", "folder": str(folder)}, **auth)
        assert status == 200
        digests.append(reply["digest"])
        time.sleep(0.05)
    stop.set()
    for thread in threads:
        thread.join()
    assert {status for status, _ in found} == {200}
    for _, reply in found:
        which = 0 if reply["digest"] == digests[0] else 1
        assert reply["digest"] == digests[which]
        torch.testing.assert_close(torch.tensor(reply["outputs"]["mean"]), expected[which])
    assert {reply["digest"] for _, reply in found} == set(digests)
    assert running.post("/admin/swap", {"model": "toy", "folder": str(exports[0])})[0] == 401


def test_a_damaged_export_is_refused_and_the_old_one_stays(serve, exports, tmp_path):
    running, auth = serve(build=read(exports[0]), tokens=(TOKEN,)), {"authorization": f"Bearer {TOKEN}"}
    for name in ("cut", "swapped"):
        folder = tmp_path / name
        folder.mkdir()
        for path in exports[1].iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        weights = folder / "params.safetensors"
        other = exports[0] / weights.name
        weights.write_bytes(weights.read_bytes()[:-1] if name == "cut" else other.read_bytes())
        status, error = running.post("/admin/swap", {"model": "toy", "folder": str(folder)}, **auth)
        assert (status, error["field"]) == (400, "folder")
        assert "params.safetensors" in error["error"]
    assert running.post("/admin/swap", {"model": "toy", "folder": str(tmp_path / "none")}, **auth)[0] == 400
    assert running.post("/v1/toy/decode", {"z": GOOD}, **auth)[0] == 200


def test_a_drain_answers_what_is_under_way(serve):
    running = serve(slow(0.3))
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        under_way = [pool.submit(running.post, "/v1/toy/decode", {"z": GOOD}) for _ in range(4)]
        until(lambda: running.service.active == 4)
        running.drain()
    assert [each.result()[0] for each in under_way] == [200] * 4
    with pytest.raises(ConnectionRefusedError):
        running.get("/healthz")
    assert running.lines[-1]["event"] == "request"
