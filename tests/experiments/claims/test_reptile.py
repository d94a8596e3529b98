"""What the claim of Reptile prints of short runs, and its order of starts on long ones."""

import json

import pytest

from jensen.experiments.claims import reptile
from jensen.experiments.claims.reptile import Settings
from jensen.experiments.programs import reptile as tasks


def test_starts_are_compared_and_taken_up_again(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(tasks, "TASKS", 40)
    monkeypatch.setattr(tasks, "TEST_TASKS", 5)
    short = ["--out", str(tmp_path), "--epochs", "1", "--inner-steps", "2"]
    reptile.main(short)
    first = capsys.readouterr().out
    rows = [json.loads(row) for row in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert list(dict.fromkeys(row["start"] for row in rows)) == ["reptile", "joint", "at the prior"]
    assert f"{rows[0]['gap']:.3f} ± {rows[0]['error']:.3f}" in first
    reptile.main(short)
    assert first.splitlines()[-3:] == capsys.readouterr().out.splitlines()[-3:]
    assert (tmp_path / "reptile.png").is_file()


def test_what_cannot_work_is_refused(refused):
    assert "expected --inner-steps of at least 2, got 1: 1 is the joint start" in refused(
        reptile.main, "--inner-steps", 1
    )


@pytest.mark.slow
def test_reptiles_start_is_behind_before_any_step_and_ahead_after_one(tmp_path):
    """By five standard errors."""
    rows = {(row.start, row.steps): row for row in reptile.run(Settings(tmp_path, epochs=20))}
    for steps, ahead in ((0, "joint"), (1, "reptile"), (5, "reptile")):
        better, worse = rows[ahead, steps], rows["joint" if ahead == "reptile" else "reptile", steps]
        print(steps, better, worse)
        assert better.gap + 5 * (better.error + worse.error) < worse.gap
