"""Data whose making is known: sprites and their factors, white patches, oscillations and their equation."""

import math

import pytest
import torch
from torch.func import jacfwd, vmap

from jensen.core import keys
from jensen.estimators import diagnostics
from jensen.experiments.data import oscillations, patches, sprites
from jensen.experiments.run.errors import InputError

KEY = keys.key(0)
SIZES = tuple(sprites.FACTORS.values())


@pytest.fixture(scope="module")
def drawn():
    """Sprites of 16 x 16, with an axis for each factor."""
    return sprites.sprites().images.unflatten(0, SIZES).unflatten(-1, (16, 16)).double()


def centre(images):
    """(row, column) of the centre of mass."""
    mass, ticks = images.sum((-2, -1)), torch.arange(images.shape[-1])
    return (images.sum(-1) @ ticks.double()) / mass, (images.sum(-2) @ ticks.double()) / mass


def test_every_combination_of_factors_is_one_image():
    found = sprites.sprites()
    assert (found.images.shape, found.shape) == ((4608, 256), (1, 16, 16))
    assert found.factors.tolist() == [list(index) for index in torch.cartesian_prod(*map(torch.arange, SIZES)).tolist()]
    assert len(found.images.unique(dim=0)) == 4608
    assert 0 <= found.images.min() < 1 == found.images.max()
    assert torch.equal(found.images, sprites.sprites().images)


def test_places_shift_the_sprite_by_whole_pixels(drawn):
    assert torch.equal(drawn[..., 1:, :, :, :], drawn[..., :-1, :, :, :].roll(1, -1))
    assert torch.equal(drawn[..., 1:, :, :], drawn[..., :-1, :, :].roll(1, -2))
    row, column = centre(drawn)
    torch.testing.assert_close(column.diff(dim=-2), torch.ones(3, 4, 6, 7, 8).double())
    torch.testing.assert_close(row.diff(dim=-1), torch.ones(3, 4, 6, 8, 7).double())
    finer = sprites.sprites(32).images.unflatten(0, SIZES).unflatten(-1, (32, 32))
    assert torch.equal(finer[..., 1:, :, :, :], finer[..., :-1, :, :, :].roll(2, -1))


def test_scales_are_areas_of_their_radius(drawn):
    """A square of half-diagonal 1 covers 2, the ellipse pi / 2; the heart's curve encloses 3.661972, by quadrature."""
    radius = torch.linspace(sprites.SMALLEST, sprites.LARGEST, 4).double() * 16 / 2
    covered = drawn.sum((-2, -1)).mean((2, 3, 4))
    areas = torch.tensor([2, math.pi / 2, 3.661972 / 1.25**2], dtype=torch.float64)
    torch.testing.assert_close(covered, areas[:, None] * radius**2, atol=0, rtol=0.02)


def test_rotations_turn_the_ellipse_anticlockwise(drawn):
    ellipse = drawn[1, 3, :, 3, 3]
    row, column = centre(ellipse)
    ticks = torch.arange(16.0).double()
    up, right = (row[:, None] - ticks)[:, :, None], (ticks - column[:, None])[:, None, :]
    second = [(ellipse * a * b).sum((-2, -1)) for a, b in ((right, right), (up, up), (right, up))]
    angle = torch.atan2(2 * second[2], second[0] - second[1]) / 2
    torch.testing.assert_close(angle, torch.arange(6).double() * math.pi / 12, atol=0.02, rtol=0)


def test_a_code_of_the_factors_is_disentangled_and_a_rotated_one_is_not():
    factors = sprites.sprites().factors
    codes = factors / torch.tensor(SIZES)
    rotation = torch.linalg.qr(keys.normal(KEY, (5, 5))).Q
    assert diagnostics.mig(codes, factors).score > 0.99
    assert diagnostics.mig(codes @ rotation, factors).score < 0.5


def test_patches_are_white_and_come_from_photographs():
    found = patches.patches(KEY, train=600, test=200, side=6)
    assert (found.train.shape, found.test.shape, found.shape) == ((600, 36), (200, 36), (1, 6, 6))
    torch.testing.assert_close(torch.cov(found.train.T), torch.eye(36), atol=1e-4, rtol=0)
    torch.testing.assert_close(found.train.mean(0), torch.zeros(36), atol=1e-4, rtol=0)
    grey = found.whitening.inverse(found.test)
    assert -1e-4 < grey.min() < grey.max() < 1 + 1e-4
    torch.testing.assert_close(found.whitening(grey), found.test, atol=1e-3, rtol=0)
    kurtosis = found.train.double().pow(4).mean()
    assert kurtosis > 6  # of a normal 3: natural images are sparse
    again, other = (patches.patches(key, train=600, test=200, side=6) for key in (KEY, keys.key(1)))
    assert torch.equal(again.train, found.train)
    assert not torch.equal(other.test, found.test)


