"""A run's folder is one run's and one process's; what a kill leaves in it is never a dead end."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pytest
import torch

from jensen.experiments.run import files, folder, lock
from jensen.experiments.run.config import FREE
from jensen.experiments.run.errors import InputError, option
from jensen.experiments.run.folder import CONFIG, created, opened, read_config, resumed, series

GONE = f"{2**22 + 1}-1"  # of a process with an id above the largest that Linux gives


@dataclass(frozen=True)
class Vae:
    latent: int = 2
    keep: int = field(default=1, metadata=FREE)

    def check(self):
        if self.latent < 1:
            raise InputError(f"expected {option('latent')} of at least 1, got {self.latent}")


@dataclass(frozen=True)
class Sbn:
    units: int = 200


@pytest.fixture
def run(tmp_path):
    return begun(tmp_path / "run")


def begun(path):
    with created(path, Vae(), "data") as run:
        run.begin(1)
    return run


def tensors(step):
    return {"params.weight": torch.full((2,), float(step))}


def save(run, *steps, keep=9):
    for step in steps:
        run.save(step, tensors(step), {"step": step}, keep)


def names(path):
    return sorted(each.name for each in path.iterdir() if each.name != lock.NAME)


def test_a_run_is_found_as_it_was_created(run):
    assert read_config(run.path, Vae) == read_config(run.path, (Sbn, Vae)) == Vae()
    assert names(run.path) == [CONFIG]
    assert not run.finished


def test_a_run_is_never_overwritten(run):
    before = (run.path / CONFIG).read_bytes()
    with pytest.raises(InputError, match=f"holds a run: go on with --resume {run.path}, or choose another --out"):
        created(run.path, Vae(3), "data").__enter__()
    assert (run.path / CONFIG).read_bytes() == before


@pytest.mark.parametrize("left", [[], [lock.NAME], [lock.NAME, f".config.json.{GONE}.partial"], ["slurm.log"]], ids=str)
def test_a_folder_whose_run_was_killed_at_its_start_is_claimed_again(left, tmp_path):
    for name in left:
        (tmp_path / name).write_text("12")
    begun(tmp_path)
    assert read_config(tmp_path, Vae) == Vae()
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_a_kill_while_config_is_written_leaves_none(moment, tmp_path, monkeypatch):
    def kill(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(*((os, "fsync") if moment == "fsync" else (Path, "replace")), kill)
        with pytest.raises(KeyboardInterrupt):
            begun(tmp_path / "run")
    assert not (tmp_path / "run" / CONFIG).exists()
    begun(tmp_path / "run")


@pytest.mark.parametrize("name", ["metrics.jsonl", "step-000500.safetensors", "report.json", "figures"])
def test_parts_of_a_run_without_its_config_are_not_overwritten(name, tmp_path):
    (tmp_path / name).write_text("")
    with pytest.raises(InputError, match=rf"holds {name} of a run without its config\.json: choose another --out"):
        created(tmp_path, Vae(), "data").__enter__()


def test_what_is_no_run_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "none", tmp_path / "file"):
        for find in (lambda path: read_config(path, Vae), lambda path: opened(path).__enter__()):
            with pytest.raises(InputError, match=r"holds no run: pass the folder that has its config\.json"):
                find(path)
    with pytest.raises(InputError, match=r"file cannot be made .*: choose another --out"):
        created(tmp_path / "file", Vae(), "data").__enter__()


def test_default_folders_of_one_second_differ(tmp_path, monkeypatch):
    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2020, 1, 2, 3, 4, 5)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(folder, "datetime", Clock)
    assert [str(folder.default("vae", "digits")) for _ in range(3)] == [
        f"runs/2020-01-02-030405-vae-digits{end}" for end in ("", "-2", "-3")
    ]


def config(path, **values):
    """A config with other values, which vouches for itself."""
    stored = json.loads((path / CONFIG).read_text()) | values
    stored.pop("checksum")
    files.write_json(path / CONFIG, {**stored, "checksum": folder._checksum(stored)})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"latent": 0}, "config.json: expected --latent of at least 1, got 0"),
        ({"latent": 1.5}, "config.json: expected latent, a whole number, got 1.5"),
        ({"latant": 1}, "config.json: unknown latant: the nearest is latent"),
        ("{}", "config.json: it was written by an older version, which named no schema: start a new run"),
        ('{"latent": 2}', "config.json: it was written by an older version"),
        ("[" * 100_000, "config.json is damaged ("),
        ("", "config.json is damaged ("),
    ],
    ids=lambda value: str(value)[:20],
)
def test_settings_that_cannot_be_are_told_once(content, message, run):
    config(run.path, **content) if isinstance(content, dict) else (run.path / CONFIG).write_text(content)
    with pytest.raises(InputError) as refused:
        read_config(run.path, Vae)
    assert message in str(refused.value)
    assert str(refused.value).count(CONFIG) == 1


def test_a_config_changed_by_hand_is_refused(run):
    text = (run.path / CONFIG).read_text()
    (run.path / CONFIG).write_text(text.replace('"keep": 1', '"keep": 2'))
    with pytest.raises(InputError, match=r"config\.json is damaged \(its checksum is not that of its content\)"):
        read_config(run.path, Vae)


def test_the_last_checkpoints_stay_and_the_newest_is_gone_on_from(run):
    assert run.latest() is None
    save(run, 5, 10, 15, keep=2)
    assert names(run.path) == [CONFIG, "step-000010.safetensors", "step-000015.safetensors"]
    found, state = run.load(run.latest())
    assert torch.equal(found["params.weight"], tensors(15)["params.weight"])
    assert state == {"step": 15}
    save(run, 1_000_000, keep=1)
    assert [path.name for path in series(run.path)] == ["step-1000000.safetensors"]


def test_a_damaged_checkpoint_says_what_is_before_it(run):
    save(run, 5, 1_000_000)
    for path, cure in zip(series(run.path), ("to start over", "to go on from step-000005.safetensors"), strict=True):
        path.write_bytes(b"garbage")
        with pytest.raises(InputError, match=f"is damaged .*: remove it {cure}"):
            run.load(path)


def test_a_checkpoint_of_another_run_or_of_other_data_is_refused(run, tmp_path):
    save(run, 5)
    for settings, data, message in ((Vae(3), "data", "is of another run"), (Vae(), "other", "on other data")):
        with resumed(run.path, settings, data) as other, pytest.raises(InputError, match=message):
            other.load(other.latest())


def test_a_run_that_goes_on_has_no_report_and_no_checkpoint_too_many(run):
    save(run, 5, 10)
    (run.path / "evaluation").mkdir()
    reports = [run.path / part for part in ("report.json", "report.txt", "evaluation/report.json")]
    for path in reports:
        path.write_text("{}")
    assert run.finished
    run.add_seconds(training=1.0)
    with resumed(run.path, Vae(keep=3), "data") as again:
        assert again.finished  # until nothing is left that could refuse it
        assert read_config(run.path, Vae) == Vae()
        again.begin(1)
        assert not again.finished
        assert not any(path.exists() for path in reports)
        assert (run.path / folder.TIMING).exists()
    assert read_config(run.path, Vae) == Vae(keep=3)
    assert [path.name for path in series(run.path)] == ["step-000010.safetensors"]


def test_seconds_add_up_over_processes(run):
    assert run.add_seconds(training=1.5) == {"training": 1.5}
    assert run.add_seconds(training=2.0, evaluation=1.0) == {"training": 3.5, "evaluation": 1.0}
    assert files.read_json(run.path / folder.TIMING, "") == {"training": 3.5, "evaluation": 1.0}
    (run.path / folder.TIMING).write_text("garbage")
    assert run.add_seconds(training=2.0) == {"training": 2.0}


@pytest.mark.parametrize("kernel", [True, False])
def test_a_folder_is_opened_once(kernel, run, monkeypatch):
    if not kernel:
        monkeypatch.setattr(lock, "fcntl", None)
        monkeypatch.setattr(files, "lives", lambda pid: pid == os.getpid())
    with opened(run.path):
        for other in (opened(run.path), resumed(run.path, Vae(), "data"), created(run.path, Vae(), "data")):
            with pytest.raises(InputError, match=f"{run.path} is in use by process {os.getpid()}: wait until it ends"):
                other.__enter__()
    with opened(run.path), opened_elsewhere(run):
        pass
    assert not (run.path / lock.NAME).exists() or (run.path / lock.NAME).read_text() == ""


def opened_elsewhere(run):
    return created(run.path.with_name("other"), Vae(), "data")


def test_where_the_kernel_has_no_locks_that_of_a_killed_process_is_void(run, monkeypatch):
    monkeypatch.setattr(lock, "fcntl", None)
    (run.path / lock.NAME).write_text(GONE.split("-")[0])
    with opened(run.path):
        assert (run.path / lock.NAME).read_text() == str(os.getpid())


def test_a_lock_ends_with_its_process_however_that_ends(run):
    code = f"""
import sys, time
from pathlib import Path
from jensen.experiments.run.lock import locked
with locked(Path({str(run.path)!r})):
    print("locked", "torch" in sys.modules, flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "locked False\n"
        with pytest.raises(InputError, match=f"is in use by process {process.pid}: wait until it ends, or stop it"):
            opened(run.path).__enter__()
        process.send_signal(signal.SIGKILL)
        process.wait()
        with opened(run.path):
            pass
