"""Diffusions of pixels: masses that sum to 1, scipy's tails, and a distribution of pixels that is known."""

import math
from dataclasses import dataclass

import pytest
import torch
from scipy.stats import norm
from torch.func import grad

from jensen.core import keys
from jensen.core.models.transport import diffusion, fields, noise_levels
from jensen.core.models.transport import pixel_diffusion as pixels

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
    places = torch.searchsorted(WEIGHTS.cumsum(0), keys.uniform(KEY, (1, 1000, 2), DOUBLE)[0])
    away = WEIGHTS.log()[places].sum(-1) - model.bound({}, shaded(5)[places], KEY).elbo
    each = away / (2 * math.log(2))
    return each.mean().item(), each.std().item() / 1000**0.5


def test_bits_per_pixel_fall_to_the_entropy_with_more_steps():
    """With small variances; of data at points the large ones are not p's own, and their bits stay above."""
    found = {"small": [], "large": []}
    for variance, each in found.items():
        for steps in (20, 60, 180):
            levels = noise_levels.cosine(steps)
            each.append(above(pixels.build(Best(levels), levels, 5, variance)))
    assert all(mean > -3 * error for each in found.values() for mean, error in each)
    first, second, last = (mean for mean, _ in found["small"])
    assert first > second > last
    assert last < 0.1 < 0.3 < found["large"][2][0]


def test_a_density_in_place_of_masses_is_off():
    """It is no probability, and says that there are fewer bits than the pixels' entropy."""
    levels = noise_levels.cosine(100)
    found, error = above(diffusion.build(Best(levels), levels, "small"))
    assert found < -5 * error


def test_other_terms_are_the_plain_ones_of_clean_pixels_within_their_range():
    levels = noise_levels.cosine(20)
    x = shaded(5)[torch.tensor([[0, 3], [4, 2]])]
    found, plain = (
        model.bound({}, x, KEY)
        for model in (pixels.build(Best(levels), levels, 5), diffusion.build(Best(levels), levels))
    )
    torch.testing.assert_close(found.transitions, plain.transitions)
    torch.testing.assert_close(found.prior, plain.prior)


def test_errors_at_the_most_noise_do_not_leave_the_pixels_range():
    """A field of no noise has x̂_0 = x_t / sqrt(a_t): its bound and its draws are cut to what pixels can be."""
    levels, field = noise_levels.cosine(50), fields.mlp(3, (4,))
    model, plain = pixels.build(field, levels, 17), diffusion.build(field, levels)
    params, x = model.init(KEY, DOUBLE), shaded(17)[torch.tensor([[0, 3, 16], [8, 8, 1]])]
    assert plain.sample(params, KEY, 50, DOUBLE).abs().max() > 10
    assert model.sample(params, KEY, 50, DOUBLE).abs().max() <= 1 + 1e-9
    assert (model.bound(params, x, KEY).transitions.sum(1) < plain.bound(params, x, KEY).transitions.sum(1)).all()
    assert torch.equal(model.loss(params, x, KEY), plain.loss(params, x, KEY))
    slope = grad(lambda p: model.loss(p, x, KEY).mean())(params)
    assert slope["1"]["weight"].abs().max() > 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda x: pixels.log_mass(x + 0.05, x, 0.1, 17),
            "expected x at 17 equally spaced shades from -1 to 1",
        ),
        (lambda x: pixels.log_mass(2 * x, x, 0.1, 17), "expected x at 17 equally spaced shades from -1 to 1"),
        (lambda x: pixels.log_mass(x, x, 0.0, 17), r"expected scale in \(0, inf\), got 0"),
        (lambda x: pixels.log_mass(x, x, 0.1, 1), "expected shades, a whole number >= 2, got 1"),
        (lambda x: pixels.build(fields.mlp(2), LEVELS, 1), "expected shades, a whole number >= 2, got 1"),
        (
            lambda x: pixels.build(fields.mlp(17), LEVELS, 16).bound({}, x[None], KEY),
            "expected x at 16 equally",
        ),
    ],
)
def test_refusals(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call(shaded(17))
