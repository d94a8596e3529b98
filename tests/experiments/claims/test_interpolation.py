"""Paths are straight and share their ends, pairs differ in their labels, and a gain is of pairs half way."""

import json

import pytest
import torch

from jensen.core import keys
from jensen.experiments.claims import interpolation
from jensen.experiments.claims.fitted import fitted_classifier, fitted_vae
from jensen.experiments.claims.interpolation import between, gain, judge, pairs, steps

KEY = keys.key(0)


def test_a_path_is_straight():
    start, end = keys.normal(KEY, (3, 4)), keys.normal(keys.key(1), (3, 4))
    path = between(start, end, 5)
    torch.testing.assert_close(path[[0, 2, 4]], torch.stack([start, (start + end) / 2, end]))


def test_pairs_are_of_different_labels_and_disjoint():
    labels = keys.bits(KEY, (100,)) % 3
    one, other = pairs(labels, 25, KEY)
    assert (labels[one] != labels[other]).all()
    assert len(torch.cat([one, other]).unique()) == 50


def test_a_gain_is_half_way_and_by_pair():
    latents = torch.tensor([[9.0, 9.0], [1.0, 2.0], [9.0, 9.0]])
    pixels = torch.tensor([[0.0, 0.0], [0.5, 0.5], [0.0, 0.0]])
    found = gain("ELBO", latents, pixels)
    assert (found.mean, found.error) == (1.0, pytest.approx(0.5))
    assert [row.place for row in steps("latents", latents, pixels)] == [0.0, 0.5, 1.0]


def test_the_judges_are_the_classifier_and_a_vae_to_which_mixtures_are_improbable():
    """Two flat images, on which both are trained."""
    x = torch.cat([torch.zeros(50, 9), torch.ones(50, 9)])
    of = fitted_vae(x, 8, 2, 150, KEY), fitted_classifier({"x": x, "labels": x[:, 0].long()}, 8, 3, KEY)
    path = between(x[:1], x[-1:], 3)
    confidence, elbo = judge(path, *of, KEY)
    model, params = of[1]
    torch.testing.assert_close(confidence, model.logits(params, path[:, 0]).softmax(-1).max(-1, keepdim=True).values)
    assert elbo.shape == (3, 1)
    assert elbo[1] < elbo[[0, 2]].min() - 1


def test_rows_figures_and_a_table(tmp_path, capsys):
    few = ["--pairs", "3", "--points", "3", "--hidden", "8", "--latent", "2", "--steps", "3"]
    interpolation.main([*few, "--out", str(tmp_path)])
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    ends = {(row["path"], row["place"]): row["confidence"] for row in rows if "path" in row}
    assert ends["latents", 0.0] == pytest.approx(ends["pixels", 0.0])
    assert ends["latents", 1.0] == pytest.approx(ends["pixels", 1.0])
    assert {path.name for path in tmp_path.glob("*.png")} == {"paths.png", "along.png"}
    assert "half way, latents less pixels: ELBO" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--points", "4"], "expected --points of an odd number, got 4"),
        (["--pairs", "181"], "--pairs 181 exceeds the "),
        (["--pairs", "1"], "expected --pairs of at least 2, got 1"),
        (["--seed", "-1"], "expected --seed in [0, 2^63)"),
    ],
)
def test_bad_settings_are_one_clear_line(args, message, tmp_path, refused):
    assert message in refused(interpolation.main, *args, "--out", tmp_path / "all")
    assert not list(tmp_path.iterdir())
