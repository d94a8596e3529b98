"""A sweep runs what it was asked for, reports what failed, loses nothing, and goes on."""

import json
import sys

import pytest

from jensen.experiments import sweep
from jensen.experiments.run.errors import InputError
from jensen.experiments.sweeps import trials
from jensen.experiments.sweeps.plan import Plan
from jensen.experiments.sweeps.table import table
from jensen.experiments.sweeps.trials import HELD_OUT, Ended
from tests.experiments.process import FAST

COMMAND = ["--", "vae", *[arg for arg in FAST if arg not in ("--latent", "2")], "--steps", "20"]


def ran(*args):
    sweep.main(list(map(str, args)))


def refused(capsys, *args):
    with pytest.raises(SystemExit) as ended:
        ran(*args)
    assert ended.value.code == 2
    return capsys.readouterr().err


def test_every_setting_and_seed_is_run_once_and_more_seeds_are_added(tmp_path, capsys):
    out = tmp_path / "sweep"
    ran("--over", "latent", "1", "2", "--seeds", 1, "--out", out, *COMMAND)
    first = {path: path.stat().st_mtime_ns for path in out.rglob("report.json")}
    assert sorted(str(path.parent.relative_to(out)) for path in first) == ["latent-1/seed-0", "latent-2/seed-0"]
    ran("--over", "latent", "1", "2", "--seeds", 2, "--out", out, *COMMAND)
    assert "4 trials, 2 of them done" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in first} == first
    rows = [json.loads(line) for line in (out / "trials.jsonl").read_text().splitlines()]
    assert [(row["settings"]["latent"], row["seed"]) for row in rows] == [("1", 0), ("1", 1), ("2", 0), ("2", 1)]
    for row in rows:
        report = json.loads((out / f"latent-{row['settings']['latent']}/seed-{row['seed']}/report.json").read_text())
        assert row["numbers"]["elbo"] == report["findings"]["test"][0]["elbo"]
    assert len({row["numbers"]["elbo"] for row in rows}) == 4
    assert (out / "table.txt").read_text().count(" ± ") == 4


def test_a_trial_that_fails_is_reported_and_tried_again_and_the_others_are_not_lost(tmp_path, capsys, monkeypatch):
    out, right = tmp_path / "sweep", trials.finished
    args = ("--over", "latent", "1", "2", "--seeds", 1, "--out", out, *COMMAND)

    def broken(kind, settings, outcome):
        if settings.latent == 1:
            raise ZeroDivisionError("of its own")
        return right(kind, settings, outcome)

    monkeypatch.setattr(trials, "finished", broken)
    error = refused(capsys, *args)
    assert "1 of 2 trials failed, the first --latent 1 --seed 0: ZeroDivisionError: of its own (test_sweep.py" in error
    assert "1 failed" in (out / "table.txt").read_text()
    monkeypatch.setattr(trials, "finished", right)
    ran(*args)
    assert "2 trials, 1 of them done" in capsys.readouterr().out


def test_an_interrupted_sweep_goes_on_where_its_trial_was(tmp_path, monkeypatch, capsys):
    out, right = tmp_path / "sweep", trials.finished
    args = ("--over", "latent", "1", "2", "--seeds", 1, "--out", out, *COMMAND)

    def stopped(kind, settings, outcome):
        if settings.latent == 2:
            raise KeyboardInterrupt
        return right(kind, settings, outcome)

    monkeypatch.setattr(trials, "finished", stopped)
    with pytest.raises(SystemExit) as ended:
        ran(*args)
    assert ended.value.code == 130
    assert "run it again to go on" in capsys.readouterr().err
    monkeypatch.setattr(trials, "finished", right)
    ran(*args)
    assert "2 trials, 1 of them done" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "line"),
    [
        ([], "expected what to train, such as `-- vae --steps 500`"),
        (["--seeds", "0", *COMMAND], "expected --seeds of at least 1, got 0"),
        (["--over", "latent", *COMMAND], "expected values of --over latent"),
        (["--over", "latent", "1", "1", *COMMAND], "--over latent has a value twice"),
        (["--over", "latent", "1", "--over", "latent", "2", *COMMAND], "--over latent is given twice"),
        (["--over", "latent", "0", *COMMAND], "expected --latent"),
        (["--over", "latent", "2", *COMMAND, "--latent", "3"], "--latent is the sweep's to set"),
        ([*COMMAND, "--seed=3"], "--seed is the sweep's to set"),
        (["--over", "data-dir", "/tmp", *COMMAND], "that can name a folder"),
        (["--", "nothing"], "expected what to train, one of"),
    ],
)
def test_what_cannot_work_is_one_line_before_anything_is_run(tmp_path, capsys, args, line):
    error = refused(capsys, "--out", tmp_path / "sweep", *args)
    assert line in error
    assert error.count("\n") == 1
    assert not (tmp_path / "sweep").exists()


def test_the_folder_of_another_sweep_or_of_something_else_is_left_alone(tmp_path, capsys):
    Plan(("vae",), {}, 1, tmp_path / "other").keep()
    assert "holds a sweep of another command" in refused(
        capsys, "--out", tmp_path / "other", "--", "vae", "--latent", "3"
    )
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes").touch()
    assert "is not empty and holds no sweep" in refused(capsys, "--out", tmp_path / "mine", *COMMAND)


def test_the_table_has_means_with_standard_errors():
    values = [1.0, 2.0, 4.5, 7.0, 7.0, 7.0]
    names = [("latent", "1")] * 3 + [("latent", "2")] * 3
    ended = [
        Ended(trials.Trial((name,), i % 3, ()), {HELD_OUT: value})
        for i, (name, value) in enumerate(zip(names, values, strict=True))
    ]
    text = table(ended)
    assert "2.5 ± 1.0" in text  # sd 1.803, over the root of 3
    assert "7 ± 0" in text
    ended[0] = ended[0]._replace(numbers={}, error="lost")
    line = table(ended).splitlines()[1].split()
    assert line == ["1", "2", "3.2", "±", "1.2", "1", "failed"]  # the mean of 2 and 4.5
    with pytest.raises(InputError, match="expected --show of what the reports have, held-out score, got elbo"):
        table(ended, ["elbo"])


def test_ray_that_is_not_there_is_one_line_before_anything_is_run(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    error = refused(capsys, "--engine", "ray", "--out", tmp_path / "sweep", *COMMAND)
    assert "--engine ray needs Ray, which is not installed: pip install 'jensen[sweep]'" in error
    assert not (tmp_path / "sweep").exists()
