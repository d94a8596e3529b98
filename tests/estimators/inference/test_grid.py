"""Grids: normal and skewed posteriors against closed forms, boxes that follow the mass, draws, and refusals."""

import math

import pytest
import torch

from jensen.core import keys
from jensen.estimators.inference import grid

F64 = torch.float64
LOC = torch.tensor([30.0, -2.0], dtype=F64)
FACTOR = torch.tensor([[2.0, 0.0], [0.19, 0.002]], dtype=F64)  # a correlation of 0.99994
LOG_Z = 3.7


def normal(z):
    t = torch.linalg.solve_triangular(FACTOR, (z - LOC)[..., None], upper=False)[..., 0]
    return LOG_Z - math.log(2 * math.pi) - FACTOR.diagonal().log().sum() - 0.5 * t.square().sum(-1)


def log_gamma(z):  # of a gamma variable of shape 0.5: an exponential tail of rate 0.5 to the left
    return (0.5 * z - z.exp()).sum(-1)


def test_moments_and_evidence_of_a_narrow_normal():
    found, trace = grid.fit(keys.key(0), normal, torch.zeros(3, 2, dtype=F64), points=101)
    torch.testing.assert_close(found.log_p.item(), LOG_Z, rtol=0, atol=1e-8)
    torch.testing.assert_close(found.mean, LOC, rtol=0, atol=1e-8)
    torch.testing.assert_close(found.covariance, FACTOR @ FACTOR.T, rtol=1e-7, atol=1e-10)
    assert found.error < 1e-8
    assert trace.converged
    assert "is known to" in found.verdict()


def test_the_box_follows_a_long_tail_and_moments_are_those_of_log_gamma():
    found, trace = grid.fit(keys.key(0), log_gamma, torch.zeros(1, 1, dtype=F64))
    half = torch.tensor(0.5, dtype=F64)
    torch.testing.assert_close(found.log_p, torch.lgamma(half), rtol=0, atol=1e-6)
    torch.testing.assert_close(found.mean[0], torch.digamma(half), rtol=0, atol=1e-5)
    torch.testing.assert_close(found.covariance[0, 0], torch.polygamma(1, half), rtol=0, atol=1e-4)
    assert len(trace.objective) > 2
    assert (trace.objective[0] - found.log_p).abs() > 1e-4  # the first box leaves out more than the last


def test_half_the_points_bound_the_error_of_a_coarse_grid():
    bounds = [(-7.0, 7.0)]
    for points in (9, 11, 13):
        found, _ = grid.fit(keys.key(0), lambda z: -0.5 * z[..., 0] ** 2, torch.zeros(1, 1, dtype=F64), points, bounds)
        error = (found.log_p - 0.5 * math.log(2 * math.pi)).abs()
        assert error < found.error
        assert found.error > 0.01
        assert "take more points" in found.verdict()


def test_an_edge_with_mass_is_named():
    found, _ = grid.fit(keys.key(0), log_gamma, torch.zeros(1, 1, dtype=F64), bounds=[(-1.0, 3.0)])
    assert found.edge[0, 0] > 1e-3 > found.edge[0, 1]
    assert "give wider bounds" in found.verdict()


def test_draws_are_of_the_density_linear_between_points():
    """Three points' density, a triangle on (0, 1) with its top at 1: mean 2 / 3, mean square 1 / 2."""
    found, _ = grid.fit(
        keys.key(0), lambda z: z[..., 0].log(), torch.zeros(1, 1, dtype=F64), points=5, bounds=[(0.0, 1.0)]
    )
    z = found.draws(keys.key(1), 400_000)[:, 0, 0]
    assert z.min() >= 0
    assert z.max() <= 1
    assert ((z.mean() - 2 / 3) / (z.std() / 400_000**0.5)).abs() < 4.5
    square = z.square()
    error = square.std() / 400_000**0.5
    assert ((square.mean() - 0.5) / error).abs() < 4.5
    at_points, share = found.z[:, 0].square(), found.log_weights.exp()
    for narrow in (0, 0.25**2 / 12):  # the variance about a point, of draws of points alone, and even ones about each
        assert ((share @ at_points + narrow - 0.5) / error).abs() > 4.5


def test_refusals():
    key, start = keys.key(0), torch.zeros(1, 5, dtype=F64)
    with pytest.raises(ValueError, match=r"d = 5: a grid of 100 points an axis would have 1e\+10 of them, 80 GB"):
        grid.fit(key, lambda z: z.sum(-1), start, points=100)
    with pytest.raises(ValueError, match="low < high"):
        grid.fit(key, log_gamma, start[:, :1], bounds=[(1.0, 0.0)])
    with pytest.raises(ValueError, match="1 finite pairs"):
        grid.fit(key, log_gamma, start[:, :1], bounds=[(0.0, 1.0)] * 2)
    with pytest.raises(ValueError, match="got nan at z ="):
        grid.fit(key, lambda z: z.sum(-1).sqrt(), start[:, :1], bounds=[(-1.0, 1.0)])
    with pytest.raises(ValueError, match="-inf at every point"):
        grid.fit(key, lambda z: z.sum(-1) - torch.inf, start[:, :1], bounds=[(-1.0, 1.0)])
    with pytest.raises(TypeError, match=r"grid\.init\(log_p, start\)"):
        grid.update(None, log_gamma)
    with pytest.raises(ValueError, match="expected start"):
        grid.fit(key, log_gamma, start[:0, :1])
