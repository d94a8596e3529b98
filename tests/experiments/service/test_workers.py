"""Workers that are killed, hang or are left alone: every reply is right or a typed error, and none stays behind."""

import collections
import concurrent.futures
import contextlib
import http.client
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time

import pytest
import torch

from jensen.core import keys
from jensen.experiments.deployment import load
from jensen.experiments.service.batching import TRIES
from jensen.experiments.service.engines import LostWorkerError
from jensen.experiments.service.engines.processes import Processes
from jensen.experiments.service.settings import Limits
from tests.experiments.process import PATIENCE, until
from tests.experiments.service.conftest import LATENT, TOKEN, Running, calls, read
from tests.experiments.service.test_under_fire import GOOD

SEEDS = range(40)
RECOVERED = 5  # seconds, on a machine with much else to do
AUTH = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def two(exports):
    """A service of two worker processes, and the engine's events."""
    events = []

    def engine(limits):
        return Processes(limits.width, 2, stall=2, log=lambda event, **values: events.append((event, values)))

    running = Running(Limits(wait=0.002, deadline=PATIENCE / 2), (TOKEN,), read(exports[0]), engine)
    running.events = events
    yield running
    running.drain()


@pytest.fixture(scope="module")
def expected(exports):
    """The draws of each seed, by the digest of an export."""
    keyed = {seed: keys.at(keys.key(seed), datum=torch.arange(2)) for seed in SEEDS}
    return [{seed: sample(key) for seed, key in keyed.items()} for sample in (load(each)["sample"] for each in exports)]


def pids(running):
    until(lambda: all(seat.worker for seat in running.engine.seats()))
    return [int(seat.worker) for seat in running.engine.seats()]


def retried(running):
    lines = running.get("/metrics")[1].decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("jensen_batches_retried_total"))


def losses(running):
    return sum(event == "worker lost" for event, _ in running.events)


def kill(pid):
    """A process, where there is one."""
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)


def swapped(running, folder):
    """The digest of the export that answers from now on."""
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=100)
    body, headers = json.dumps({"model": "toy", "folder": str(folder)}), {"content-type": "application/json", **AUTH}
    status, _, content = running.send("POST", "/admin/swap", body, connection, **headers)
    assert status == 200, content
    return json.loads(content)["digest"]


def right(running, expected, seed):
    """Whether the reply to a seed is the export's own; its status otherwise."""
    status, reply = running.post("/v1/toy/sample", {"seed": seed, "n": 2}, **AUTH)
    if status == 200:
        torch.testing.assert_close(torch.tensor(reply["outputs"]["mean"]), expected[0][seed])
    return status


def test_a_worker_killed_with_a_batch_loses_nothing(two, expected):
    """Its batch is computed by another, and another worker takes its seat."""
    before, again = pids(two), retried(two)
    for pid in before:
        os.kill(pid, signal.SIGSTOP)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(right, two, expected, seed) for seed in (1, 2)]
        until(lambda: any(seat.since for seat in two.engine.seats()))
        busy = next(int(seat.worker) for seat in two.engine.seats() if seat.since)
        os.kill(busy, signal.SIGKILL)
        for pid in before:
            if pid != busy:
                os.kill(pid, signal.SIGCONT)
        assert [each.result() for each in asked] == [200, 200]
    after = pids(two)
    assert busy not in after
    assert retried(two) > again
    seconds = [of["ms"] / 1000 for event, of in two.events if event == "worker" and of["id"] in after]
    assert max(seconds) < RECOVERED


def test_a_worker_that_hangs_is_replaced(two, expected):
    before = pids(two)
    os.kill(before[0], signal.SIGSTOP)
    assert [right(two, expected, seed) for seed in range(6)] == [200] * 6
    assert before[0] not in pids(two)
    assert not os.path.exists(f"/proc/{before[0]}")


def test_the_fork_server_is_replaced_while_its_workers_answer(two, expected):
    before, server = pids(two), two.engine.server
    os.kill(server, signal.SIGKILL)
    assert [right(two, expected, seed) for seed in range(6)] == [200] * 6
    os.kill(before[0], signal.SIGKILL)
    assert [right(two, expected, seed) for seed in range(6)] == [200] * 6
    until(lambda: two.engine.server not in (None, server))
    assert before[0] not in pids(two)


