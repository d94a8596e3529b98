"""The comparison trains each estimator once on an equal budget, and never mixes runs."""

import json

import pytest

from jensen.experiments import discrete_estimators, runs, train
from jensen.experiments.checks import check
from jensen.experiments.discrete_estimators import EACH, Settings, options, run, table
from jensen.experiments.settings import InputError


@pytest.fixture
def trained(monkeypatch):
    """Stands in for training: it leaves what a run leaves, and counts."""
    calls = []

    def leave(settings):
        calls.append(settings)
        folder = settings.resume or settings.out
        if settings.resume is None:
            runs.create(folder, settings)
        (folder / runs.LAST).write_bytes(b"")
        nll = 100.0 + len(calls) % 3
        runs.write_json(folder / "report.json", {"nll": nll, "elbo": -nll - 1})
        runs.write_json(folder / "timing.json", {"training_s": 1.0})

    monkeypatch.setattr(train, "run", leave)
    return calls


def test_every_run_can_work_and_has_the_budget():
    settings = Settings(evaluations=4)
    for name, (_, evaluations) in EACH.items():
        one = options(name, settings)
        check(one)
        assert one.k * evaluations == 4, name


def test_rows_are_in_the_folder_and_the_table_is_sorted(trained, tmp_path):
    settings = Settings(out=tmp_path / "all")
    rows = run(settings)
    assert [json.loads(line) for line in (tmp_path / "all/rows.jsonl").read_text().splitlines()] == rows
    assert len(trained) == len(EACH) == len(rows)
    lines = table(rows, settings).splitlines()[1:]
    found = [float(line.split()[-2]) for line in lines]
    assert found == sorted(found)


def test_what_is_trained_is_not_trained_again_and_what_is_begun_goes_on(trained, tmp_path):
    settings = Settings(out=tmp_path / "all")
    run(settings)
    (tmp_path / "all/RLOO/report.json").unlink()
    run(settings)
    assert len(trained) == len(EACH) + 1
    assert trained[-1].resume == tmp_path / "all/RLOO"
    assert trained[-1].out is None


def test_a_run_without_a_checkpoint_or_without_all_its_reports_goes_on(trained, tmp_path):
    """Killed before its first checkpoint, a run has left its settings; killed at its end, a part of its reports."""
    settings = Settings(out=tmp_path / "all")
    runs.create(tmp_path / "all/REINFORCE", options("REINFORCE", settings))
    rows = run(settings)
    assert len(trained) == len(EACH) == len(rows)
    assert trained[0].resume == tmp_path / "all/REINFORCE"
    (tmp_path / "all/RLOO/timing.json").unlink()
    (tmp_path / "all/NVIL/report.json").write_text("{")
    assert len(run(settings)) == len(EACH)
    assert [one.resume for one in trained[len(EACH) :]] == [tmp_path / "all/NVIL", tmp_path / "all/RLOO"]


def test_another_run_in_the_folder_is_one_clear_line(trained, tmp_path):
    run(Settings(out=tmp_path / "all"))
    before = len(trained)
    with pytest.raises(InputError, match="epochs 20 where this run has 3: choose another --out"):
        run(Settings(out=tmp_path / "all", epochs=3))
    assert len(trained) == before


@pytest.mark.parametrize("evaluations", [0, 1, 3])
def test_an_odd_budget_is_one_clear_line(trained, evaluations, tmp_path):
    with pytest.raises(InputError, match="expected an even number"):
        discrete_estimators.run(Settings(evaluations=evaluations, out=tmp_path))
    assert not trained
