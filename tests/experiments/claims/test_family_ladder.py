"""The ladder trains each family and seed once, and its tables are means over seeds."""

from typing import NamedTuple

import pytest

from jensen.experiments.claims import family_ladder
from jensen.experiments.claims.family_ladder import Left, Outcome, Settings, options, run, table, table_of_steps
from jensen.experiments.claims.trained import Trained
from tests.experiments.report.conftest import small_vae


class Done(NamedTuple):
    """What is read of a finished run."""

    model: object
    params: dict
    images: object


@pytest.fixture
def runs(monkeypatch):
    """Stands in for training, and for reading what it left: a small model, whose runs differ by family and seed."""
    started = []

    def trained(kind, run):
        started.append((kind, run.posterior, run.run.seed))
        return Trained(-20.0 + len(run.posterior) + run.run.seed, 19.0, 0.1, 1.0)

    monkeypatch.setattr(family_ladder, "trained", trained)
    monkeypatch.setattr(family_ladder, "read_finished", lambda path: Done(*small_vae()))
    return started


def test_a_ladder_leaves_rows_and_a_figure(runs, tmp_path):
    settings = Settings(out=tmp_path / "all", families=("diag", "iaf(2)"), seeds=2, images=3,
                        fit_steps=20, refine=(0, 5))  # fmt: skip
    rows, left = run(settings)
    assert runs == [("vae", family, seed) for seed in (0, 1) for family in settings.families]
    assert [(each.seed, each.steps) for each in left] == [(0, 0), (0, 5), (1, 0), (1, 5)]
    assert left[1].gap < left[0].gap  # of an encoder that has not been trained
    assert len((tmp_path / "all/rows.jsonl").read_text().splitlines()) == len(rows) + len(left) == 8
    assert (tmp_path / "all/family-ladder.png").stat().st_size > 1000


def test_every_family_can_work():
    for family in Settings.families:
        options(family, 0, Settings()).check()
    one, other = options("iaf(8, hidden=5)", 0, Settings()), options("iaf(8)", 1, Settings())
    assert one.run.out != other.run.out
    assert one.run.out.name == "iaf-8--hidden-5-0"


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
