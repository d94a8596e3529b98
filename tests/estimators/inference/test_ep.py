"""Expectation propagation: exact with one datum, near quadrature with thirty where Laplace is not, and refusals."""

import math
from typing import NamedTuple

import pytest
import torch
from sklearn.datasets import load_breast_cancer

from jensen.core import keys
from jensen.core.models import bayes
from jensen.estimators import evidence
from jensen.estimators.inference import ep, grid
from jensen.estimators.inference._tilted import logistic, probit

F64, SCALE = torch.float64, 1.0
X = keys.normal(keys.key(2), (1, 24, 2), F64)[0]
Y = (0.3 * X @ torch.tensor([1.0, -0.3], dtype=F64) + keys.normal(keys.key(3), (1, 24), F64)[0] > 0).double()
POSTERIOR = bayes.condition(bayes.logistic_regression(2, SCALE), {"x": X, "y": Y})
START = torch.zeros(1, 2, dtype=F64)


def of_probit(w):
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


def covariance(q):
    factor = torch.tril(q.lower[0], -1) + torch.diag(q.log_scale[0].exp())
    return factor @ factor.T


@pytest.mark.parametrize("link", ep.LINKS)
def test_moments_and_evidence_are_near_those_of_quadrature_and_the_mode_is_not_the_mean(link):
    log_p = of_probit if link == "probit" else POSTERIOR
    exact, _ = grid.fit(keys.key(0), log_p, START)
    found, trace = ep.fit(keys.key(0), X, Y, link, SCALE)
    assert trace.converged
    of_ep = errors(found.q.loc[0], covariance(found.q), trace.objective[-1], exact)
    assert all(error < bar for error, bar in zip(of_ep, (0.01, 0.004, 0.001), strict=True)), of_ep
    assert (found.evidence.log_p[0] - exact.log_p).abs() < 4.5 * found.evidence.standard_error[0]
    torch.testing.assert_close(sum(trace.terms.values()), trace.objective)
    normal = evidence.laplace(log_p, evidence.find_mode(log_p, START).z)
    of_laplace = errors(normal.mode[0], normal.covariance[0], normal.log_p[0], exact)
    assert of_laplace[0] > 0.1  # the mode is not the mean


def test_second_order_takes_most_of_the_error_of_standard_deviations_and_evidence_where_classes_are_apart():
    x = X[:, :1]
    y = (x[:, 0] > 0).double()
    posterior = bayes.condition(bayes.logistic_regression(1, 3.0), {"x": x, "y": y})
    exact, _ = grid.fit(keys.key(0), posterior, START[:, :1])
    plain, by_sites = ep.fit(keys.key(0), x, y, scale=3.0, corrected=False)
    found, trace = ep.fit(keys.key(0), x, y, scale=3.0)
    before = errors(plain.q.loc[0], covariance(plain.q), by_sites.objective[-1], exact)
    after = errors(found.q.loc[0], covariance(found.q), trace.objective[-1], exact)
    assert before[1] > 0.04
    assert all(now < was / 3 for now, was in zip(after[1:], before[1:], strict=True)), (before, after)
    torch.testing.assert_close(trace.terms["sites"], by_sites.objective)


@pytest.mark.slow
def test_breast_cancer_beside_importance_sampling():
    """31 weights: means within 0.015 sd, sds within 1.5 %, log Z within 0.01 nats; the reference is known to 0.004.

    By 200,000 draws of a Student-t about EP's normal, whose weights are bounded.
    """
    x, y = (torch.as_tensor(each) for each in load_breast_cancer(return_X_y=True))
    x = torch.cat([torch.ones(len(x), 1, dtype=F64), (x - x.mean(0)) / x.std(0, correction=0)], 1)
    posterior = bayes.condition(bayes.logistic_regression(x.shape[1]), {"x": x, "y": y.double()})
    found, trace = ep.fit(keys.key(0), x, y.double())
    log_w, z = student_draws(posterior, found.q, 12, 10, 20_000)
    log_z = log_w.logsumexp(0) - math.log(len(log_w))
    share = torch.softmax(log_w, 0)
    mean = share @ z
    deviation = z - mean
    variance = share @ deviation.square()
    of_mean = (share[:, None] * deviation).square().sum(0).sqrt() / variance.sqrt()
    of_sd = (share[:, None] * (deviation.square() - variance)).square().sum(0).sqrt() / (2 * variance)
    assert of_mean.max() < 0.004
    assert of_sd.max() < 0.004
    exact = Exact(mean, torch.diag(variance), log_z)
    assert all(
        error < bar
        for error, bar in zip(
            errors(found.q.loc[0], covariance(found.q), trace.objective[-1], exact), (0.015, 0.015, 0.01), strict=True
        )
    )


