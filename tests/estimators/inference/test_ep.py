"""Expectation propagation: exact with one datum, near quadrature with thirty where Laplace is not, and refusals."""

import math

import pytest
import torch

from jensen.core import keys
from jensen.core.models import bayes
from jensen.estimators import evidence
from jensen.estimators.inference import ep, grid

F64, SCALE = torch.float64, 1.0
X = keys.normal(keys.key(2), (1, 24, 2), F64)[0]
Y = (0.3 * X @ torch.tensor([1.0, -0.3], dtype=F64) + keys.normal(keys.key(3), (1, 24), F64)[0] > 0).double()
POSTERIOR = bayes.condition(bayes.logistic_regression(2, SCALE), {"x": X, "y": Y})
START = torch.zeros(1, 2, dtype=F64)


def probit(w):
    signed = (2 * Y - 1)[:, None] * X
    prior = -0.5 * (w / SCALE).square().sum(-1) - 2 * math.log(SCALE * math.sqrt(2 * math.pi))
    return prior + torch.special.log_ndtr(w @ signed.T).sum(-1)


def errors(mean, covariance, log_z, exact):
    """Of means in sd, of sds by ratio, and of log Z."""
    sd = exact.covariance.diagonal().sqrt()
    return (
        ((mean - exact.mean).abs() / sd).max(),
        (covariance.diagonal().sqrt() / sd - 1).abs().max(),
        abs(log_z - exact.log_p),
    )


@pytest.mark.parametrize("link", ep.LINKS)
def test_moments_and_evidence_are_near_those_of_quadrature_and_the_mode_is_not_the_mean(link):
    log_p = probit if link == "probit" else POSTERIOR
    exact, _ = grid.fit(keys.key(0), log_p, START)
    found, trace = ep.fit(keys.key(0), X, Y, link, SCALE)
    assert trace.converged
    factor = torch.tril(found.q.lower[0], -1) + torch.diag(found.q.log_scale[0].exp())
    of_ep = errors(found.q.loc[0], factor @ factor.T, trace.objective[-1], exact)
    assert all(error < bar for error, bar in zip(of_ep, (0.03, 0.02, 0.02), strict=True)), of_ep
    assert (found.evidence.log_p[0] - exact.log_p).abs() < 4.5 * found.evidence.standard_error[0]
    normal = evidence.laplace(log_p, evidence.find_mode(log_p, START).z)
    of_laplace = errors(normal.mode[0], normal.covariance[0], normal.log_p[0], exact)
    assert of_laplace[0] > 0.1  # the mode is not the mean


@pytest.mark.parametrize(("link", "likelihood"), [("logistic", torch.sigmoid), ("probit", torch.special.ndtr)])
def test_one_datum_is_exact(link, likelihood):
    w = torch.linspace(-40, 40, 80_001, dtype=F64)
    density = torch.exp(-0.5 * (w / 3).square()) / (3 * math.sqrt(2 * math.pi)) * likelihood(-1.7 * w)
    mass = torch.trapezoid(density, w)
    mean = torch.trapezoid(density * w, w) / mass
    variance = torch.trapezoid(density * w.square(), w) / mass - mean.square()
    x, y = torch.tensor([[1.7]], dtype=F64), torch.tensor([0.0])
    found, trace = ep.fit(keys.key(0), x, y, link, 3.0, tolerance=1e-12)
    torch.testing.assert_close(trace.objective[-1], mass.log(), rtol=0, atol=1e-10)
    torch.testing.assert_close(found.q.loc[0, 0], mean, rtol=0, atol=1e-9)
    torch.testing.assert_close(found.q.log_scale[0, 0], 0.5 * variance.log(), rtol=0, atol=1e-9)


def test_the_fixed_point_does_not_depend_on_the_step_and_a_datum_of_zeros_is_half():
    _, slow = ep.fit(keys.key(0), X, Y, step_size=0.3, steps=400, tolerance=1e-10)
    more, labels = torch.cat([X, torch.zeros(1, 2, dtype=F64)]), torch.cat([Y, torch.ones(1, dtype=F64)])
    found, fast = ep.fit(keys.key(0), more, labels, step_size=0.8, tolerance=1e-10)
    torch.testing.assert_close(fast.objective[-1] - math.log(0.5), slow.objective[-1], rtol=0, atol=1e-8)
    assert found.z.isfinite().all()


def test_float32_gives_float32():
    found, trace = ep.fit(keys.key(0), X.float(), Y.float(), samples=50)
    assert found.q.loc.dtype == found.z.dtype == torch.float32
    assert trace.converged


def test_refusals():
    key = keys.key(0)
    with pytest.raises(ValueError, match=r"y of 0 and 1, got -1\.0"):
        ep.fit(key, X, 2 * Y - 1)
    with pytest.raises(ValueError, match="as x has, got 3"):
        ep.fit(key, X, Y[:3])
    with pytest.raises(ValueError, match="x finite"):
        ep.fit(key, X * torch.nan, Y)
    with pytest.raises(TypeError, match=r"ep\.init\(x, y\)"):
        ep.update(None)
    with pytest.raises(ValueError, match="expected x"):
        ep.fit(key, X[:0], Y[:0])
