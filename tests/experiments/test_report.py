"""What a run's report and its curves say of the objective, the floor and the units."""

from dataclasses import replace

import pytest
import torch

from jensen.core.models import vae
from jensen.experiments import figures, train
from jensen.experiments.data import Images
from jensen.experiments.evaluation import Evaluation
from jensen.experiments.loop import Progress
from jensen.experiments.settings import Settings

IMAGES = Images(torch.zeros(4, 16), torch.zeros(3, 16), torch.zeros(3), (1, 4, 4))
FOUND = Evaluation(-20.0, 3.0, nll=22.0, error=0.01, bits_per_dim=1.98, active_units=2, floor=27.0)


def told(settings, found=FOUND):
    return train.summary(settings, vae.mlp(16, (), 3), IMAGES, found, Progress(step=9))


def test_an_objective_that_is_not_the_bound_is_told():
    weighted = Settings(kl_weight=4, kl_warmup=100, free_bits=0.1)
    assert "objective" not in told(Settings())
    assert "elbo with KL weight 4, warm-up over 100 steps, free bits 0.1 nats per dimension" in told(weighted)
    assert "iwae with KL weight 0.5\n" in told(Settings(bound="iwae", k=2, kl_weight=0.5))


def test_a_model_below_the_floor_and_bits_of_a_density_are_told():
    assert "worse than independent pixels" not in told(Settings())
    for nll, error in ((27.5, 0.01), (float("inf"), float("inf"))):
        assert "worse than independent pixels" in told(Settings(), FOUND._replace(nll=nll, error=error))
    grey = Settings(pixels="grey", likelihood="gaussian")
    assert "bits/dim are those of a density" not in told(Settings())
    assert "bits/dim are those of a density" not in told(replace(grey, likelihood="soft-bernoulli"))
    assert "bits/dim are those of a density" in told(grey)


@pytest.mark.parametrize("shift", [-9.0, 0.0, 9.0])
def test_no_curve_is_below_the_axis(shift):
    """The objective, which a KL weight moves, and the ELBO are both seen, but for the first steps of long runs."""
    rows = [
        {
            "step": i,
            "objective": -30.0 + i / 50 + shift,
            "reconstruction": -27.0 + i / 50,
            "kl": 3.0,
            "gradient_norm": 1,
        }
        for i in range(100)
    ]
    axis = figures.training(rows, "objective").axes[0]
    bottom, _ = axis.get_ylim()
    assert axis.get_title() == "objective"
    assert all(min(line.get_ydata()[2:]) >= bottom for line in axis.lines)
    assert figures.training(rows).axes[0].get_title() == "bound"
    figures.plt.close("all")
