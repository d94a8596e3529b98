"""Contenders differ in the game and the constraint, numbers are those of the runs, and the verdict is of every seed."""

import json

import pytest

from jensen.experiments.claims import adversaries
from jensen.experiments.claims.adversaries import Settings, contenders, of_seed, verdict
from jensen.experiments.claims.compared import Row

FEW = ["--steps", "4", "--hidden", "4", "--no-compile"]


@pytest.mark.parametrize("data", ["ring", "grid"])
def test_contenders_have_one_budget(data):
    settings = Settings(data=data, steps=40)
    for name in contenders(settings):
        one = of_seed(settings, name, 3)
        one.check()
        assert (one.points.data, one.run.steps, one.run.seed, one.run.batch) == (data, 40, 3, 256)
        assert (one.hidden, one.latent, one.optimiser) == (settings.hidden, 8, adversaries.Gan.optimiser)


def test_the_command_leaves_rows_and_a_figure_and_goes_on_with_its_runs(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("jensen.experiments.report.points.COMPARED", 30)
    monkeypatch.setattr("jensen.experiments.report.points.DRAWN", 60)
    monkeypatch.setattr(adversaries, "COMPARED", 30)
    adversaries.main([*FEW, "--out", str(tmp_path)])
    said = capsys.readouterr().out
    assert "8 modes found and 90% of points near one in every seed: none; not: minimax GAN, clipped WGAN" in said
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert [row["name"] for row in rows] == 2 * list(contenders(Settings()))
    assert (tmp_path / "adversaries.png").is_file()
    for row in rows:
        report = json.loads((tmp_path / f"{row['name'].replace(' ', '-')}-{row['seed']}/report.json").read_text())
        assert row["wasserstein"] == report["findings"]["points"][0]["value"]
    monkeypatch.setattr("jensen.experiments.run.session.start", None)
    adversaries.main([*FEW, "--out", str(tmp_path)])
    assert capsys.readouterr().out.endswith(said[said.index("ring, 2 seeds") :])


def test_the_verdict_asks_for_every_seed():
    of = [("a", 8, 0.95), ("a", 8, 0.91), ("b", 8, 0.95), ("b", 7, 0.99), ("c", 8, 0.2), ("c", 8, 0.95)]
    rows = [Row(name, i % 2, {"modes": modes, "near": near}) for i, (name, modes, near) in enumerate(of)]
    assert verdict(rows, 8) == "8 modes found and 90% of points near one in every seed: a; not: b, c"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--seeds", 1), "one has no standard error"),
        (("--steps", 0), "expected --steps of at least 1, got 0"),
        (("--hidden", 0), "expected --hidden of at least 1, got 0"),
    ],
)
def test_bad_settings_are_one_clear_line(args, message, tmp_path, refused):
    assert message in refused(adversaries.main, *args, "--out", tmp_path / "all")
    assert not list(tmp_path.iterdir())
