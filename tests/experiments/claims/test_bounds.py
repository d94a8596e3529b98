"""The ladder's model is what it says, its exact limits hold, and its verdicts follow its rows."""

import json
import math

import pytest
import torch

from jensen.core import keys
from jensen.experiments.claims import bounds
from jensen.experiments.claims.bounds import Settings, exact, measure, run, table, verdict
from jensen.experiments.report import png
from jensen.laws.oracles import LinearGaussian

SMALL = Settings(samples=(1, 5, 50), draws=20_000, data=4)


@pytest.fixture(scope="module")
def rows():
    return [row for place in ((0.0, 1.0), (1.0, 1.0), (0.0, 0.6)) for row in measure(*place, SMALL)]


def test_the_model_is_the_oracles():
    model = bounds.build(SMALL)
    log_sigma = torch.tensor(bounds.SIGMA, dtype=torch.float64).log()
    oracle = LinearGaussian(model.weight, torch.zeros(bounds.DATA, dtype=torch.float64), log_sigma, model.x)
    z = keys.normal(keys.key(1), (3, 4, bounds.LATENT), torch.float64)
    torch.testing.assert_close(model.log_joint(z), oracle.log_joint(z))
    torch.testing.assert_close(model.log_evidence(), oracle.log_evidence())
    mean, covariance = oracle.posterior()
    q = model.posterior()
    torch.testing.assert_close(q.loc, mean)
    torch.testing.assert_close(torch.diag_embed((2 * q.log_scale[0]).exp()), covariance)


def test_limits_in_closed_form():
    """A shift of delta costs alpha delta^2 / 2; the ELBO's is the limit alpha -> 1; a narrow q has no chi^2."""
    for alpha in (1.0, 0.5, 0.0, -1.0):
        assert exact(alpha, 0.0, 1.0) == pytest.approx(0, abs=1e-12)
        assert exact(alpha, 1.5, 1.0) == pytest.approx(-alpha * 1.5**2 / 2, abs=1e-12)
    assert exact(1.0, 0.7, 0.6) == pytest.approx(exact(1 - 1e-6, 0.7, 0.6), rel=1e-4)
    assert exact(0.0, 0.7, 0.6) == pytest.approx(0, abs=1e-12)
    assert exact(-1.0, 0.0, 0.6) == math.inf
    assert exact(-1.0, 0.0, 0.8) > 0


def test_the_elbo_is_within_its_errors_and_every_bound_below_log_p_where_it_must_be(rows):
    for row in rows:
        if row.bound == "ELBO":
            assert abs(row.gap - row.exact) < 4 * row.error + 1e-9
        if row.bound not in ("jackknife", "VR-max", "CUBO(2)"):
            assert row.gap < 4 * row.error + 1e-9
        if row.shift == 0 and row.scale == 1:
            assert abs(row.gap) < 1e-9


def test_the_table_states_the_ladder_and_a_broken_one(rows):
    text = table(rows, SMALL)
    assert "every bound is log p(x), and has no variance" in text
    assert text.count("ELBO ≤ Rényi ≤ IWAE ≤ log p(x) at every K; CUBO(2) is below log p(x) up to K =") == 2
    assert "∞" in text.splitlines()[-2]
    assert "-0.0000" not in text
    here = [row for row in rows if row.shift == 1]
    for i, row in enumerate(here):
        if row.bound == "IWAE" and row.k == 50:
            here[i] = row._replace(gap=5 * row.error)
        if row.bound == "Rényi(0.5)" and row.k == 5:
            here[i] = row._replace(gap=0.0)
    assert verdict(here) == "the ladder is broken at K = 5, 50"


def test_rows_and_the_figure_are_left_in_the_folder(tmp_path):
    settings = Settings(out=tmp_path / "ladder", samples=(1, 4), draws=400, data=2, shifts=(1.0,), scales=())
    rows = run(settings)
    assert [json.loads(line) for line in (tmp_path / "ladder/rows.jsonl").read_text().splitlines()] == [
        row._asdict() for row in rows
    ]
    assert (tmp_path / "ladder/bounds.png").stat().st_size > 0
    assert run(settings) == rows


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--samples", "0", "5"], "--samples (0, 5): expected counts of at least 1"),
        (["--draws", "500"], "--draws 500: expected at least 10 groups of 1000 samples"),
        (["--shifts", "-1"], "expected distances in [0, 1000]"),
        (["--shifts", "nan"], "expected distances in [0, 1000]"),
        (["--shifts", "1e200"], "expected distances in [0, 1000]"),
        (["--scales", "0"], "expected widths in [0.01, 100]"),
        (["--scales", "1e-300"], "expected widths in [0.01, 100]"),
        (["--data", "0"], "--data of at least 1, got 0"),
        (["--seed", "-1"], "expected --seed in [0, 2^63)"),
    ],
)
def test_bad_input_is_one_clear_line(args, message, tmp_path, monkeypatch, refused):
    monkeypatch.chdir(tmp_path)
    assert message in refused(bounds.main, *args)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path, refused):
    (tmp_path / "file").write_text("")
    assert "choose another --out" in refused(bounds.main, "--out", tmp_path / "file" / "ladder")


def test_no_drawing_fails_on_one_k_or_none_that_is_finite(rows):
    one = [row for row in rows if row.k == 5]
    for few in (one, [row._replace(gap=math.nan) for row in one]):
        assert png(bounds.draw_figure(few)).startswith(b"\x89PNG")
