"""Shannon's curve is reverse water-filling's, a linear VAE's place is exact, and the ends of the images' curve hold."""

import json

import numpy as np
import pytest
import torch
from scipy import optimize

from jensen.core import keys
from jensen.core.objectives import kl
from jensen.experiments.claims import rate_distortion
from jensen.experiments.claims.gaussian_source import Reached, Source, at_level, exact, linear_vae, shannon, train
from jensen.experiments.claims.rate_distortion import SOURCE, Measured, Settings, run
from jensen.experiments.report.rate_distortion import Point

KEY = keys.key(0)


def test_shannons_curve_is_the_least_rate_of_independent_codes():
    """By scipy: the least Σ ½ log(λ_i / D_i) over 0 < D_i <= λ_i of a sum, and 0 from Σ λ_i on."""
    variances = torch.tensor([2.0, 0.7, 0.1], dtype=torch.float64)
    for distortion in (0.2, 0.9, 2.0):
        found = optimize.minimize(
            lambda d: 0.5 * np.log(variances.numpy() / d).sum(),
            variances.numpy() * distortion / 2.8,
            bounds=[(1e-6, v) for v in variances.tolist()],
            constraints={"type": "eq", "fun": lambda d, total=distortion: d.sum() - total},
            tol=1e-12,
        )
        assert shannon(variances, distortion) == pytest.approx(found.fun, abs=1e-6)
    assert shannon(variances, 2.8001) == shannon(variances, 9.0) == 0.0
    rate, distortion = at_level(variances, 0.3)
    assert (rate, distortion) == (pytest.approx(shannon(variances, distortion)), pytest.approx(0.7))


def test_a_linear_vaes_rate_and_distortion_are_those_of_many_draws():
    source = Source.random(torch.tensor([2.0, 0.5, 0.3], dtype=torch.float64), KEY)
    model = linear_vae(3, 2)
    x = source.sample(keys.key(1), 200_000)
    params = model.init(KEY, x[:100])
    params["encoder"]["0"]["bias"] += torch.tensor([0.3, -0.2, -0.5, 0.1], dtype=torch.float64)
    rate, distortion = exact(source, params)
    q = model.posterior(params, x)
    z = q.sample(q.noise(keys.key(2), 1))
    rates = kl(q, model.prior(params, len(x)), z)
    errors = (model.likelihood(params, z).loc[0] - x).square().sum(-1)
    for each, value in ((rates, rate), (errors, distortion)):
        assert abs(each.mean() - value) < 4.5 * each.std() / len(each) ** 0.5
    torch.testing.assert_close(x.T @ x / len(x), source.covariance, rtol=0, atol=0.03)


def test_linear_vaes_never_cross_and_approach():
    source = Source.random(SOURCE[:3], KEY)
    ways = train(source, (0.5, 100.0), 3, 250, 100, 0.1, KEY)
    assert all(row.rate >= row.least for row in ways)
    first, last = ways[0], next(row for row in ways[::-1] if row.beta == 0.5)
    assert last.rate - last.least < 0.1 < first.rate - first.least
    assert ways[-1].rate < 0.2  # of β = 100, whose best has none


def test_what_is_planted_is_off(tmp_path):
    """A rate below Shannon's, an end with a rate, and an image that is not the mean."""
    settings = Settings(out=tmp_path, betas=(1.0,))
    placed = {0.01: (20.0, 5.0), 1.0: (6.0, 15.0), 100.0: (0.01, 27.1)}
    images = [Measured(Point(b, "", r, d, ""), 27.0, 0.01) for b, (r, d) in placed.items()]
    ways = [Reached(1.0, 1, 3.0, 2.0, 2.9), Reached(1.0, 2, *_best(1.0), _best(1.0)[0] - 1e-9)]
    assert [row.quantity for row in rate_distortion.exact(images, ways, settings) if not row.holds] == []
    images[-1] = Measured(Point(100.0, "", 0.5, 27.1, ""), 27.0, 0.2)
    ways[0] = ways[0]._replace(least=3.1)
    off = [row.quantity for row in rate_distortion.exact(images, ways, settings) if not row.holds]
    assert [each.partition(",")[0] for each in off] == [
        "rate", "decoded images less the mean image", "Shannon's R(D) less the rate"
    ]  # fmt: skip


def _best(beta):
    return at_level(SOURCE, beta)


def test_rows_and_figures(tmp_path, capsys):
    few = ["--betas", "1", "--ends", "0.5", "200", "--steps", "3", "--hidden", "4", "--latent", "2"]
    rate_distortion.main([*few, "--source-steps", "3", "--out", str(tmp_path)])
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert [row["beta"] for row in rows if "floor" in row] == [0.5, 1.0, 200.0]
    assert {path.name for path in tmp_path.glob("*.png")} == {"images.png", "gaussian-source.png"}
    said = capsys.readouterr().out
    assert "β = 200" in said
    assert "Gaussian source: linear VAEs" in said


@pytest.mark.slow
def test_every_figure_holds(tmp_path):
    rows = run(Settings(out=tmp_path, betas=(0.5, 4.0)))[1]
    assert rows
    assert [row for row in rows if not row.holds] == []


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--ends", "0.5", "100"], "--ends 0.5 100: expected positive weights, below and above all of --betas"),
        (["--source-steps", "0"], "expected --source-steps of at least 1, got 0"),
        (["--steps", "0"], "expected --steps of at least 1, got 0"),
    ],
)
def test_bad_settings_are_one_clear_line(args, message, tmp_path, refused):
    assert message in refused(rate_distortion.main, *args, "--out", tmp_path / "all")
    assert not list(tmp_path.iterdir())
