"""What the claim of information bottlenecks prints of short runs, and what its verdict says of curves."""

import json

import pytest

from jensen.experiments.claims import bottleneck
from jensen.experiments.claims.bottleneck import Point, Settings, verdict


def curve(*points, entropy=2.3):
    return [Point(1 / (1 + i), "train", *p, 90.0, entropy) for i, p in enumerate(points)] + [
        Point(1.0, "test", 0.2, 0.01, 0.3, 0.01, 80.0, entropy)
    ]


def test_the_verdict_fails_for_what_is_no_curve():
    good = [(0.2, 0.01, 0.3, 0.01), (1.0, 0.01, 1.5, 0.02), (2.0, 0.01, 5.0, 0.05)]
    assert "both bounds rise; I(Z;Y) is within" in verdict(curve(*good))
    assert "do not always rise" in verdict(curve(*good[::-1]))
    assert "NOT within" in verdict(curve(good[0], (1.7, 0.01, 1.5, 0.02)))
    assert "NOT within" in verdict(curve(*good, entropy=1.9))


def test_runs_are_compared_and_taken_up_again(tmp_path, capsys):
    short = ["--out", str(tmp_path), "--betas", "1", "0.1", "--epochs", "1", "--latent", "2"]
    bottleneck.main(short)
    first = capsys.readouterr().out
    rows = [json.loads(row) for row in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert [(row["beta"], row["of"]) for row in rows] == [(b, of) for b in (1.0, 0.1) for of in ("train", "test")]
    assert f"{rows[0]['rate']:.3f} ± {rows[0]['rate_error']:.3f}" in first
    bottleneck.main(short)
    assert "beta of" in capsys.readouterr().out
    assert (tmp_path / "bottleneck.png").is_file()


def test_what_cannot_work_is_refused(refused):
    assert "--betas 0.1 1.0: expected two falling ones or more" in refused(bottleneck.main, "--betas", 0.1, 1)


@pytest.mark.slow
def test_the_curve_of_digits_is_monotone_and_within_its_limits(tmp_path):
    points = bottleneck.run(Settings(out=tmp_path, betas=(0.5, 0.1, 0.01), epochs=60))
    print(bottleneck.table(points))
    assert "both bounds rise; I(Z;Y) is within" in verdict(points)
    assert points[-1].accuracy > 95
