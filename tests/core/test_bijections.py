"""Bijections: values by hand, the sets they are onto, and densities of constrained values as ones of real numbers."""

import math

import pytest
import torch
from scipy import stats

from jensen.core import bijections, keys
from jensen.core.contracts import Bijection, can
from jensen.core.distributions import DiagNormal, Pushforward
from jensen.laws import instances

F64 = torch.float64
KEY = keys.key(3)


@pytest.mark.parametrize("name", instances.BIJECTIONS)
def test_all_are_bijections(name):
    assert can(instances.BIJECTIONS[name], Bijection)


def test_simplex_breaks_the_stick_evenly_at_zero():
    value, log_det = bijections.Simplex().forward(torch.zeros(3, dtype=F64))
    torch.testing.assert_close(value, torch.full((4,), 0.25, dtype=F64))
    by_hand = (1 / 4) * (3 / 4) * (1 / 4) * (2 / 3) * (1 / 4) * (1 / 2)  # value_i (1 - s_i)
    torch.testing.assert_close(log_det.exp(), torch.tensor(by_hand, dtype=F64))


def test_a_flat_dirichlet_stays_flat():
    """The density of z is 1 / (area 1 / 2!) times the Jacobian: its integral over z is 1, by quadrature on a grid."""
    grid = torch.linspace(-25, 25, 801, dtype=F64)
    z = torch.cartesian_prod(grid, grid)
    _, log_det = bijections.Simplex().forward(z)
    integral = 2 * log_det.exp().sum() * (grid[1] - grid[0]).square()
    torch.testing.assert_close(integral, torch.tensor(1.0, dtype=F64), rtol=1e-6, atol=0)


def test_correlation_factors_are_those_of_correlations():
    factor, _ = bijections.CorrelationCholesky().forward(keys.normal(KEY, (5, 2, 6), F64))
    matrix = factor @ factor.mT
    torch.testing.assert_close(matrix.diagonal(dim1=-2, dim2=-1), torch.ones(5, 2, 4, dtype=F64))
    assert (torch.linalg.eigvalsh(matrix) > 0).all()
    two, _ = bijections.CorrelationCholesky().forward(torch.tensor([0.7], dtype=F64))
    assert (two @ two.mT)[1, 0] == pytest.approx(math.tanh(0.7))


def test_a_pushforward_of_a_normal_is_the_log_normal():
    q = Pushforward(
        DiagNormal(torch.tensor([[0.3]], dtype=F64), torch.tensor([[-0.2]], dtype=F64)), (bijections.Positive(),)
    )
    x = torch.tensor([[[0.1]], [[1.0]], [[7.0]]], dtype=F64)
    exact = stats.lognorm(math.exp(-0.2), scale=math.exp(0.3)).logpdf(x[:, 0, 0].numpy())
    torch.testing.assert_close(q.log_prob(x)[:, 0], torch.as_tensor(exact))


def test_the_density_of_real_numbers_has_the_jacobian():
    """log u of an exponential: the density of the Gumbel type, e^(u - e^u)."""
    log_p = bijections.unconstrained(lambda z: -z.sum(-1), bijections.Positive())
    u = torch.tensor([[[-3.0]], [[0.5]]], dtype=F64)
    torch.testing.assert_close(log_p(u), (u - u.exp()).sum(-1))


@pytest.mark.parametrize("name", ["Positive", "UnitInterval", "Interval", "Simplex", "CorrelationCholesky"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_values_stay_inside_whatever_is_given(name, dtype):
    """Ends of the range are never reached: a log density is finite there."""
    bijection = instances.BIJECTIONS[name]
    if name == "Interval":
        bijection = bijections.Interval(*(t.to(dtype) for t in bijection))
    z = 90 * keys.normal(KEY, (50, 2, 3)).to(dtype)
    value, log_det = bijection.forward(z)
    assert bijection.contains(value).all()
    assert log_det.isfinite().all()


@pytest.mark.parametrize("name", ["Positive", "UnitInterval", "Interval", "Simplex", "CorrelationCholesky"])
@pytest.mark.parametrize("scale", [40.0, 1e3])
def test_gradients_are_finite_beyond_the_range(name, scale):
    bijection = instances.BIJECTIONS[name]
    z = scale * keys.normal(KEY, (50, 2, 3), F64)
    for part in (0, 1):
        slope = torch.func.grad(lambda z, part=part: bijection.forward(z)[part].clamp_max(1.0).sum())(z)
        assert slope.isfinite().all()


@pytest.mark.parametrize("bad", [2, 4, 5])
def test_a_triangle_has_its_number_of_entries(bad):
    with pytest.raises(ValueError, match=r"expected z \(..., d \(d - 1\) / 2\), such as 1, 3, 6 or 10 numbers, got"):
        bijections.CorrelationCholesky().forward(torch.zeros(bad))


def test_parts_take_their_own_numbers():
    both = bijections.Concatenated.of((bijections.Positive(), 2), (bijections.Simplex(), 3))
    value, log_det = both.forward(torch.tensor([0.0, math.log(2), 0.0, 0.0], dtype=F64))
    torch.testing.assert_close(value, torch.tensor([1, 2, 1 / 3, 1 / 3, 1 / 3], dtype=F64))
    assert both.contains(value)
    assert not both.contains(value.flip(-1))
    _, of_simplex = bijections.Simplex().forward(torch.zeros(2, dtype=F64))
    torch.testing.assert_close(log_det, math.log(2) + of_simplex)
    with pytest.raises(ValueError, match=r"expected \(..., 2 \+ 2\) numbers, got \(5,\)"):
        both.forward(torch.zeros(5))


def test_named_parts_take_their_own_numbers():
    both = bijections.Named.of(rate=(bijections.Positive(), 2), share=(bijections.Simplex(), 3))
    z = torch.tensor([0.0, math.log(2), 0.3, -0.4], dtype=F64)
    value, log_det = both.forward(z)
    side_by_side, same = bijections.Concatenated.of((bijections.Positive(), 2), (bijections.Simplex(), 3)).forward(z)
    torch.testing.assert_close(torch.cat([value["rate"], value["share"]], -1), side_by_side)
    torch.testing.assert_close(log_det, same)
    back, opposite = both.inverse({"share": value["share"], "rate": value["rate"]})
    torch.testing.assert_close(back, z)
    torch.testing.assert_close(opposite, -log_det)
    assert both.contains(value)
    assert not both.contains({**value, "rate": -value["rate"]})
    with pytest.raises(KeyError, match="unknown 'rates'"):
        both.inverse({"rates": value["rate"], "share": value["share"]})
    with pytest.raises(ValueError, match=r"expected z \(..., 4\), got \(5,\)"):
        both.forward(torch.zeros(5))
