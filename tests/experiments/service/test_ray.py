"""Replicas of Ray: the front's own bits, losses that are seen and made good, and exports that stay what they were."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import threading

import pytest
import torch

from jensen.core import keys
from jensen.experiments import serve
from jensen.experiments.run.errors import InputError
from jensen.experiments.service.engines import LostWorkerError, frames
from jensen.experiments.service.engines.replica import Replica, packed
from jensen.experiments.service.engines.replicas import Replicas
from tests.experiments.process import until
from tests.experiments.service.conftest import LATENT, calls

WIDTH = 16
Z = keys.normal(keys.key(1), (WIDTH, LATENT))


def test_rows_cross_as_they_are():
    rows = (Z, torch.arange(6).view(3, 2), torch.zeros(2, dtype=torch.float64))
    for found, given in zip(frames.opened(frames.saved(rows)), rows, strict=True):
        torch.testing.assert_close(found, given, rtol=0, atol=0)
        assert found.dtype == given.dtype


def test_a_replica_takes_exports_of_their_digest_alone(exports):
    """In this process."""
    digest, manifest, files = packed(exports[0])
    replica = Replica(WIDTH, torch.get_num_threads())
    replica.load("1", digest, files)
    assert [*manifest.functions] == ["decode", "sample"]
    (found,) = frames.opened(replica.run("1", "decode", frames.saved((Z,))))
    assert torch.equal(found, calls()["decode"](Z))
    with pytest.raises(ValueError, match="expected the export 0"):
        replica.load("2", "0" * 64, files)
    with pytest.raises(ValueError, match=r"params\.safetensors"):
        replica.load("2", digest, {**files, "params.safetensors": b"other"})
    with pytest.raises(RuntimeError, match="'2'"):
        replica.run("2", "decode", frames.saved((Z,)))
    replica.forget("1")
    with pytest.raises(RuntimeError, match="'1'"):
        replica.run("1", "decode", frames.saved((Z,)))


def test_an_export_is_packed_whole_or_not_at_all(exports, tmp_path):
    with pytest.raises(InputError, match=r"manifest\.json"):
        packed(tmp_path)
    folder = tmp_path / "cut"
    shutil.copytree(exports[0], folder)
    (folder / "params.safetensors").write_bytes(b"cut")
    with pytest.raises(InputError, match=r"params\.safetensors"):
        packed(folder)


def test_options_that_cannot_work_are_one_line(refused, exports, monkeypatch):
    export = str(exports[0])
    for args, expected in (
        ([export, "--address", "auto"], "--engine ray"),
        ([export, "--engine", "process", "--address", "auto"], "--engine ray"),
        ([export, "--engine", "ray", "--workers", "0"], "--workers"),
        ([export, "--engine", "ray", "--address", "ray://head:10001"], "`ray start --address=HOST:PORT`"),
        ([export, "--engine", "ray", "--address", "head"], "expected HOST:PORT"),
    ):
        assert expected in refused(serve.main, *args), args
    monkeypatch.setitem(sys.modules, "ray", None)
    error = refused(serve.main, export, "--engine", "ray")
    assert "--engine ray needs Ray, which is not installed: pip install 'jensen[sweep]'" in error


class Held:
    """An engine with a loop in a thread of its own, and what it logged."""

    def __init__(self, **options):
        self.log, self._loop = [], asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.engine = Replicas(WIDTH, log=lambda event, **values: self.log.append((event, values)), **options)
        self(self.engine.start())

    def __call__(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(120)

    def together(self, count, model, *inputs):
        """Results of as many batches at once, or what they raised."""

        async def all_of_them():
            runs = (self.engine.run(model, "decode", inputs) for _ in range(count))
            return await asyncio.gather(*runs, return_exceptions=True)

        return self(all_of_them())

    def workers(self):
        return [each.worker for each in self.engine.seats()]

    def signal(self, seat, signum):
        """To a replica's process: the name that it had."""
        worker = self.workers()[seat]
        os.kill(int(worker.rpartition("-")[2]), signum)
        return worker

    def close(self):
        self(self.engine.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture(scope="module")
def held():
    held = Held(workers=2, stall=2.0)
    yield held
    held.close()


@pytest.fixture(scope="module")
def folders(exports, tmp_path_factory):
    """Copies, which tests may remove."""
    place = tmp_path_factory.mktemp("copies")
    return [shutil.copytree(folder, place / folder.name) for folder in exports]


@pytest.fixture(scope="module")
def models(held, folders):
    return held(held.engine.load(folders))


def right(found, seed=0):
    return len(found) == 1 and torch.equal(found[0], calls(seed)["decode"](Z))


@pytest.mark.slow
def test_bits_are_those_of_the_exports(held, models):
    for seed, model in enumerate(models):
        assert all(right(found, seed) for found in held.together(8, model, Z))
    (wrong,) = held.together(1, models[0], Z[:, :2])
    assert isinstance(wrong, RuntimeError)
    assert not isinstance(wrong, LostWorkerError)
    assert str(wrong).count("\n") == 0
    assert right(held(held.engine.run(models[0], "decode", (Z,))))


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "hangs"])
def test_a_replica_that_ends_or_hangs_is_replaced(held, models, folders, signum):
    """Its batch is lost, and no other; what takes its place has all models, whatever their folders have become."""
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    lost = held.engine.seats()[0].lost
    worker = held.signal(0, signum)
    found = held.together(6, models[0], Z)
    gone = [each for each in found if isinstance(each, LostWorkerError)]
    assert len(gone) <= 1
    assert all(right(each) for each in found if each not in gone)
    until(lambda: held.workers()[0] not in (None, worker), 60)
    assert held.engine.seats()[0].lost == lost + 1
    for seed, model in enumerate(models):
        assert all(right(each, seed) for each in held.together(8, model, Z))
    assert [event for event, _ in held.log[-2:]] == ["worker lost", "worker"]


@pytest.mark.slow
def test_none_is_left_for_a_while(held, models):
    """Seats say so, batches wait, and are computed when there is one again."""
    before = [held.signal(seat, signal.SIGKILL) for seat in range(2)]
    until(lambda: held.workers() == [None, None], 10)
    assert all(right(each) for each in held.together(3, models[0], Z))
    until(lambda: not {None, *before} & {*held.workers()}, 60)


@pytest.mark.slow
def test_an_export_that_cannot_be_loaded_changes_nothing(held, models, exports, tmp_path):
    folder = shutil.copytree(exports[1], tmp_path / "cut")
    (folder / "params.safetensors").write_bytes(b"cut")
    before = held.workers()
    with pytest.raises(InputError, match=r"params\.safetensors"):
        held(held.engine.load([exports[0], folder]))
    assert held.workers() == before
    assert all(right(each, 1) for each in held.together(2, models[1], Z))


@pytest.mark.slow
def test_a_model_is_loaded_beside_others_and_retired(held, models, exports):
    (other,) = held(held.engine.load(exports[1:]))
    assert all(right(each, 1) for each in held.together(2, other, Z))
    held(held.engine.retire(other))
    assert "'" in str(held.together(1, other, Z)[0])
    assert all(right(each) for each in held.together(2, models[0], Z))


@pytest.mark.slow
def test_more_replicas_than_the_machine_has_room_for_are_refused(held):
    """After the other tests' cluster, in a process of its own."""
    code = "import asyncio; from jensen.experiments.service.engines.replicas import Replicas\n"
    code += "asyncio.run(Replicas(16, 4096).start())"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert "expected --workers times --threads of at most" in found.stderr
