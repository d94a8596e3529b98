"""The targets' evidence is right, families are fitted to them, and the KL's directions are what they are called."""

import json
import math

import pytest
import torch

from jensen.core import keys
from jensen.core.models.latent.posteriors import POSTERIORS
from jensen.experiments.claims import posteriors
from jensen.experiments.claims.kl_directions import Targets, directions
from jensen.experiments.claims.posterior_targets import DIMENSIONS, correlated, eight_schools, targets
from jensen.experiments.claims.posteriors import Fitted, Settings, fitted, table
from jensen.laws.oracles import TwoMoons

KEY = keys.key(5)
FEW = Settings(steps=80, samples=8, draws=2000, lr=0.1)
BANANA, FUNNEL, MOONS, RING, *_ = TARGETS = targets()


def test_the_evidence_of_shapes_is_their_integral():
    assert BANANA.log_evidence == pytest.approx(math.log(2 * math.pi * 0.5), abs=1e-4)
    assert FUNNEL.log_evidence == pytest.approx(math.log(2 * math.pi * 1.35), abs=1e-4)
    exact = TwoMoons(torch.zeros(1, dtype=torch.float64)).log_evidence().item()
    assert MOONS.log_evidence == pytest.approx(exact, abs=1e-5)
    assert RING.log_evidence == pytest.approx(math.log(2 * math.pi * 2 * 0.3 * math.sqrt(2 * math.pi)), abs=1e-4)


def test_the_evidence_of_eight_schools_is_that_of_importance_sampling():
    """From the prior, of mu and log tau alone: within 5 standard errors."""
    target = eight_schools()
    tau = 5 * torch.tan(
        math.pi / 2 * keys.uniform(keys.key(1), (200_000, 1), torch.float64)[:, 0].clamp(1e-9, 1 - 1e-9)
    )
    mu = 5 * keys.normal(keys.key(2), (200_000, 1), torch.float64)[:, 0]
    half_cauchy = math.log(2 / (math.pi * 5)) - torch.log1p((tau / 5).square()) + tau.log()
    log_prior = torch.distributions.Normal(0.0, 5.0).log_prob(mu) + half_cauchy
    log_w = target.plane(torch.stack([mu, tau.log()], -1)) - log_prior
    mean, error = log_w.exp().mean(), log_w.exp().std() / len(log_w) ** 0.5
    assert abs(mean - math.exp(target.log_evidence)) < 5 * error
    z = keys.normal(KEY, (3, 1, 10), torch.float64)
    assert target.log_p(z).shape == (3, 1)


def test_the_gap_of_a_mean_field_on_a_correlated_normal_is_its_closed_form():
    """Half the log determinant of the precision's diagonal over its own; a full normal has none."""
    place = torch.arange(DIMENSIONS, dtype=torch.float64)
    precision = torch.linalg.inv(0.9 ** (place[:, None] - place).abs())
    exact = 0.5 * (precision.diagonal().log().sum() - precision.logdet()).item()
    diag, _ = fitted(correlated(), "diag", POSTERIORS["diag"], FEW)
    assert diag.gap == pytest.approx(exact, abs=5 * diag.error + 0.05 * exact)
    full, z = fitted(correlated(), "full", POSTERIORS["full"], FEW)
    assert full.gap < 0.3 * exact
    assert z.shape == (2000, 2)


def test_the_forward_fit_has_the_targets_moments_and_draws():
    target = Targets.random(3, KEY)
    q, z = target.moments(), target.sample(KEY, 20_000)
    torch.testing.assert_close(q.loc, z.mean(0), rtol=0, atol=0.1)
    off = z - z.mean(0)
    covariance = torch.einsum("sni,snj->nij", off, off) / len(z)
    noise = q.noise(KEY, 20_000)
    fitted = q.sample(noise) - q.loc
    torch.testing.assert_close(
        torch.einsum("sni,snj->nij", fitted, fitted) / len(noise), covariance, rtol=0.1, atol=0.1
    )


def test_bounds_are_on_their_side_and_importance_sampling_follows_the_evidence():
    below, above, narrow, wide = directions(40, 60, KEY)
    assert below.mean_error < -0.1
    assert above.mean_error > 0.1
    assert wide.rms < 0.5 * below.rms
    assert wide.correlation > max(below.correlation, 0.8)
    assert narrow.mean_error < wide.mean_error


def test_rows_and_a_figure_are_left_in_the_folder(tmp_path, monkeypatch):
    few = {name: POSTERIORS[name] for name in ("diag", "planar")}
    monkeypatch.setattr(posteriors, "POSTERIORS", few)
    monkeypatch.setattr(posteriors, "targets", lambda: [BANANA, RING])
    rows, each = posteriors.run(Settings(out=tmp_path / "lab", steps=2, samples=2, draws=50, random=3))
    assert len(rows) == 4
    assert len(each) == 4
    assert len((tmp_path / "lab/rows.jsonl").read_text().splitlines()) == 8
    assert json.loads((tmp_path / "lab/rows.jsonl").read_text().splitlines()[0])["family"] == "diag"
    assert (tmp_path / "lab/posteriors.png").stat().st_size > 1000


def test_the_table_has_a_line_per_family():
    rows = [Fitted(name, family, 1.0, 0.1, 0.001) for name in ("a: b", "c") for family in ("diag", "iaf")]
    lines = table(rows).splitlines()
    assert len(lines) == 3
    assert lines[1].split()[:3] == ["diag", "1.0", "ms/step"]
    assert lines[2].count("1.000 ± 0.100") == 2


@pytest.mark.parametrize("args", [("--steps", 0), ("--draws", 1), ("--random", 2), ("--lr", 0)])
def test_bad_settings_are_one_clear_line(args, tmp_path, refused):
    assert f"expected {'a positive ' if args[0] == '--lr' else ''}{args[0]}" in refused(
        posteriors.main, *args, "--out", tmp_path / "lab"
    )
    assert not list(tmp_path.iterdir())
