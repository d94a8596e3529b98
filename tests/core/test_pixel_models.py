"""Diffusions of pixels: masses that sum to 1, scipy's tails, and a distribution of pixels that is known."""

import math
from dataclasses import dataclass

import pytest
import torch
from scipy.stats import norm
from torch.func import grad

from jensen.core import keys
from jensen.core.models.transport import diffusion, fields, noise_levels, pixels

KEY = keys.key(0)
DOUBLE = torch.float64
LEVELS = noise_levels.linear(60)


def shaded(shades):
    return torch.linspace(-1, 1, shades, dtype=DOUBLE)


@pytest.mark.parametrize("shades", [2, 17, 256])
@pytest.mark.parametrize("scale", [0.01, 0.3, 5.0])
def test_masses_of_all_shades_sum_to_1(shades, scale):
    loc = torch.tensor([-1.5, -1.0, -0.3, 0.013, 0.99, 4.0], dtype=DOUBLE)
    each = pixels.log_mass(shaded(shades)[:, None].expand(-1, 6), loc.expand(shades, 6), scale, shades)
    torch.testing.assert_close(each.exp().sum(0), torch.ones(6, dtype=DOUBLE))
    density = norm.logpdf(shaded(shades)[:, None], loc, scale) + math.log(2 / (shades - 1))  # a planted bug
    assert abs(torch.tensor(density).exp().sum(0) - 1).max() > 0.2


def test_masses_are_scipys_far_into_the_tails():
    x = shaded(17)[:, None].expand(17, 2)
    found = pixels.log_mass(x, torch.tensor([[0.0, -1.0]], dtype=DOUBLE).expand(17, 2), 0.02, 17)
    for i, k in ((12, 0), (3, 0), (9, 1)):
        distance = abs((x[i, k] - (0.0, -1.0)[k]).item())
        exact = norm.logsf((distance - 1 / 16) / 0.02)  # of the cell's near end: the far one is nothing beside it
        assert found[i, k].item() == pytest.approx(exact, rel=1e-9)
    slope = grad(lambda loc: pixels.log_mass(x, loc.expand(17, 2), 0.02, 17).sum())(torch.zeros(2, dtype=DOUBLE))
    assert slope.isfinite().all()
    assert pixels.log_mass(x.float(), x.float(), 0.02, 17).dtype is torch.float32


WEIGHTS = torch.tensor([0.5, 0.1, 0.1, 0.05, 0.25], dtype=DOUBLE)


@dataclass(frozen=True)
class Best:
    """E[noise | x_t] of independent pixels with these probabilities of their shades."""

    levels: object
    data: int = 2

    def init(self, key, dtype=torch.float32):
        return {}

    def __call__(self, params, x, t):
        kept = self.levels.kept()[(t * self.levels.steps).round().long() - 1][..., None, None]
        given = WEIGHTS.log() - 0.5 * (x[..., None] - kept.sqrt() * shaded(5)).square() / (1 - kept)
        mean = (given.softmax(-1) * shaded(5)).sum(-1)
        return (x - kept[..., 0].sqrt() * mean) / (1 - kept[..., 0]).sqrt()


def above(model):
    """How many bits per pixel the bound is above the code length of pixels of known probabilities, and its error."""
    places = torch.searchsorted(WEIGHTS.cumsum(0), keys.uniform(KEY, (1, 2000, 2), DOUBLE)[0])
    away = WEIGHTS.log()[places].sum(-1) - model.bound({}, shaded(5)[places], KEY).elbo
    each = away / (2 * math.log(2))
    return each.mean().item(), each.std().item() / 2000**0.5


@pytest.mark.parametrize("variance", ["small", "large"])
def test_bits_per_pixel_fall_to_the_entropy_with_more_steps(variance):
    """With large variances more slowly: of data at points the small ones are p's own."""
    found = []
    for steps in (20, 60, 180):
        levels = noise_levels.cosine(steps)
        found.append(above(pixels.build(Best(levels), levels, 5, variance)))
    assert all(mean > -3 * error for mean, error in found)
    assert found[0][0] > found[1][0] > found[2][0]
    assert found[2][0] < (0.1 if variance == "small" else 0.7)


def test_a_density_in_place_of_masses_is_off():
    """It is no probability, and says that there are fewer bits than the pixels' entropy."""
    levels = noise_levels.cosine(100)
    found, error = above(diffusion.build(Best(levels), levels, "small"))
    assert found < -5 * error


def test_other_terms_are_the_plain_ones():
    field = fields.mlp(3, (4,))
    params, x = field.init(KEY, DOUBLE), shaded(17)[torch.tensor([[0, 3, 16], [8, 8, 1]])]
    found = pixels.build(field, LEVELS, 17).bound(params, x, KEY)
    plain = diffusion.build(field, LEVELS).bound(params, x, KEY)
    assert torch.equal(found.transitions, plain.transitions)
    assert torch.equal(found.prior, plain.prior)
    mean = pixels.build(field, LEVELS, 17).sample(params, KEY, 3, DOUBLE)
    assert torch.equal(mean, diffusion.build(field, LEVELS).sample(params, KEY, 3, DOUBLE))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: pixels.log_mass(x + 0.05, x, 0.1, 17), "expected x at 17 equally spaced shades from -1 to 1"),
        (lambda x: pixels.log_mass(2 * x, x, 0.1, 17), "expected x at 17 equally spaced shades from -1 to 1"),
        (lambda x: pixels.log_mass(x, x, 0.0, 17), r"expected scale in \(0, inf\), got 0"),
        (lambda x: pixels.log_mass(x, x, 0.1, 1), "expected shades, a whole number >= 2, got 1"),
        (lambda x: pixels.build(fields.mlp(2), LEVELS, 1), "expected shades, a whole number >= 2, got 1"),
        (lambda x: pixels.build(fields.mlp(17), LEVELS, 16).bound({}, x[None], KEY), "expected x at 16 equally"),
    ],
)
def test_refusals(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call(shaded(17))
