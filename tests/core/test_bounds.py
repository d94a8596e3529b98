import math

import pytest
import torch
from hypothesis import given
from torch.func import grad

from jensen import laws
from jensen.core import bounds
from jensen.laws import strategies

INF = math.inf


@pytest.mark.law
@given(strategies.log_weights())
def test_leave_one_out(log_w):
    laws.leave_one_out(bounds.iwae, log_w)
    laws.leave_one_out(bounds.elbo, log_w)


@pytest.mark.law
@given(strategies.log_weights(least=1))
def test_iwae_is_between_the_elbo_and_the_largest_weight(log_w):
    top = log_w.max(0).values
    value = bounds.iwae(log_w)
    assert not value.isnan().any()
    assert (bounds.elbo(log_w) <= value + 1e-9).all()
    assert (value <= top + 1e-9).all()
    assert (value >= top - math.log(len(log_w)) - 1e-9).all()


def test_values():
    log_w = torch.tensor([[0.0, -INF], [math.log(3), -INF]], dtype=torch.float64)
    torch.testing.assert_close(bounds.iwae(log_w), torch.tensor([math.log(2), -INF], dtype=torch.float64))
    torch.testing.assert_close(bounds.elbo(log_w), torch.tensor([math.log(3) / 2, -INF], dtype=torch.float64))
    assert torch.equal(bounds.iwae(log_w[:1]), log_w[0])
    mixed = torch.cat([log_w, torch.tensor([[-INF], [5.0]], dtype=torch.float64)], 1)
    weights = torch.tensor([[0.25, 0.0, 0.0], [0.75, 0.0, 1.0]], dtype=torch.float64)
    torch.testing.assert_close(grad(lambda t: bounds.iwae(t).sum())(mixed), weights)


def test_shifts_pass_through_and_huge_weights_do_not_overflow():
    log_w = torch.tensor([[0.0], [1.0], [2.0]])
    assert torch.allclose(bounds.iwae(log_w + 1e4) - 1e4, bounds.iwae(log_w), atol=2e-3)
    assert torch.allclose(bounds.iwae(log_w - 1e4) + 1e4, bounds.iwae(log_w), atol=2e-3)


@pytest.mark.parametrize("shape", [(3,), (0, 3), (2, 3, 4)])
def test_other_shapes_raise(shape):
    for bound in (bounds.elbo, bounds.iwae):
        with pytest.raises(ValueError, match="samples come first"):
            bound(torch.zeros(shape))


def test_free_bits_charge_the_floor_and_stop_the_gradient():
    kl = torch.tensor([[0.1, 2.0], [0.3, 4.0]])
    value, slope = bounds.free_bits(kl, 0.5), grad(lambda t: bounds.free_bits(t, 0.5).mean())(kl)
    assert torch.allclose(value, torch.tensor([2.5, 4.5]))
    assert torch.allclose(value.mean(), kl.mean(0).clamp_min(0.5).sum())
    assert torch.equal(slope, torch.tensor([[0.0, 0.5], [0.0, 0.5]]))
    assert torch.equal(bounds.free_bits(kl, 0.0), kl.sum(-1))
    on_it = grad(lambda t: bounds.free_bits(t, 0.5).sum())(torch.full((2, 1), 0.5))
    assert (on_it == 0).all()


def test_free_bits_of_groups():
    kl = torch.tensor([[0.1, 0.2, 2.0], [0.3, 0.6, 4.0]], dtype=torch.float64)
    value = bounds.free_bits(kl, 0.5, (2, 1))
    torch.testing.assert_close(value, kl.sum(-1))  # the pair has 0.6 on average
    value, slope = bounds.free_bits(kl, 1.0, (2, 1)), grad(lambda t: bounds.free_bits(t, 1.0, (2, 1)).mean())(kl)
    torch.testing.assert_close(value, 1.0 + kl[:, 2])
    assert torch.equal(slope, torch.tensor([[0, 0, 0.5]] * 2, dtype=torch.float64))
    assert torch.equal(bounds.free_bits(kl, 0.5, (1, 1, 1)), bounds.free_bits(kl, 0.5))
    torch.testing.assert_close(bounds.free_bits(kl, torch.tensor([0.7, 9.0]), (2, 1)), torch.full((2,), 9.7).double())
    with pytest.raises(ValueError, match="sizes that sum to d = 3"):
        bounds.free_bits(kl, 0.5, (2, 2))


def test_free_bits_hide_no_nan():
    kl = torch.tensor([[math.nan, 1.0], [2.0, 1.0]])
    assert bounds.free_bits(kl, 0.0).isnan().any()
    assert bounds.free_bits(torch.ones(2, 2), torch.tensor([0.5, math.nan])).isnan().all()


def test_sums_beyond_half_precision_do_not_overflow():
    assert bounds.iwae(torch.zeros(70_000, 1).half()) == 0
    assert torch.equal(bounds.free_bits(torch.full((4, 2000), 40.0).half(), 0.5), torch.full((4,), 80_000.0))
