"""Claims of transport, at sizes of seconds: what they leave, and that their figures are of what they say."""

import json
import math

import pytest
import torch

from jensen.core import keys
from jensen.experiments.claims import diffusion_posterior, rectified_flow
from jensen.experiments.claims.posterior_targets import planar, two_moons


@pytest.mark.slow
def test_a_flow_is_straightened_through_the_trainer(tmp_path, monkeypatch, capsys):
    """Its second stage has less bend, and one step of it is what the table says; done runs are read, not trained."""
    monkeypatch.setattr("jensen.experiments.report.points.COMPARED", 30)
    monkeypatch.setattr("jensen.experiments.report.points.DRAWN", 60)
    out = ["--steps", "150", "--no-compile", "--seeds", "2", "--hidden", "16", "--draws", "40", "--out", str(tmp_path)]
    rectified_flow.main(out)
    said = capsys.readouterr().out
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert len(rows) == 2 * 2 * 4
    bend = [sum(row["bend"] for row in rows if row["stage"] == stage) for stage in (0, 1)]
    assert bend[1] < 0.5 * bend[0]
    first = [row["wasserstein"] for row in rows if row["stage"] == 1 and row["steps"] == 1]
    assert f"{sum(first) / 2:.3f} ±" in said.splitlines()[-3]
    assert (tmp_path / "rectified-flow.png").exists()
    trained = (tmp_path / "stage-1-1" / "report.json").stat().st_mtime_ns
    rectified_flow.main(out)
    assert (tmp_path / "stage-1-1" / "report.json").stat().st_mtime_ns == trained


def test_a_diffusion_posterior_is_judged_by_its_weights(tmp_path, capsys):
    few = ["--steps", "4", "--levels", "4", "--samples", "4", "--hidden", "4", "--draws", "400", "--out", str(tmp_path)]
    diffusion_posterior.main(few)
    said = capsys.readouterr().out
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert [row["family"] for row in rows] == ["diag", "real-nvp", "diffusion"]
    for row in rows:
        assert row["elbo"] < row["log_z"] + 4 * row["error"]
        assert f"{row['elbo']:.3f}" in said
    assert rows[-1]["elbo"] < rows[-1]["estimate"]
    assert (tmp_path / "diffusion-posterior.png").exists()


@pytest.mark.parametrize(
    ("main", "options", "message"),
    [
        (diffusion_posterior.main, ["--scale", "-1"], "expected a positive --scale, got -1"),
        (diffusion_posterior.main, ["--hidden", "0"], "expected --hidden of at least 1"),
        (diffusion_posterior.main, ["--levels", "1"], "expected --levels of at least 2, got 1"),
        (rectified_flow.main, ["--hidden", "0"], "expected --hidden of at least 1, got 0"),
        (rectified_flow.main, ["--seeds", "1"], "--seeds 1: expected at least 2"),
    ],
)
def test_refusals(main, options, message, refused, tmp_path):
    assert message in refused(main, *options, "--out", tmp_path)


def test_the_lesser_side_is_the_one_with_fewer_draws():
    z = keys.normal(keys.key(0), (1, 1000, 2))[0]
    assert diffusion_posterior.lesser(z) == pytest.approx(0.5, abs=0.06)
    assert diffusion_posterior.lesser(z.abs()) == 0
    assert diffusion_posterior.lesser(torch.cat([z.abs(), -z.abs()[:250]])) == pytest.approx(0.2)


@pytest.mark.slow
def test_the_diffusion_posterior_has_both_modes_and_a_higher_bound():
    target = planar("two moons", two_moons, (-4, 4, -4, 4))
    settings = diffusion_posterior.Settings(steps=800, levels=24)
    row, _ = diffusion_posterior.diffused(target, settings)
    assert row.lesser > 0.3
    assert target.log_evidence - row.elbo < math.log(2)  # what one mode alone loses at least
    assert row.estimate == pytest.approx(target.log_evidence, abs=0.05)
