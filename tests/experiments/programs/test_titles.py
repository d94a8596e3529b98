"""What a run's report says of what was trained, before its table."""

from dataclasses import replace

import torch

from jensen.experiments.data.images import ImageData, Images
from jensen.experiments.programs import Sbn, Vae
from jensen.experiments.programs.estimation import Estimation

IMAGES = Images(torch.zeros(4, 16), torch.zeros(3, 16), torch.zeros(3), (1, 4, 4))


def title(settings, name="analytic_kl"):
    return settings.title(IMAGES, 9, name)


def test_an_objective_that_is_not_the_elbo_is_named():
    assert title(Vae()) == "vae on digits: 3 test images of 16 dynamic pixels, bernoulli likelihood, 9 steps\n"
    weighted = Estimation(objective="beta(4)", kl_warmup=100)
    assert ", objective beta(4), KL warm-up over 100 steps\n" in title(Vae(estimation=weighted))


def test_gradients_that_are_not_the_default_are_named():
    assert "gradients" not in title(Vae())
    assert "gradients by pathwise, of iwae at k = 3\n" in title(Vae(estimation=Estimation("iwae", k=3)), "pathwise")
    several = Sbn(estimation=Estimation("iwae", k=3))
    assert "gradients by score with baseline leave-one-out, of iwae at k = 3\n" in title(several, "score")
    assert "gradients by relax, of elbo at k = 1\n" in title(Sbn(), "relax")


def test_what_the_numbers_are_not_is_said():
    grey = Vae(images=ImageData(pixels="grey"))
    for likelihood, caution in {
        "gaussian": "bits/dim are those of a density of grey pixels",
        "squared-error": "bits/dim are those of a density of grey pixels",
        "continuous-bernoulli": "bits/dim are those of a density of grey pixels",
        "soft-bernoulli": "soft targets: these are cross-entropies",
    }.items():
        assert caution in title(replace(grey, likelihood=likelihood))
    assert title(Vae()).count("\n") == 1
