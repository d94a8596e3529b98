import contextlib
import itertools
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import time

import pytest
import safetensors.torch
import torch

from jensen.core import keys
from jensen.experiments.jobs import Place, Work, Worker
from jensen.experiments.jobs.producer import jobs
from tests.experiments.process import until
from tests.experiments.ranks import free_port
from tests.experiments.service.conftest import LATENT, calls, function, write_export

POISON, KILLER, HANG, NAN, SLOW = 50.0, 60.0, 70.0, 80.0, 90.0  # first numbers of rows that a worker meets trouble with
FORK = multiprocessing.get_context("fork")


def troubled(z):
    """The toy's decoder, a few milliseconds a batch."""
    first = set(z[:, 0].tolist())
    if POISON in first:
        raise ValueError("poison")
    if KILLER in first:
        os.kill(os.getpid(), signal.SIGKILL)
    if HANG in first:
        time.sleep(60)
    time.sleep(0.2 if SLOW in first else 0.005)
    x = calls()["decode"](z)
    return x + torch.where(z[:, :1] == NAN, torch.nan, 0.0)


DECODE = function("decode", troubled)


def rows(n, **first):
    """n rows, the one at index `i{k}` with a first number of its own."""
    z = keys.normal(keys.key(0), (n, LATENT))
    for place, value in first.items():
        z[int(place[1:]), 0] = value
    return jobs("decode", DECODE.signature, {"z": z}, name="job")


def work(**limits):
    return Work(**{"digest": "0" * 64, "function": "decode", "lease": 0.5, "tries": 2, **limits})


def values(queue):
    return {id_: safetensors.torch.load(content)["mean"] for id_, content in queue.results()}


def computing(place, limit=60.0):
    """A worker's process."""

    def target():
        queue = place.open()
        Worker(queue, DECODE, limit, 0.0).run()
        os._exit(0)

    process = FORK.Process(target=target, daemon=True)
    process.start()
    return process


@contextlib.contextmanager
def serving(port, store):
    """A nats-server on a port, with what it has in a folder."""
    program = shutil.which("nats-server") or shutil.which("nats-server", path="/usr/sbin:/usr/local/bin")
    assert program, "these tests need nats-server: apt-get install nats-server"
    command = [program, "--jetstream", "--store_dir", str(store), "--addr", "127.0.0.1", "--port", port]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:

        def listens():
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", int(port))):
                return True

        try:
            until(listens)
            yield process
        finally:
            process.kill()


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """The address of a nats-server of the tests' own."""
    port = free_port()
    with serving(port, tmp_path_factory.mktemp("jetstream")):
        yield f"nats://127.0.0.1:{port}"


@pytest.fixture(scope="session")
def export(tmp_path_factory):
    """An export of decode and sample."""
    return write_export(tmp_path_factory.mktemp("exports") / "0", 0)


NUMBER = itertools.count()


@pytest.fixture(params=["sqlite", pytest.param("nats", marks=pytest.mark.nats)])
def place(request, tmp_path):
    """Where a new queue may be, with either engine."""
    if request.param == "sqlite":
        return Place(str(tmp_path / "queue"))
    return Place(f"queue-{next(NUMBER)}", "nats", request.getfixturevalue("server"))


@pytest.fixture
def made(place):
    """made(**limits): the queue of a place, closed at the end."""
    with contextlib.ExitStack() as stack:
        yield lambda **limits: stack.enter_context(contextlib.closing(place.make(work(**limits))))
