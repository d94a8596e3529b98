"""Areas are those of scikit-learn, their error that of repeated draws, and no model has seen its own digit."""

import json

import pytest
import torch
from sklearn.metrics import roc_auc_score

from jensen.core import keys
from jensen.experiments.claims import anomaly
from jensen.experiments.claims.anomaly import FLOOR, Separated, auroc, gain
from jensen.experiments.claims.fitted import fitted_vae

KEY = keys.key(0)


def test_an_area_is_scikit_learns_with_ties():
    positive = keys.normal(KEY, (40, 1))[:, 0].mul(3).round()
    negative = keys.normal(keys.key(1), (60, 1))[:, 0].sub(0.3).mul(3).round()
    truth = torch.cat([torch.ones(40), torch.zeros(60)])
    assert auroc(positive, negative)[0] == pytest.approx(roc_auc_score(truth, torch.cat([positive, negative])))
    assert auroc(torch.ones(3), torch.zeros(4)) == (1.0, 0.0)
    assert auroc(torch.zeros(3), torch.zeros(4))[0] == 0.5


def test_an_areas_error_is_that_of_exponential_scores():
    """P(positive > negative) = 0.8 where positives are four times as large."""
    draws = -torch.log1p(-keys.uniform(KEY, (400, 90), torch.float64))
    each = [auroc(4 * row[:30], row[30:]) for row in draws]
    areas = torch.tensor([area for area, _ in each])
    assert abs(areas.mean() - 0.8) < 4.5 * areas.std() / 20
    spread = areas.std().item()
    assert auroc(4 * draws[0, :30], draws[0, 30:])[1] == pytest.approx(spread, rel=0.5)
    assert sum(error for _, error in each) / 400 == pytest.approx(spread, rel=0.16)  # 4.5 errors of a deviation of 400


def test_a_gain_is_over_the_floor_of_its_digit():
    areas = {(0, FLOOR): 0.5, (1, FLOOR): 0.9, (0, "NLL"): 0.7, (1, "NLL"): 1.0}
    rows = [Separated(digit, score, area, 0.1) for (digit, score), area in areas.items()]
    assert gain(rows, "NLL") == (pytest.approx(0.15), pytest.approx(0.05))


def test_the_model_sees_no_image_of_the_digit(monkeypatch, tmp_path, capsys):
    seen = []
    monkeypatch.setattr(anomaly, "fitted_vae", lambda x, *of: seen.append(x) or fitted_vae(x, *of))
    anomaly.main(["--digits", "0", "1", "--hidden", "8", "--steps", "3", "--samples", "4", "--out", str(tmp_path)])
    data = anomaly.digits()
    for digit, x in enumerate(seen):
        assert torch.equal(x, data.train["x"][data.train["labels"] != digit])
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert [(row["digit"], row["score"]) for row in rows[:3]] == [(0, "−ELBO"), (0, "NLL"), (0, FLOOR)]
    assert (tmp_path / "anomaly.png").stat().st_size > 1000
    assert f"NLL over {FLOOR}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--digits", "3", "3"], "--digits 3 3: expected two digits or more, each once"),
        (["--digits", "3", "10"], "--digits 3 10: expected two digits or more, each once"),
        (["--samples", "1"], "expected --samples of at least 2, got 1"),
        (["--seed", "-1"], "expected --seed in [0, 2^63)"),
    ],
)
def test_bad_settings_are_one_clear_line(args, message, tmp_path, refused):
    assert message in refused(anomaly.main, *args, "--out", tmp_path / "all")
    assert not list(tmp_path.iterdir())
