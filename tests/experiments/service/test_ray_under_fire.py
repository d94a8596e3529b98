"""The command with replicas of Ray: killed under load, swapped and drained, on the loopback address alone."""

import collections
import concurrent.futures
import http.client
import importlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import pytest
import torch

from jensen.core import keys
from tests.experiments.process import until
from tests.experiments.service.conftest import LATENT, TOKEN, calls

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
LOOPBACK = {"127.0.0.1", "::ffff:127.0.0.1", "::1"}
Z = keys.normal(keys.key(1), (2, LATENT))


class Service:
    """The command, its log, and requests to it."""

    def __init__(self, export, token):
        command = [sys.executable, "-m", "jensen.experiments.serve", f"toy={export}", "--engine", "ray", "--port", "0"]
        options = ["--wait", "0.002", "--stall", "2", "--deadline", "60", "--token-file", str(token)]
        self.process = subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True)
        self.lines = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        until(lambda: self.events("serving") or self.process.poll() is not None, 120)
        self.port = self.events("serving")[0]["port"]

    def _read(self):
        for line in self.process.stderr:
            self.lines.append(json.loads(line))

    def close(self):
        self.process.kill()
        self.process.wait()
        self._reader.join()
        self.process.stderr.close()

    def events(self, name):
        return [line for line in tuple(self.lines) if line["event"] == name]

    def post(self, path, body):
        """Status and JSON."""
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=100)
        headers = {"content-type": "application/json", "authorization": f"Bearer {TOKEN}"}
        link.request("POST", path, json.dumps(body), headers)
        reply = link.getresponse()
        found = reply.status, json.loads(reply.read())
        link.close()
        return found

    def workers(self):
        """Ids of the replicas that there are."""
        lost = {line["id"] for line in self.events("worker lost")}
        return [line["id"] for line in self.events("worker") if line["id"] not in lost]


@pytest.fixture(scope="module")
def service(exports, tmp_path_factory):
    token = tmp_path_factory.mktemp("token") / "token"
    token.write_text(TOKEN)
    service = Service(exports[0], token)
    yield service
    service.close()


def right(found, seed):
    torch.testing.assert_close(torch.tensor(found["outputs"]["mean"]), calls(seed)["decode"](Z))


def test_replicas_are_killed_and_a_model_is_swapped_under_load(service, exports):
    """Every reply is right for the digest that it names, or a typed error; every killed replica is replaced."""
    found, stop, digests = [], threading.Event(), []

    def ask():
        while not stop.is_set():
            found.append(service.post("/v1/toy/decode", {"z": Z.tolist()}))

    digests.append(service.post("/v1/toy/decode", {"z": Z.tolist()})[1]["digest"])
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        clients = [pool.submit(ask) for _ in range(8)]
        try:
            for lost, signum in enumerate((signal.SIGKILL, signal.SIGSTOP, signal.SIGKILL)):
                until(lambda: len(service.workers()) == 2, 100)
                os.kill(int(random.choice(service.workers()).rpartition("-")[2]), signum)
                until(lambda lost=lost: len(service.events("worker lost")) > lost, 100)
            status, reply = service.post("/admin/swap", {"model": "toy", "folder": str(exports[1])})
            digests.append(reply["digest"])
            time.sleep(1)
        finally:
            stop.set()
        for client in clients:
            client.result()
    assert status == 200
    counts = collections.Counter(status for status, _ in found)
    assert set(counts) <= {200, 503}
    assert counts[200] > 0.95 * counts.total()
    for status, reply in found:
        if status == 200:
            right(reply, digests.index(reply["digest"]))
    assert {reply["digest"] for status, reply in found if status == 200} == set(digests)
    until(lambda: len(service.workers()) == 2, 100)
    assert len(service.events("worker lost")) == 3


def test_a_service_without_a_replica_is_not_ready_and_answers_when_there_is_one(service):
    def ready():
        with urllib.request.urlopen(f"http://127.0.0.1:{service.port}/readyz") as reply:
            return reply.status

    for worker in service.workers():
        os.kill(int(worker.rpartition("-")[2]), signal.SIGKILL)
    with pytest.raises(urllib.error.HTTPError, match="503"):
        until(lambda: ready() != 200, 10)
    assert service.post("/v1/toy/decode", {"z": Z.tolist()})[0] == 200
    assert ready() == 200
    until(lambda: len(service.workers()) == 2, 100)


def test_nothing_listens_beyond_the_loopback_address(service):
    importlib.import_module("ray")
    psutil = importlib.import_module("psutil")  # which Ray brings along
    ours = {service.process.pid, *(each.pid for each in psutil.Process(service.process.pid).children(recursive=True))}
    ports = [each for each in psutil.net_connections("inet") if each.status == "LISTEN" and each.pid in ours]
    assert len(ports) > 5
    assert {each.laddr.ip for each in ports} <= LOOPBACK


def test_a_drain_leaves_no_process(service):
    importlib.import_module("ray")
    psutil = importlib.import_module("psutil")
    children = psutil.Process(service.process.pid).children(recursive=True)
    service.process.terminate()
    assert service.process.wait(60) == 0
    _, left = psutil.wait_procs(children, 10)
    assert left == []
