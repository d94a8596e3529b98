"""Ascent finds the known maximum of a linear property in the typical set, and log odds are the classifier's."""

import json

import pytest
import torch

from jensen.core import keys
from jensen.experiments.claims import latent_optimisation
from jensen.experiments.claims.fitted import fitted_classifier
from jensen.experiments.claims.latent_optimisation import climb, properties, raised, typical

KEY = keys.key(0)


def test_the_typical_set_is_two_standard_deviations_of_the_squared_norm():
    d = 18
    z = keys.normal(KEY, (2000, d), torch.float64)
    z[:2] *= torch.tensor([[0.01], [100.0]])
    square = typical(z).square().sum(-1)
    assert square.min() == pytest.approx(d - 12)
    assert square.max() == pytest.approx(d + 12)
    inside = (z.square().sum(-1) - d).abs() < 12
    assert torch.equal(typical(z)[inside], z[inside])
    assert inside.double().mean() == pytest.approx(0.95, abs=0.03)
    torch.testing.assert_close(torch.cosine_similarity(typical(z), z), torch.ones(2000).double())


def test_ascent_finds_the_largest_of_a_linear_property():
    d = 8
    a, start = keys.normal(KEY, (d,), torch.float64), keys.normal(keys.key(1), (5, d), torch.float64)
    bounded = climb(lambda z: z @ a, start, 300, typical)
    torch.testing.assert_close(bounded @ a, (a.norm() * 16**0.5).expand(5), rtol=1e-4, atol=0)  # |z|² = 8 + 2 sqrt(16)
    alone = climb(lambda z: z @ a, start[2:3], 300, typical)
    torch.testing.assert_close(alone, bounded[2:3])
    assert (climb(lambda z: z @ a, start, 300, lambda z: z) @ a > 2 * bounded @ a).all()


def test_properties_are_ink_and_the_log_odds_of_a_class():
    x = keys.uniform(KEY, (4, 6))
    classifier = fitted_classifier({"x": x, "labels": torch.tensor([0, 1, 2, 9])}, 5, 2, KEY)
    of = properties(classifier, (9,))
    torch.testing.assert_close(of["ink"](x), x.sum(1) / 6)
    p = classifier[0].logits(classifier[1], x).softmax(-1)[:, 9]
    torch.testing.assert_close(of["log odds of 9"](x), (p / (1 - p)).log())


def test_what_is_above_the_best_draw_is_a_share_of_starts():
    found = raised("ink", "ascent", torch.tensor([1.0, 3.0, 2.0, 2.0]), torch.eye(4) * 2, 1.5)
    assert (found.best, found.above, found.radius) == (3.0, 0.75, 1.0)


def test_rows_a_figure_and_a_table(tmp_path, capsys):
    few = ["--digits", "3", "--starts", "2", "--ascent", "5", "--hidden", "8", "--latent", "2", "--steps", "3"]
    latent_optimisation.main([*few, "--out", str(tmp_path)])
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert [row["property"] for row in rows] == ["ink"] * 3 + ["log odds of 3"] * 3
    assert all(row["radius"] <= 3 + 1e-5 for row in rows if row["way"] != latent_optimisation.FREE)
    assert (tmp_path / "optimised.png").stat().st_size > 1000
    assert "end above the best draw" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--digits", "3", "3"], "--digits 3 3: expected digits from 0 to 9, each once"),
        (["--starts", "1"], "expected --starts of at least 2, got 1"),
        (["--seed", "-1"], "expected --seed in [0, 2^63)"),
    ],
)
def test_bad_settings_are_one_clear_line(args, message, tmp_path, refused):
    assert message in refused(latent_optimisation.main, *args, "--out", tmp_path / "all")
    assert not list(tmp_path.iterdir())
