"""Recipes of two moons: a test of two samples sees no difference between draws and data, and sees a short run's."""

import json

import pytest

from tests.experiments.process import run

LEVEL = 0.01


def p_value(folder):
    rows = json.loads((folder / "report.json").read_text())["findings"]["points"]
    return next(row["value"] for row in rows if row["name"] == "two-sample p")


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["moons-flow", "moons-diffusion"])
def test_draws_are_not_told_from_data_unless_training_was_short(recipe, tmp_path):
    run(recipe, "--out", tmp_path / "whole")
    assert p_value(tmp_path / "whole") >= LEVEL
    run(recipe, "--steps", 20, "--no-compile", "--out", tmp_path / "short")
    assert p_value(tmp_path / "short") < LEVEL
