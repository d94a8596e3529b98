"""The ladder trains each family and seed once, and its tables are means over seeds."""

import json

import pytest

from jensen.experiments.claims import family_ladder
from jensen.experiments.claims.family_ladder import Left, Outcome, Settings, options, run, table, table_of_steps

SMALL = {
    "families": ("diag", "planar(2, context=4)"), "seeds": 2, "steps": 4, "hidden": (8,), "images": 3, "fit_steps": 4,
    "refine": (0, 2), "compile": False,
}  # fmt: skip


def test_a_ladder_leaves_runs_rows_and_a_figure(tmp_path, monkeypatch):
    settings = Settings(out=tmp_path / "all", **SMALL)
    rows, left = run(settings)
    assert [(row.family, row.seed) for row in rows] == [
        (family, seed) for seed in (0, 1) for family in settings.families
    ]
    assert [(each.seed, each.steps) for each in left] == [(0, 0), (0, 2), (1, 0), (1, 2)]
    assert len((tmp_path / "all/rows.jsonl").read_text().splitlines()) == len(rows) + len(left)
    assert {path.name for path in (tmp_path / "all").iterdir()} == {
        "diag-0", "diag-1", "planar-2--context-4-0", "planar-2--context-4-1", "rows.jsonl", "family-ladder.png",
    }  # fmt: skip
    saved = json.loads((tmp_path / "all/planar-2--context-4-1/config.json").read_text())
    assert (saved["posterior"], saved["run"]["seed"]) == ("planar(2, context=4)", 1)

    def again(kind, settings):
        raise AssertionError("trained twice")

    monkeypatch.setattr("jensen.experiments.run.session.start", again)
    assert run(settings) == (rows, left)


def test_every_family_can_work():
    for family in Settings.families:
        options(family, 0, Settings()).check()


def test_gains_are_of_one_seed_and_errors_over_seeds():
    rows = [Outcome("diag", 0, -10.0, 9.0, 0.1, 1.0), Outcome("diag", 1, -20.0, 19.0, 0.1, 1.0),
            Outcome("iaf", 0, -9.0, 8.0, 0.1, 1.0), Outcome("iaf", 1, -18.5, 18.0, 0.1, 1.0)]  # fmt: skip
    lines = table(rows, Settings(families=("diag", "iaf"), seeds=2)).splitlines()
    assert "-15.000 ± 5.000" in lines[1]
    assert "+1.250 ± 0.250" in lines[2]


def test_gaps_are_beside_the_lectures():
    left = [Left(seed, steps, gap, 0.1) for steps, gap in ((0, 1.0), (20, 0.5)) for seed in (0, 1)]
    lines = table_of_steps(left, Settings(refine=(0, 20))).splitlines()
    assert lines[2].split()[-4:] == ["1.000", "±", "0.000", "5.2"]
    assert lines[3].split()[-1] == "0.4"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--seeds", 1), "one has no standard error"),
        (("--families", "diag", "diag"), "expected two different ones or more"),
        (("--families", "diag", "iaff"), "the nearest is 'iaf'"),
        (("--images", 1), "expected --images of at least 2, got 1"),
        (("--refine", 0, -1), "expected counts of steps of at least 0"),
    ],
)
def test_bad_settings_are_one_clear_line(args, message, tmp_path, refused):
    assert message in refused(family_ladder.main, *args, "--out", tmp_path / "all")
    assert not list(tmp_path.iterdir())
