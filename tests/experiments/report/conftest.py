"""A small model of small images, untrained, and what an assessment finds of it."""

from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from jensen.core import keys
from jensen.core.models.latent import vae
from jensen.experiments import report
from jensen.experiments.report import inference

KEY = keys.key(5)
BUDGET = report.Budget(images=4, k=(2, 20), chains=2, temperatures=2, gap_images=2, refine=(2,))


class Images(NamedTuple):
    """Binary images of 4 x 4."""

    train: Tensor
    test: Tensor
    test_labels: Tensor
    shape: tuple[int, int, int]


def binary_images(n=30, dtype=torch.float32):
    x = (keys.uniform(KEY, (n, 16), dtype) < 0.4).to(dtype)
    return Images(x, x, torch.arange(n) % 10, (1, 4, 4))


def small_vae(latent=3, images=None):
    """A VAE of a few weights, and its parameters."""
    model = vae.mlp(16, (8,), latent)
    images = images or binary_images()
    return model, model.init(KEY, images.train), images


@pytest.fixture(scope="session")
def found():
    """An assessment whose fits to single images are short: what they are worth is another test's."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("OWN", "FLOW"):
            patch.setattr(inference, name, inference.Fit(2, 0.01))
        model, params, images = small_vae()
        return report.assess(model, params, images.test, BUDGET, KEY)
