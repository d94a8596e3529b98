"""The comparison trains each estimator once on an equal budget, and never mixes runs."""

import json

import pytest

from jensen.experiments.claims import discrete_estimators
from jensen.experiments.claims.discrete_estimators import EACH, Settings, evaluations, options, run, table
from jensen.experiments.run import files, folder, session
from jensen.experiments.run.errors import InputError


@pytest.fixture
def trained(monkeypatch):
    """Stands in for training: it leaves what a run leaves, and counts."""
    calls = []

    def leave(path):
        nll = 100.0 + len(calls) % 3
        files.write_json(path / folder.TIMING, {"training_s": 1.0})
        files.write_json(path / folder.REPORT, {"findings": {"test": [{"nll": nll, "elbo": -nll - 1, "error": 0.1}]}})

    def start(kind, settings):
        calls.append(("start", settings.run.out))
        with folder.created(settings.run.out, settings, "a digest") as begun:
            begun.begin(1)
            leave(settings.run.out)

    def go_on(path, settings):
        calls.append(("go on", path))
        leave(path)

    monkeypatch.setattr(session, "start", start)
    monkeypatch.setattr(session, "go_on", go_on)
    return calls


def test_every_run_can_work_and_has_the_budget():
    settings = Settings(evaluations=4)
    for name in EACH:
        one = options(name, settings)
        one.check()
        assert one.estimation.k * evaluations(one.estimation) == 4, name
    assert options("RELAX", settings).estimation.k == options("DisARM", settings).estimation.k == 2


def test_rows_are_in_the_folder_and_the_table_is_sorted(trained, tmp_path):
    settings = Settings(out=tmp_path / "all")
    rows = run(settings)
    assert [json.loads(line) for line in (tmp_path / "all/rows.jsonl").read_text().splitlines()] == [
        row._asdict() for row in rows
    ]
    assert len(trained) == len(EACH) == len(rows)
    lines = table(rows, settings).splitlines()[1:]
    found = [float(line.split()[-2]) for line in lines]
    assert found == sorted(found)


def test_what_is_trained_is_not_trained_again_and_what_is_begun_goes_on(trained, tmp_path):
    settings = Settings(out=tmp_path / "all")
    run(settings)
    (tmp_path / "all/RLOO/report.json").unlink()
    run(settings)
    assert trained[len(EACH) :] == [("go on", tmp_path / "all/RLOO")]


def test_a_run_without_a_checkpoint_or_without_all_its_reports_goes_on(trained, tmp_path):
    """Killed before its first checkpoint, a run has left its settings; killed at its end, a part of its reports."""
    settings = Settings(out=tmp_path / "all")
    with folder.created(tmp_path / "all/REINFORCE", options("REINFORCE", settings), "a digest") as begun:
        begun.begin(1)
    rows = run(settings)
    assert len(trained) == len(EACH) == len(rows)
    assert trained[0] == ("go on", tmp_path / "all/REINFORCE")
    (tmp_path / "all/RLOO/timing.json").unlink()
    (tmp_path / "all/NVIL/report.json").write_text("{")
    assert len(run(settings)) == len(EACH)
    assert trained[len(EACH) :] == [("go on", tmp_path / "all/NVIL"), ("go on", tmp_path / "all/RLOO")]


@pytest.mark.parametrize(
    ("other", "message"), [({"epochs": 3}, "--epochs 20 where this run has 3"), ({"units": 3}, "units")]
)
def test_another_run_in_the_folder_is_one_clear_line(trained, tmp_path, other, message):
    run(Settings(out=tmp_path / "all"))
    before = len(trained)
    with pytest.raises(InputError, match=f"{message}.*: choose another --out"):
        run(Settings(out=tmp_path / "all", **other))
    assert len(trained) == before


@pytest.mark.parametrize("evaluations", [0, 1, 3])
def test_an_odd_budget_is_one_clear_line(trained, evaluations, tmp_path):
    with pytest.raises(InputError, match="expected an even number"):
        discrete_estimators.run(Settings(evaluations=evaluations, out=tmp_path))
    assert not trained
