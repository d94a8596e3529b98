"""The density of an energy: a normal's, whatever constant the energy has, and its scale."""

import math

import pytest
import torch

from jensen.core import keys
from jensen.core.distributions import DiagNormal
from jensen.experiments.programs import Diffusion
from jensen.experiments.programs.diffusion import of_energy
from jensen.experiments.report.energies import log_density
from jensen.experiments.run.settings import Run
from tests.experiments.process import run

KEY = keys.key(0)
LOC, LOG_SCALE = torch.tensor([[0.5, -1.0]], dtype=torch.float64), torch.tensor([[0.4, -0.9]], dtype=torch.float64)
P = DiagNormal(LOC, LOG_SCALE)
X = P.sample(P.noise(KEY, 300))[:, 0]


def energy(x):
    return 0.5 * ((x - LOC) * torch.exp(-LOG_SCALE)).square().sum(-1) + 7.0


def test_the_density_is_the_normals_and_not_that_of_another_scale():
    torch.testing.assert_close(log_density(energy, X), P.log_prob(X[:, None])[:, 0], rtol=0, atol=1e-4)
    half = log_density(lambda x: energy(x) / 2, X)  # a level's scale that is left out, a planted bug
    assert half.mean() < P.log_prob(X[:, None]).mean() - 0.1


def test_a_diffusions_energy_is_a_density_of_its_first_level(monkeypatch):
    """An energy whose gradient, beside the noise of N(0, I), is that of normal data, by hand."""
    program = Diffusion(network="energy", hidden=(4,), noise_steps=50, run=Run(steps=1)).prepare().program
    field = program.model.field
    kept = field.levels.kept()[0]
    spread = kept * torch.exp(2 * LOG_SCALE) + 1 - kept
    monkeypatch.setattr(
        type(field.field),
        "energy",
        lambda self, params, x, t: (
            0.5 * (1 - kept).sqrt() * ((x - kept.sqrt() * LOC).square() / spread - x.square()).sum(-1)
        ),
    )
    noised = DiagNormal(LOC, 0.5 * (spread / kept).log())
    found = of_energy(field, {}, X)
    torch.testing.assert_close(found, noised.log_prob(X[:, None])[:, 0], rtol=0, atol=1e-4)


def test_a_run_of_an_energy_reports_its_log_p(tmp_path, monkeypatch):
    monkeypatch.setattr("jensen.experiments.report.points.COMPARED", 30)
    monkeypatch.setattr("jensen.experiments.report.points.DRAWN", 60)
    monkeypatch.setattr("jensen.experiments.programs.diffusion.BOUNDED", 9)
    monkeypatch.setattr("jensen.experiments.report.energies.SIDE", 40)
    fast = ["--no-compile", "--steps", 3, "--batch", 8, "--noise-steps", 4, "--hidden", 4, "--points", 50]
    assert "log p by the energy" in run("diffusion", "--network", "energy", *fast, "--out", tmp_path / "run")


def test_a_constant_energy_is_uniform_over_the_grid():
    """Its log density is minus that of the rectangle's area, but for half a cell on each side."""
    sides = 2 * (X.amax(0) - X.amin(0))
    found = log_density(lambda x: torch.zeros_like(x[:, 0]), X)
    assert found.unique().item() == pytest.approx(-math.log(sides.prod().item()), abs=0.01)
