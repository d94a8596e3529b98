"""Precisions of groups and the noise by evidence, beside exact regression and SciPy's maxima of dense determinants."""

import math
from functools import partial

import pytest
import torch
from scipy.optimize import minimize
from torch.distributions import MultivariateNormal

from jensen.core import keys, trees
from jensen.core.nn import linear, mlp
from jensen.estimators.inference import network_evidence, network_laplace
from jensen.estimators.inference.curvature import Categorical, Gaussian
from jensen.estimators.inference.network_laplace import STRUCTURES

F64, KEY, N = torch.float64, keys.key(3), 20
X = keys.normal(keys.key(1), (1, N, 3), F64)[0]
ONES = torch.cat([X, torch.ones(N, 1, dtype=F64)], 1)
Y = X @ torch.tensor([[1.0, -2], [0, 1], [0.5, 1]], dtype=F64) + 3 + 0.5 * keys.normal(keys.key(2), (1, N, 2), F64)[0]
DEEP = mlp.init(KEY, (3, 4, 2), dtype=F64)
FIT = partial(network_laplace.fit, mlp.apply, DEEP, X, Y, Gaussian(0.7), groups=tuple(DEEP), noise=True)


def regression(weight, bias, sigma):
    """Of prior precisions and noise: the mode (weights and bias), and log p(y)."""
    precisions = torch.tensor([weight] * 3 + [bias], dtype=F64)
    mode = torch.linalg.solve(ONES.T @ ONES / sigma**2 + precisions.diag(), ONES.T @ Y / sigma**2)
    covariance = sigma**2 * torch.eye(N, dtype=F64) + ONES / precisions @ ONES.T
    log_p = MultivariateNormal(torch.zeros(N, dtype=F64), covariance).log_prob(Y.T).sum()
    return {"weight": mode[:-1].T.contiguous(), "bias": mode[-1]}, log_p


def test_evidence_of_groups_is_that_of_linear_regression():
    parameters, exact = regression(2.0, 0.1, 0.5)
    fit = partial(network_laplace.fit, linear.apply, parameters, X, Y, Gaussian(0.5), "full")
    posterior, _ = fit([2.0, 0.1], groups=("weight", "bias"))
    torch.testing.assert_close(posterior.log_evidence, exact, rtol=0, atol=1e-10)
    assert posterior.climb < 1e-20
    precisions = torch.tensor([2.0, 2, 2, 0.1], dtype=F64)
    covariance = torch.linalg.inv(ONES.T @ ONES / 0.25 + precisions.diag())
    spread = posterior.outputs(X).covariance
    expected = (ONES @ covariance * ONES).sum(1)[:, None, None] * torch.eye(2, dtype=F64)
    torch.testing.assert_close(spread, expected, rtol=0, atol=1e-10)
    for planted in (fit([0.1, 2.0], groups=("weight", "bias")), fit(2.0)):
        assert (planted[0].log_evidence - exact).abs() > 0.1
    assert "0.1 of bias" in fit([50.0, 0.1], groups=("weight", "bias"))[0].verdict()


def test_rounds_of_fits_find_the_maximum_of_the_regressions_evidence():
    """With the mode of each round's precisions: over two precisions and the noise, by SciPy."""
    found = minimize(lambda logs: -regression(*map(math.exp, logs))[1].item(), [0.0, 0.0, 0.0], tol=1e-10)
    weight, bias, sigma = 1.0, 1.0, 1.0
    for _ in range(60):
        parameters, _ = regression(weight, bias, sigma)
        posterior, trace = network_laplace.fit(
            linear.apply, parameters, X, Y, Gaussian(sigma), "full", groups=("weight", "bias"), noise=True
        )
        (weight, bias), sigma = posterior.prior_precision.tolist(), posterior.sigma
        assert trace.converged
    torch.testing.assert_close([weight, bias, sigma], [math.exp(log) for log in found.x], rtol=1e-3, atol=0)
    torch.testing.assert_close(posterior.log_evidence.item(), -found.fun, rtol=0, atol=1e-5)


def dense(posterior):
    """log p(data) about the parameters, as a function of the logs of precisions and noise."""
    values, basis = posterior.curvature
    unit = torch.eye(len(values), dtype=F64)
    h = posterior.sigma**2 * (basis.into(unit).mul(values) @ basis.into(unit).T)
    errors, vector = (mlp.apply(DEEP, X) - Y).square().sum(), posterior.linearised.vector()

    def log_p(logs):
        precisions, sigma = torch.tensor(logs[:-1], dtype=F64).exp()[posterior.groups.of], math.exp(logs[-1])
        likelihood = -0.5 * errors / sigma**2 - 0.5 * Y.numel() * math.log(2 * math.pi * sigma**2)
        prior = -0.5 * (precisions * vector.square()).sum() + 0.5 * precisions.log().sum()
        return (likelihood + prior - 0.5 * torch.logdet(h / sigma**2 + precisions.diag())).item()

    return log_p


@pytest.mark.parametrize("curvature", STRUCTURES)
def test_precisions_of_layers_and_noise_have_the_most_evidence_which_never_falls(curvature):
    posterior, trace = FIT(curvature)
    assert trace.converged
    assert trace.fall() == 0
    log_p = dense(posterior)
    here = [*posterior.prior_precision.log().tolist(), math.log(posterior.sigma)]
    torch.testing.assert_close(posterior.log_evidence.item(), log_p(here), rtol=0, atol=1e-9)
    best = minimize(lambda logs: -log_p(logs), [0.5, -0.5, 0.3], tol=1e-9)
    torch.testing.assert_close(-best.fun, log_p(here), rtol=0, atol=1e-4)
    torch.testing.assert_close(here, best.x.tolist(), rtol=0, atol=0.02)
    one, _ = FIT(curvature, groups=())
    assert one.log_evidence < posterior.log_evidence
    assert one.prior_precision.shape == (1,)


