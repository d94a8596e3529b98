"""Recipes of latent-variable models beat their stated floors on held-out data."""

import json

import pytest

from tests.experiments.process import run


def findings(recipe, tmp_path):
    run(recipe, "--out", tmp_path / "run")
    return json.loads((tmp_path / "run" / "report.json").read_text())["findings"]


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["vamp-digits", "ladder-digits"])
def test_digits_are_worth_more_than_independent_pixels(recipe, tmp_path):
    (test,) = findings(recipe, tmp_path)["test"]
    assert test["nll"] + 3 * test["error"] < test["floor"] - 4


@pytest.mark.slow
def test_a_factor_vae_separates_the_sprites_factors(tmp_path):
    overall, *_ = findings("factor-sprites", tmp_path)["disentanglement"]
    assert overall["mig"] > 0.2
