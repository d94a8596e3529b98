"""Noise by a choice of shades: Bayes' rule written out, and what a diffusion of pixels makes of it."""

from dataclasses import dataclass

import pytest
import torch
from torch.func import grad, vmap

from jensen.core import keys
from jensen.core.models.transport import choices, fields, noise_levels, pixel_diffusion

KEY = keys.key(0)
DOUBLE = torch.float64
LEVELS = noise_levels.cosine(20)
WEIGHTS = torch.tensor([0.5, 0.1, 0.1, 0.05, 0.25], dtype=DOUBLE)
SHADES = torch.linspace(-1, 1, 5, dtype=DOUBLE)


@dataclass(frozen=True)
class Frequencies:
    data: int = 2

    def init(self, key, dtype=torch.float32):
        return {}

    def __call__(self, params, x, t):
        return WEIGHTS.log().repeat(self.data).expand(*x.shape[:-1], -1)


def test_the_noise_is_that_of_bayes_rule():
    """E[x_0 | x_t] by the joint probabilities of shade and noisy value; each pixel has logits of its own."""
    x, log_snr = keys.normal(KEY, (1, 7, 2), DOUBLE)[0], torch.linspace(-3, 6, 7, dtype=DOUBLE)
    kept = log_snr.sigmoid()[:, None, None]
    normal = torch.distributions.Normal(kept.sqrt() * SHADES, (1 - kept).sqrt())
    logits = torch.stack([WEIGHTS.log(), WEIGHTS.flip(0).log()])
    joint = normal.log_prob(x[..., None]).exp() * logits.exp()
    clean = (joint * SHADES).sum(-1) / joint.sum(-1)
    expected = (x - kept[..., 0].sqrt() * clean) / (1 - kept[..., 0]).sqrt()
    found = choices.noise(logits.flatten().expand(7, -1), x, log_snr, 5)
    torch.testing.assert_close(found, expected)
    swapped = choices.noise(logits.T.flatten().expand(7, -1), x, log_snr, 5)  # shades before pixels, a planted bug
    assert (swapped - expected).abs().max() > 0.1


def test_known_probabilities_leave_nothing_to_learn():
    """Bits of independent pixels are those of a chain whose noise is exact: near their entropy with small variances."""
    x = SHADES[torch.searchsorted(WEIGHTS.cumsum(0), keys.uniform(KEY, (1, 1000, 2), DOUBLE)[0])]
    levels = noise_levels.cosine(180)
    found = pixel_diffusion.build(choices.build(Frequencies(), levels, 5), levels, 5, "small").bound({}, x, KEY)
    away = WEIGHTS.log()[((x + 1) * 2).round().long()].sum(-1) - found.elbo
    error = away.std() / 1000**0.5
    assert -3 * error < away.mean() < 0.15
    other = choices.build(Frequencies(), noise_levels.linear(180), 5)  # of other levels than the diffusion's
    wrong = pixel_diffusion.build(other, levels, 5, "small").bound({}, x, KEY)
    assert wrong.elbo.mean() < found.elbo.mean() - 0.5


def test_logits_are_a_frequency_of_each_shade_and_powers_of_it():
    """Written out; with degree 2 alone they are those of a normal cut off at the ends."""
    logits = choices.mlp(2, 5, (4,))
    params, x, t = logits.init(KEY, DOUBLE), torch.zeros(3, 2, dtype=DOUBLE), torch.full((3,), 0.5, dtype=DOUBLE)
    assert (logits(params, x, t) == 0).all()
    loc, precision, free = 0.3, 2.0, keys.normal(KEY, (2, 5), DOUBLE)
    bias = torch.tensor([loc * precision, -precision / 2] * 2, dtype=DOUBLE) / choices.STEEPNESS
    params["network"]["1"]["bias"], params["frequencies"] = bias, free / choices.STEEPNESS
    expected = free - 0.5 * precision * (SHADES - loc).square() + 0.5 * precision * loc**2
    torch.testing.assert_close(logits(params, x, t).unflatten(-1, (2, 5)), expected.expand(3, -1, -1))


def test_extreme_noise_and_logits_are_finite_with_their_gradients():
    logits = torch.tensor([[1e4, -1e4, 0.0, 0.0, 0.0] * 2] * 3)
    x, log_snr = torch.tensor([[1.0, -30.0]] * 3), torch.tensor([-30.0, 0.0, 15.0])

    def total(logits, x, log_snr):
        return choices.noise(logits, x, log_snr, 5).sum()

    for slope in grad(total, argnums=(0, 1, 2))(logits, x, log_snr):
        assert slope.isfinite().all()
    rows = vmap(lambda logits, x, log_snr: choices.noise(logits, x, log_snr, 5))(logits, x, log_snr)
    torch.testing.assert_close(rows, choices.noise(logits, x, log_snr, 5))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: choices.build(3, LEVELS, 5), "expected logits, such as choices.mlp"),
        (lambda: choices.build(fields.mlp(2), 5, 5), "expected levels, such as noise_levels.linear"),
        (lambda: choices.mlp(2, 1), "expected shades, a whole number >= 2, got 1"),
        (lambda: choices.mlp(2, 5, (4,), 0), "expected degree, a whole number >= 1, got 0"),
        (lambda: choices.build(fields.mlp(2), LEVELS, 1), "expected shades, a whole number >= 2, got 1"),
        (
            lambda: choices.noise(torch.zeros(3, 9), torch.zeros(3, 2), torch.zeros(3), 5),
            r"expected logits \(\.\.\., 10\), got",
        ),
    ],
)
def test_refusals(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()