def test_whitening_is_the_inverse_square_root_of_the_covariance():
    x = keys.normal(KEY, (1, 50, 3), torch.float64)[0] @ torch.tensor([[2.0, 1, 0], [0, 1, 3], [1, 0, 1]]).double() + 5
    whitening = patches.fitted(x)
    torch.testing.assert_close(whitening.matrix, whitening.matrix.T)
    torch.testing.assert_close(torch.linalg.inv(whitening.matrix @ whitening.matrix), torch.cov(x.T))


def test_oscillations_solve_their_equation():
    found = oscillations.oscillations(KEY, 30, 8)
    p, times = found.parameters.double(), found.times.double()
    amplitude, decay, frequency, phase = p.T
    start = oscillations.state(p, torch.zeros(30, 1).double())[:, 0]
    torch.testing.assert_close(start, amplitude[:, None] * torch.stack([phase.cos(), phase.sin()], -1))
    slope = vmap(vmap(jacfwd(lambda t, p: oscillations.state(p[None], t[None, None])[0, 0]), (0, None)))(times, p)
    z = oscillations.state(p, times)
    turned = torch.stack([-z[..., 1], z[..., 0]], -1)
    torch.testing.assert_close(slope, -decay[:, None, None] * z + frequency[:, None, None] * turned)


def test_oscillations_are_seen_at_increasing_times_through_noise():
    found = oscillations.oscillations(KEY, 400, 25, duration=6.0, noise=0.2)
    assert (found.times.diff(dim=-1) >= 0).all()
    assert 0 <= found.times.min() < found.times.max() < 6
    residual = (found.values - oscillations.state(found.parameters, found.times)[..., 0]).double()
    assert abs(residual.var() / found.noise**2 - 1) < 4 * math.sqrt(2 / residual.numel())
    for column, (low, high) in zip(found.parameters.T, oscillations.RANGES.values(), strict=True):
        assert low <= column.min() < column.max() <= high
        assert abs(column.mean() - (low + high) / 2) < 4 * (high - low) / math.sqrt(12 * 400)


def test_what_cannot_be_made_is_one_clear_line():
    with pytest.raises(InputError, match="expected a side of 16, 32 or another multiple of 16, got 20"):
        sprites.sprites(20)
    with pytest.raises(InputError, match="expected 288 training patches or more and a test patch, got 100 and 10"):
        patches.patches(KEY, 100, 10)
    with pytest.raises(InputError, match="expected a side of 64 or less, got 65"):
        patches.patches(KEY, 10_000, 10, side=65)
    with pytest.raises(InputError, match="duration above 0, got n=3, m=40, duration=0"):
        oscillations.oscillations(KEY, 3, duration=0.0)


def test_a_low_pass_scales_each_frequency_and_leaves_white_patches_without_the_finest():
    """A wave by exp(-(f / cutoff)^4); the variance that is left of white patches is that of their low frequencies."""
    rows, columns = torch.meshgrid(torch.arange(16.0), torch.arange(12.0), indexing="ij")
    wave = torch.cos(2 * torch.pi * (rows * 3 / 16 + columns * 2 / 12))
    gain = math.exp(-((math.hypot(3 / 16, 2 / 12) / 0.3) ** 4))
    torch.testing.assert_close(patches.low_pass(wave[None], 0.3)[0], gain * wave, atol=1e-5, rtol=0)
    plain, found = (patches.patches(KEY, train=2000, test=200, side=8, cutoff=c) for c in (None, 0.39))
    torch.testing.assert_close(found.whitening.matrix, plain.whitening.matrix)
    power, before = (torch.fft.fft2(p.train.unflatten(1, (8, 8))).abs().square().mean(0) for p in (found, plain))
    assert power[4, 4] < 0.1 * before[4, 4]
    assert power[1, 1] > 0.8 * before[1, 1]
    with pytest.raises(InputError, match=r"expected a cutoff above 0 cycles per pixel, got 0"):
        patches.patches(KEY, train=600, test=200, side=6, cutoff=0.0)