PLANTED = {
    "noise without what the parameters took": lambda p: p.with_noise(p.sigma * (p.squared_errors.item() / 40) ** 0.5),
    "all effective parameters for each group": lambda p: p.with_precisions(p.effective.sum() / p.squares),
    "all parameters for each group": lambda p: p.with_precisions(torch.tensor([16.0, 10.0], dtype=F64) / p.squares),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_planted_maxima_have_less_evidence(planted):
    posterior, _ = FIT("full")
    assert PLANTED[planted](posterior).log_evidence < posterior.log_evidence - 0.01


@pytest.mark.parametrize("curvature", STRUCTURES)
def test_another_noise_is_a_fit_with_it(curvature):
    fit = partial(network_laplace.fit, mlp.apply, DEEP, X, Y, curvature=curvature, groups=tuple(DEEP))
    moved, direct = (
        fit(Gaussian(0.7), prior_precision=[2.0, 3.0])[0].with_noise(0.3),
        fit(Gaussian(0.3), prior_precision=[2.0, 3.0])[0],
    )
    assert moved.sigma == 0.3
    for of in (lambda p: p.log_evidence, lambda p: p.climb, lambda p: p.predict(X).variance, lambda p: p.effective):
        torch.testing.assert_close(of(moved), of(direct))
    tuned, _ = fit(Gaussian(0.3), prior_precision=[2.0, 3.0], noise=True)
    assert tuned.prior_precision.tolist() == [2.0, 3.0]
    again, _ = fit(Gaussian(30.0), prior_precision=[2.0, 3.0], noise=True)
    assert abs(again.sigma / tuned.sigma - 1) < 1e-3


@pytest.mark.parametrize("curvature", STRUCTURES)
def test_draws_and_their_density_are_those_of_the_groups(curvature):
    posterior, _ = FIT(curvature, prior_precision=[0.5, 7.0], noise=False)
    values, basis = posterior.curvature
    p = len(values)
    unit = torch.eye(p, dtype=F64)
    precision = (
        basis.into(unit).mul(values) @ basis.into(unit).T + posterior.prior_precision[posterior.groups.of].diag()
    )
    draws = posterior.draws(KEY, 8 * p)
    off = posterior.linearised.layout.value.flat(
        {path: t - trees.paths(DEEP)[path] for path, t in trees.paths(draws).items()}
    )
    exact = MultivariateNormal(torch.zeros(p, dtype=F64), precision_matrix=precision)
    torch.testing.assert_close(posterior.log_prob(draws), exact.log_prob(off))
    squares = (off @ precision * off).sum()  # chi-squared
    assert abs(squares - 8 * p * p) < 4.5 * math.sqrt(16 * p * p)
    jacobian = posterior.linearised.jacobian(X)
    covariance = jacobian @ torch.linalg.inv(precision) @ jacobian.mT
    torch.testing.assert_close(posterior.outputs(X).covariance, covariance)
    marginal = torch.linalg.inv(precision).diagonal() * posterior.prior_precision[posterior.groups.of]
    expected = posterior.groups.sums(1 - marginal)
    torch.testing.assert_close(posterior.effective, expected)


def test_steps_halve_where_the_evidence_would_fall(monkeypatch):
    """Of steps four times as long, which would go beyond the maximum and back."""
    half_way = network_evidence._half_way
    monkeypatch.setattr(network_evidence, "_half_way", lambda now, target: 4 * half_way(now, target))
    posterior, trace = FIT("full")
    assert trace.fall() == 0
    torch.testing.assert_close(posterior.log_evidence, FIT("full")[0].log_evidence, rtol=0, atol=1e-3)


def test_refusals():
    fit, zeros = (
        partial(network_laplace.fit, mlp.apply, DEEP, X, Y, Gaussian(0.7)),
        {**DEEP, "1": trees.map(torch.zeros_like, DEEP["1"])},
    )
    exact = mlp.apply(DEEP, X)
    labels = torch.zeros(N, dtype=torch.int64)
    wrong = {
        "each random parameter in one of groups 0, got 1.weight in 0": lambda: fit(groups=("0",)),
        r"one of groups 0, 1, 1\.bias, got 1\.bias in 2": lambda: fit(groups=("0", "1", "1.bias")),
        "groups of paths 0.weight, .* got '2': leave it out": lambda: fit(groups=("0", "1", "2")),
        "whole layers for kfac, got 0.weight and 0.bias in": lambda: fit(groups=("0.weight", "0.bias", "1")),
        "prior_precision of 2 groups, got 3": lambda: fit("kfac", [1.0, 2, 3], groups=tuple(DEEP)),
        "each of prior_precision in": lambda: fit("kfac", [1.0, 0.0], groups=tuple(DEEP)),
        "zeros in group 1: give prior_precision": lambda: network_laplace.fit(
            mlp.apply, zeros, X, Y, Gaussian(), groups=tuple(DEEP)
        ),
        "errors of the network, got none": lambda: network_laplace.fit(
            mlp.apply, DEEP, X, exact, Gaussian(), noise=True
        ),
        "sigma in": lambda: FIT("diagonal")[0].with_noise(0.0),
    }
    for said, call in wrong.items():
        with pytest.raises(ValueError, match=said):
            call()
    for said, call in {
        "groups, a tuple of paths": lambda: fit(groups="1"),
        "noise of a Gaussian likelihood, got a Categorical": lambda: network_laplace.fit(
            mlp.apply, DEEP, X, labels, Categorical(), noise=True
        ),
    }.items():
        with pytest.raises(TypeError, match=said):
            call()
