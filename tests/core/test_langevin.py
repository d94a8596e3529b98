"""Langevin dynamics on a normal, where the bias of its steps is known."""

import math

import pytest
import torch

from jensen.core import keys
from jensen.core.models.transport import energies, langevin

KEY = keys.key(3)
DOUBLE = torch.float64
LOC, SCALE = 1.0, torch.tensor([0.5, 2.0], dtype=DOUBLE)
START = LOC + SCALE * keys.normal(keys.fold_in(KEY, 9), (1, 6000, 2), DOUBLE)[0]


def energy(x):
    return 0.5 * ((x - LOC) / SCALE).square().sum(-1)


def close(x, variance):
    """Means and variances, within four standard errors."""
    n = len(x)
    assert ((x.mean(0) - LOC).abs() < 4 * (variance / n).sqrt()).all()
    assert ((x.var(0) / variance - 1).abs() < 4 * (2 / n) ** 0.5).all()


def test_unadjusted_steps_leave_a_wider_normal():
    """x' - m = (1 - step / v) (x - m) + sqrt(2 step) noise is stationary at v / (1 - step / (2 v))."""
    step, v = 0.2, SCALE.square()
    x = langevin.unadjusted(energies.score(energy), START, KEY, 60, step)
    close(x, v / (1 - step / (2 * v)))
    assert x.var(0)[0] / v[0] > 1.5  # what the correction takes away


def test_adjusted_steps_leave_the_normal():
    x, accepted = langevin.adjusted(energy, START, KEY, 40, 0.2)
    close(x, SCALE.square())
    assert 0.3 < accepted.mean() < 0.95
    fine = langevin.adjusted(energy, START, KEY, 5, 1e-4)[1]
    assert fine.mean() > 0.99


def test_adjusted_chains_stay_where_the_energy_is_finite():
    """An exponential density: no energy below 0."""

    def rate(x):
        return torch.where(x > 0, x, torch.inf).sum(-1)

    uniform = keys.uniform(KEY, (1, 6000, 1), DOUBLE)[0]
    x, _ = langevin.adjusted(rate, -torch.log1p(-uniform) + 1e-12, KEY, 60, 0.2)
    assert x.min() > 0
    assert x.mean().item() == pytest.approx(1, abs=4 / math.sqrt(len(x)))
    assert x.var().item() == pytest.approx(1, abs=4 * math.sqrt(8 / len(x)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: langevin.unadjusted(energies.score(energy), START, KEY, 0, 0.1),
            "expected steps, a whole number >= 1",
        ),
        (lambda: langevin.unadjusted(energies.score(energy), START, KEY, 1, -0.1), r"expected step in \(0, inf\)"),
        (lambda: langevin.adjusted(3, START, KEY, 1, 0.1), "expected energy, a function"),
        (lambda: langevin.adjusted(energy, START[0], KEY, 1, 0.1), r"expected x \(n, d\), got \(2,\)"),
    ],
)
def test_refusals(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()