def test_a_batch_that_ends_every_worker_is_a_typed_error(serve):
    """It is tried as often as said, and its neighbours are answered."""
    tried = collections.Counter()
    whole = calls()["decode"]

    def decode(z):
        poison = bool((z == 7).any())
        tried[poison] += 1
        if poison:
            raise LostWorkerError("a worker has ended")
        return whole(z)

    running = serve({"decode": decode})
    status, headers, content = running.send("POST", "/v1/toy/decode", json.dumps({"z": [[7.0] * LATENT]}))
    assert (status, headers["retry-after"], tried[True]) == (503, "1", 3)
    assert "workers were lost" in json.loads(content)["error"]
    assert running.post("/v1/toy/decode", {"z": GOOD})[0] == 200
    assert retried(running) == 2


@pytest.mark.slow
def test_workers_are_killed_for_a_while(two, expected):
    """Under 32 clients, workers and the fork server at random: every reply is right or a typed error."""
    found, stop, chance, before = collections.Counter(), threading.Event(), random.Random(0), losses(two)

    def ask(client):
        seeds = random.Random(client)
        while not stop.is_set():
            found[right(two, expected, seeds.choice(SEEDS))] += 1

    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        clients = [pool.submit(ask, client) for client in range(32)]
        for turn in range(30):
            time.sleep(chance.uniform(0.05, 0.5))
            seat = chance.choice(two.engine.seats())
            kill(two.engine.server if turn % 10 == 9 else seat.worker)
        stop.set()
        for client in clients:
            client.result()
    pids(two)
    assert set(found) <= {200, 503}
    assert found[200] > 100
    assert TRIES * found[503] <= losses(two) - before  # who is refused has had as many workers of his own


@pytest.mark.slow
def test_a_swap_while_workers_are_killed_mixes_no_reply(two, exports, expected):
    """Each reply is that of the model whose digest it names."""
    found, stop = [], threading.Event()
    digests = [two.service.models["toy"].digest]

    def ask():
        while not stop.is_set():
            found.append(two.post("/v1/toy/sample", {"seed": 3, "n": 2}, **AUTH))

    with concurrent.futures.ThreadPoolExecutor(9) as pool:
        clients = [pool.submit(ask) for _ in range(8)]
        try:
            for folder in (exports[1], exports[0]):
                swap = pool.submit(swapped, two, folder)
                while not swap.done():
                    time.sleep(0.1)
                    kill(next((seat.worker for seat in two.engine.seats() if seat.worker), None))
                digests.append(swap.result())
        finally:
            stop.set()
        for client in clients:
            client.result()
    assert {status for status, _ in found} <= {200, 503}
    for status, reply in found:
        if status == 200:
            which = digests.index(reply["digest"])
            torch.testing.assert_close(torch.tensor(reply["outputs"]["mean"]), expected[which][3])
    assert {reply["digest"] for status, reply in found if status == 200} == set(digests)


def group(leader):
    """The processes of a group that have not ended."""
    found = subprocess.run(["ps", "-o", "pid=,stat=", "-g", str(leader)], capture_output=True, text=True, check=False)
    return [line for line in found.stdout.splitlines() if " Z" not in line]


@pytest.mark.slow
@pytest.mark.parametrize("stopped", [False, True])
def test_workers_end_with_their_front(exports, stopped):
    """Killed without a word, its workers with a batch or not: none of them is left."""
    command = [sys.executable, "-m", "jensen.experiments.serve", f"toy={exports[0]}", "--port", "0"]
    with subprocess.Popen([*command, "--engine", "process"], stderr=subprocess.PIPE, text=True) as process:
        lines = [json.loads(process.stderr.readline()) for _ in range(3)]
        workers = [line["id"] for line in lines if line["event"] == "worker"]
        leader = os.getpgid(workers[0])
        assert len(group(leader)) == 3
        if stopped:
            for pid in workers:
                os.kill(pid, signal.SIGSTOP)
        process.kill()
    until(lambda: not group(leader))


@pytest.mark.slow
def test_a_drain_leaves_no_process(exports):
    command = [sys.executable, "-m", "jensen.experiments.serve", f"toy={exports[0]}", "--port", "0"]
    with subprocess.Popen([*command, "--engine", "process"], stderr=subprocess.PIPE, text=True) as process:
        lines = [json.loads(process.stderr.readline()) for _ in range(3)]
        leader = os.getpgid(next(line["id"] for line in lines if line["event"] == "worker"))
        process.terminate()
        assert process.wait(PATIENCE) == 0
    assert not group(leader)