class Exact(NamedTuple):
    mean: torch.Tensor
    covariance: torch.Tensor
    log_p: torch.Tensor


def student_draws(log_p, q, degrees, blocks, s):
    """Log weights of draws about a normal with its scales, and the draws."""
    d = q.loc.shape[1]
    half = torch.tensor([(degrees + d) / 2, degrees / 2], dtype=F64)
    normaliser = half.lgamma() @ torch.tensor([1.0, -1.0], dtype=F64) - d / 2 * math.log(degrees * math.pi)
    log_w, z = [], []
    for i in range(blocks):
        normal_key, chi_key = keys.split(keys.fold_in(keys.key(1), i))
        t = keys.normal(normal_key, (s, d), F64)
        chi = keys.normal(chi_key, (s, degrees), F64).square().sum(1)
        t = t * (degrees / chi).sqrt()[:, None]
        log_q = normaliser - (degrees + d) / 2 * torch.log1p(t.square().sum(1) / degrees) - q.log_scale.sum()
        z.append(q.loc + t * q.log_scale.exp() + t @ torch.tril(q.lower[0], -1).T)
        log_w.append(log_p(z[-1][:, None])[:, 0] - log_q)
    return torch.cat(log_w), torch.cat(z)


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


def test_sites_that_cycle_are_damped_and_wide_predictors_have_more_points():
    """Classes far apart under a wide prior: at a step of 0.5 sites alternate for ever."""
    x = keys.normal(keys.key(200), (1, 200, 1), F64)[0]
    y = (x[:, 0] > 0).double()
    state = ep.init(x, y, "probit", 100.0)
    for _ in range(60):
        state, info = ep.update(state)
    assert info.mismatch > 1e-3
    _, trace = ep.fit(keys.key(0), x, y, "probit", 100.0)
    assert trace.converged
    mean, variance = torch.tensor([30.0], dtype=F64), torch.tensor([3600.0], dtype=F64)
    t = torch.linspace(-12, 12, 200_001, dtype=F64)
    log_w = torch.nn.functional.logsigmoid(mean + 60 * t) - 0.5 * t.square() - 0.5 * math.log(2 * math.pi)
    torch.testing.assert_close(logistic(mean, variance).log_mass[0], torch.trapezoid(log_w.exp(), t).log())


@pytest.mark.parametrize("moments", [logistic, probit])
def test_cumulants_of_tilted_distributions_are_derivatives_of_the_log_mass(moments):
    """Of log E exp(s t) = s^2 / 2 + log_mass(mean + s sd) - log_mass(mean)."""
    mean, variance = torch.tensor([0.3, -2.0], dtype=F64), torch.tensor([2.0, 0.5], dtype=F64)
    h = 0.03 * torch.arange(-3, 4, dtype=F64)
    of_s = torch.stack([moments(mean + s * variance.sqrt(), variance).log_mass + s**2 / 2 for s in h])
    first, second, third = (
        torch.tensor(weights, dtype=F64) / 0.03**power @ of_s
        for power, weights in enumerate(
            [
                [-1 / 60, 3 / 20, -3 / 4, 0, 3 / 4, -3 / 20, 1 / 60],
                [1 / 90, -3 / 20, 3 / 2, -49 / 18, 3 / 2, -3 / 20, 1 / 90],
                [1 / 8, -1, 13 / 8, 0, -13 / 8, 1, -1 / 8],
            ],
            1,
        )
    )
    found = moments(mean, variance)
    torch.testing.assert_close(found.mean, first, rtol=0, atol=1e-7)
    torch.testing.assert_close(found.variance, second, rtol=0, atol=1e-6)
    torch.testing.assert_close(found.third, third, rtol=0, atol=1e-5)


def test_cumulants_of_a_probit_in_its_far_tail_are_those_of_its_asymptote():
    """Phi(a) is phi(a) / -a there: log Phi'' = -1 + 1 / r^2 and log Phi''' = -2 / r^3, to six digits."""
    found = probit(torch.tensor([-1e4], dtype=F64), torch.tensor([1.0], dtype=F64))
    r = -1e4 / math.sqrt(2)
    torch.testing.assert_close(found.variance, torch.tensor([0.5 + 0.5 / r**2], dtype=F64), rtol=1e-14, atol=0)
    torch.testing.assert_close(found.third, torch.tensor([-2 * 0.5**1.5 / r**3], dtype=F64), rtol=1e-6, atol=0)


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
