"""Maximum likelihood against exponential families' moment matching, a regression's formulas, and repeated fits."""

import pytest
import torch

from jensen.core import exponential, keys
from jensen.core.bijections import Positive, Simplex
from jensen.core.distributions import DiagNormal, Gamma, StudentT
from jensen.estimators.inference import maximum_likelihood

KEY = keys.key(41)
F64 = torch.float64


def of_gamma(x):
    """theta (s, n, 2), concentration and rate, of observations x (m, n, 1)."""
    return lambda theta: Gamma(theta[..., :1], theta[..., 1:]).log_prob(x[:, None]).sum(0)


def test_it_is_moment_matching_in_an_exponential_family():
    """Estimates and errors of a gamma, of which expected and observed information are one."""
    q = Gamma(torch.tensor([[2.0], [0.7]], dtype=F64), torch.tensor([[3.0], [0.5]], dtype=F64))
    x = q.sample(q.noise(KEY, 500))
    found = maximum_likelihood(of_gamma(x), torch.ones(2, 2, dtype=F64), Positive())
    known, errors = exponential.maximum_likelihood(exponential.GammaFamily(), x)
    torch.testing.assert_close(found.theta, torch.cat(known, -1), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.standard_error, torch.cat(list(errors.values()), -1), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.log_likelihood, known.log_prob(x).sum(0))
    assert found.verdict() == "standard errors are those of many observations, by the observed information"


def test_least_squares_and_its_errors():
    """sigma^2 (X^T X)^-1 of the coefficients, sigma / sqrt(2 m) of sigma, with sigma^2 the mean squared residual."""
    design, m = torch.cat([torch.ones(60, 1), keys.normal(KEY, (60, 2), F64)], 1), 60
    y = design @ torch.tensor([1.0, -2.0, 0.5], dtype=F64) + 0.7 * keys.normal(keys.fold_in(KEY, 1), (60,), F64)

    def log_likelihood(theta):
        loc = theta[..., :3] @ design.T
        return DiagNormal(loc, theta[..., 3:].expand_as(loc)).log_prob(y.expand_as(loc))

    found = maximum_likelihood(log_likelihood, torch.zeros(1, 4, dtype=F64))
    exact = torch.linalg.lstsq(design, y[:, None]).solution[:, 0]
    variance = (y - design @ exact).square().mean()
    torch.testing.assert_close(found.theta[0, :3], exact, rtol=1e-5, atol=1e-6)
    covariance = variance * torch.linalg.inv(design.T @ design)
    torch.testing.assert_close(found.covariance[0, :3, :3], covariance, rtol=1e-4, atol=1e-7)
    assert found.standard_error[0, 3].item() == pytest.approx((2 * m) ** -0.5, rel=1e-4)


def test_shares_have_errors_on_the_simplex():
    """Counts (5, 3, 2) of 10: shares .5, .3, .2 and the multinomial's covariance (diag p - p p^T) / 10, singular."""
    counts = torch.tensor([5.0, 3.0, 2.0], dtype=F64)
    found = maximum_likelihood(
        lambda p: (counts * torch.log(p)).sum(-1), torch.full((1, 3), 1 / 3, dtype=F64), Simplex()
    )
    p = counts / 10
    torch.testing.assert_close(found.theta[0], p, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.covariance[0], (torch.diag(p) - p[:, None] * p) / 10, rtol=1e-4, atol=1e-6)


def test_errors_are_those_of_repeated_fits():
    """Location and scale of Student's t: 300 fits of 100 observations, to 4 errors of a standard deviation."""
    zero = torch.zeros(300, 1, dtype=F64)
    q = StudentT(zero + 5, zero, zero)
    x = q.sample(q.noise(KEY, 100))

    def log_likelihood(theta):
        return StudentT(5 + 0 * theta[..., :1], theta[..., :1], theta[..., 1:]).log_prob(x[:, None]).sum(0)

    found = maximum_likelihood(log_likelihood, torch.zeros(300, 2, dtype=F64))
    spread, stated = found.theta.std(0), found.standard_error.mean(0)
    assert ((spread - stated).abs() <= 4 * stated / 600**0.5).all(), (spread, stated)


def test_what_is_not_identified_has_no_errors():
    """A sum of two parameters beside a datum where both are known; alone it is refused."""
    known = torch.tensor([0.0, 1.0], dtype=F64)

    def log_likelihood(theta):
        return -(theta.sum(-1) - 1).square() - known * theta[..., 0].square()

    found = maximum_likelihood(log_likelihood, torch.zeros(2, 2, dtype=F64), steps=20)
    assert found.covariance[0].isnan().all()
    assert found.covariance[1].isfinite().all()
    assert "no errors (data 0), the observed information is not positive definite there" in found.verdict()
    with pytest.raises(ValueError, match="expected modes, got none"):
        maximum_likelihood(lambda theta: -theta.sum(-1).square(), torch.ones(1, 2, dtype=F64), steps=20)
