"""The calibration error by hand, ways that share a network, a spread that widens, and a table of all."""

import json

import pytest
import torch

from jensen.experiments.claims import network_uncertainty
from jensen.experiments.claims.network_uncertainty import ALONE, POSTERIORS, Row, Settings, calibration_error, gain

FEW = ["--seeds", "2", "--each", "5", "--hidden", "6", "--steps", "20"]


def test_the_calibration_error_is_the_gap_of_each_bin_by_its_share():
    """Two of three at 0.9 are right, in one bin; the one at 0.6 is wrong."""
    sure = torch.tensor([0.9, 0.9, 0.9, 0.6])
    labels = torch.tensor([0, 0, 1, 1])
    probabilities = torch.stack([sure, 1 - sure], 1)
    assert calibration_error(probabilities, labels) == pytest.approx(0.75 * (0.9 - 2 / 3) + 0.25 * 0.6, abs=1e-6)
    assert calibration_error(torch.eye(2), torch.tensor([0, 1])) == 0


def test_gains_are_by_seed():
    values = ((0, ALONE, 1.0), (1, ALONE, 2.0), (0, "diagonal", 0.7), (1, "diagonal", 1.9))
    rows = [Row(seed, name, 0.9, 0.8, nll, 0.1, 0.5, 0.5, 0.0) for seed, name, nll in values]
    assert gain(rows, "diagonal", "nll") == (pytest.approx(-0.2), pytest.approx(0.1))


def test_all_ways_are_of_one_network_and_at_its_mode_they_choose_alike(tmp_path, capsys):
    network_uncertainty.main([*FEW, "--out", str(tmp_path)])
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert [row["name"] for row in rows] == [ALONE, *POSTERIORS] * 2
    assert (tmp_path / "regression.png").stat().st_size > 1000
    out = capsys.readouterr().out
    assert f"Kronecker factors over {ALONE}: AUROC, noise" in out
    for seed in (0, 1):
        sure = {row["name"]: row["sure"] for row in rows if row["seed"] == seed}
        assert all(value < sure[ALONE] for name, value in sure.items() if name != ALONE)


def test_the_spread_widens_between_clusters():
    _, _, posteriors = network_uncertainty.regression(Settings(steps=100))
    for name, posterior in posteriors.items():
        left, gap, right = posterior.outputs(torch.tensor([[-1.4], [0.4], [1.4]])).covariance[:, 0, 0]
        assert gap > 1.5 * max(left, right), name


@pytest.mark.parametrize(
    ("args", "message"), [(["--seeds", "1"], "--seeds of at least 2"), (["--each", "0"], "--each")]
)
def test_bad_settings_are_one_clear_line(args, message, tmp_path, refused):
    assert message in refused(network_uncertainty.main, *args, "--out", tmp_path / "all")
    assert not list(tmp_path.iterdir())
