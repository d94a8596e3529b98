"""The ready models' densities against SciPy's, one number at a time, and their parts."""

import math

import numpy as np
import pytest
import torch
from scipy import special, stats

from jensen.core import keys
from jensen.core.models import bayes
from jensen.core.models.bayes.recurrences import linear_recurrence
from jensen.laws.bayesian import POSTERIORS

KEY = keys.key(12)
normal, half_normal, half_cauchy = stats.norm.logpdf, stats.halfnorm.logpdf, stats.halfcauchy.logpdf


def linear(t, data):
    return normal(t["weights"]).sum() + normal(data["y"], data["x"] @ t["weights"], 1).sum()


def noisy(t, data):
    prior = normal(t["weights"], 0, 10).sum() + half_cauchy(t["sigma"], 0, 2.5)
    return prior + normal(data["y"], data["x"] @ t["weights"], t["sigma"]).sum()


def flat(t, data):
    return half_cauchy(t["sigma"], 0, 2.5) + normal(data["y"], data["x"] @ t["weights"], t["sigma"]).sum()


def robust(t, data):
    prior = normal(t["weights"], 0, 10).sum() + half_cauchy(t["sigma"], 0, 2.5)
    prior += stats.gamma.logpdf(t["df"], 2, scale=10)
    return prior + stats.t.logpdf(data["y"], t["df"], data["x"] @ t["weights"], t["sigma"]).sum()


def logistic(t, data):
    p = special.expit(data["x"] @ t["weights"])
    return normal(t["weights"]).sum() + stats.bernoulli.logpmf(data["y"], p).sum()


def horseshoe(t, data):
    weights = t["tau"] * t["lambda"] * t["raw"]
    prior = normal(t["raw"]).sum() + half_cauchy(t["lambda"]).sum() + half_cauchy(t["tau"])
    prior += half_normal(t["sigma"], 0, 2)
    return prior + normal(data["y"], data["x"] @ weights, t["sigma"]).sum()


def hierarchical(t, data):
    raw = t["alpha_raw"] if "alpha_raw" in t else (t["alpha"] - t["mu"]) / t["tau"]
    prior = normal(t["mu"], 0, 10) + normal(t["slope"], 0, 10) + half_normal(t["tau"]) + half_normal(t["sigma"])
    prior += normal(raw).sum() - (0 if "alpha_raw" in t else len(raw) * math.log(t["tau"]))
    total = prior
    for x, y, j in zip(data["x"], data["y"], data["group"], strict=True):
        total += normal(y, t["mu"] + t["tau"] * raw[j] + t["slope"] * x, t["sigma"])
    return total


def schools(t, data):
    prior = normal(t["mu"], 0, 5) + half_cauchy(t["tau"], 0, 5)
    if "theta" in t:
        prior += normal(t["theta"], t["mu"], t["tau"]).sum()
        return prior + normal(data["y"], t["theta"], data["sigma"]).sum()
    return (
        prior
        + normal(t["theta_raw"]).sum()
        + normal(data["y"], t["mu"] + t["tau"] * t["theta_raw"], data["sigma"]).sum()
    )


def mixture(t, data):
    k = len(t["first"])
    prior = stats.dirichlet.logpdf(t["weights"] / t["weights"].sum(), [5.0] * k) + math.log(math.factorial(k))
    loc = np.concatenate([t["first"][:, None], t.get("rest", np.zeros((k, 0)))], 1)
    factor = t.get("correlation", np.ones((k, 1, 1)))
    prior += normal(loc, 0, 2).sum() + half_normal(t["scale"], 0, 2).sum()
    prior += sum(lkj(each, 2.0) for each in factor)
    covariance = [s[:, None] * f @ f.T * s for s, f in zip(t["scale"], factor, strict=True)]
    each = [
        sum(w * stats.multivariate_normal.pdf(y, m, c) for w, m, c in zip(t["weights"], loc, covariance, strict=True))
        for y in data["y"]
    ]
    return prior + np.log(each).sum()


def lkj(factor, shape):
    """Of the entries of a factor, by the density of the correlations and the Jacobian."""
    d = len(factor)
    if d == 1:
        return 0.0
    norm = 1.0
    for j in range(1, d):  # of betas for each column of partial correlations
        half = shape + (d - 1 - j) / 2
        norm *= (2 ** (2 * half - 1) * special.beta(half, half)) ** (d - j)
    jacobian = np.prod([factor[i, i] ** (d - 1 - i) for i in range(1, d)])
    return (shape - 1) * np.log(np.linalg.det(factor @ factor.T)) + np.log(jacobian) - np.log(norm)


def autoregression(t, data):
    total, y = normal(t["mu"], 0, 10) + normal(t["phi"], 0, 10).sum() + half_cauchy(t["sigma"], 0, 2.5), data["y"]
    for i in range(2, len(y)):
        total += normal(y[i], t["mu"] + t["phi"][0] * y[i - 1] + t["phi"][1] * y[i - 2], t["sigma"])
    return total


def arma(t, data):
    total, y = normal(t["mu"], 0, 10) + normal(t["phi"], 0, 2) + normal(t["theta"], 0, 2), data["y"]
    total += half_cauchy(t["sigma"], 0, 2.5)
    mean = t["mu"] + t["phi"] * t["mu"]
    for i in range(len(y)):
        error = y[i] - mean
        total += normal(error, 0, t["sigma"])
        mean = t["mu"] + t["phi"] * y[i] + t["theta"] * error
    return total


def garch(t, data):
    total, variance = normal(t["mu"], 0, 10) + half_cauchy(t["alpha0"], 0, 2.5) + math.log(2), data["sigma0"] ** 2
    for y in data["y"]:
        total += normal(y, t["mu"], math.sqrt(variance))
        variance = t["alpha0"] + t["shares"][0] * (y - t["mu"]) ** 2 + t["shares"][1] * variance
    return total


def volatility(t, data):
    total = normal(t["mu"], 0, 10) + half_normal(t["sigma"]) + normal(t["raw"]).sum()
    total += stats.beta.logpdf((t["phi"] + 1) / 2, 20, 1.5) - math.log(2)
    h = t["mu"] + t["sigma"] * t["raw"][0] / math.sqrt(1 - t["phi"] ** 2)
    for i, y in enumerate(data["y"]):
        h = h if i == 0 else t["mu"] + t["phi"] * (h - t["mu"]) + t["sigma"] * t["raw"][i]
        total += normal(y, 0, math.exp(h / 2))
    return total


def process(t, data):
    prior = stats.invgamma.logpdf(t["length"], 5, scale=5) + half_normal(t["amplitude"], 0, 2) + half_normal(t["sigma"])
    squares = ((data["x"][:, None] - data["x"]) ** 2).sum(-1)
    covariance = t["amplitude"] ** 2 * np.exp(-squares / (2 * t["length"] ** 2)) + t["sigma"] ** 2 * np.eye(
        len(squares)
    )
    return prior + stats.multivariate_normal.logpdf(data["y"], np.zeros(len(squares)), covariance)


def response(t, data):
    total = normal(t["mu_b"], 0, 5) + half_cauchy(t["sigma_a"], 0, 2) + half_cauchy(t["sigma_b"], 0, 2)
    total += stats.lognorm.logpdf(t["a"], t["sigma_a"]).sum() + normal(t["b"], t["mu_b"], t["sigma_b"]).sum()
    total += normal(t["theta"]).sum()
    p = special.expit(t["a"] * (t["theta"][:, None] - t["b"]))
    return total + stats.bernoulli.logpmf(data["y"], p).sum()


def network(t, data):
    prior = normal(t["hidden"], 0, 2**-0.5).sum() + normal(t["bias"]).sum() + normal(t["out"], 0, 0.5).sum()
    prior += normal(t["offset"]) + half_normal(t["sigma"])
    mean = [t["out"] @ np.tanh(t["hidden"] @ x + t["bias"]) + t["offset"] for x in data["x"]]
    return prior + normal(data["y"], mean, t["sigma"]).sum()


ORACLES = {
    "linear regression": linear,
    "noisy regression": noisy,
    "flat regression": flat,
    "robust regression": robust,
    "logistic regression": logistic,
    "horseshoe regression": horseshoe,
    "hierarchical regression": hierarchical,
    "hierarchical regression, centred": hierarchical,
    "eight schools": schools,
    "eight schools, centred": schools,
    "Gaussian mixture": mixture,
    "Gaussian mixture, d = 3": mixture,
    "autoregression": autoregression,
    "arma": arma,
    "garch": garch,
    "stochastic volatility": volatility,
    "Gaussian process": process,
    "item response": response,
    "Bayesian network": network,
}


def test_every_ready_model_has_an_oracle():
    assert ORACLES.keys() == POSTERIORS.keys()


@pytest.mark.parametrize("name", ORACLES)
def test_the_density_is_that_of_scipy(name):
    posterior = POSTERIORS[name]
    z = posterior.starts(KEY, 3)[:, None]
    theta = posterior.constrained(z)
    data = {name: value.numpy() for name, value in posterior.data.items()}
    rows = [{name: value[i, 0].numpy() for name, value in theta.items()} for i in range(len(z))]
    expected = torch.tensor([ORACLES[name](row, data) for row in rows], dtype=torch.float64)
    parts = z.split([support.d for support in posterior.support.values()], -1)
    jacobian = sum(support.forward(part)[1] for support, part in zip(posterior.support.values(), parts, strict=True))
    torch.testing.assert_close((posterior(z) - jacobian)[:, 0], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ORACLES)
def test_a_sound_model_passes_its_check(name):
    bayes.check(POSTERIORS[name], KEY)


@pytest.mark.parametrize(
    ("density", "expected"),
    [
        (bayes.densities.exponential(torch.tensor(0.7), 2.0), stats.expon.logpdf(0.7, scale=0.5)),
        (bayes.densities.poisson(torch.tensor(3), torch.tensor(1.7)), stats.poisson.logpmf(3, 1.7)),
        (bayes.densities.poisson(torch.tensor(0), torch.tensor(0.0)), 0.0),
        (bayes.densities.student_t(torch.tensor(0.3), 1e7), stats.norm.logpdf(0.3)),
        (bayes.densities.student_t(torch.tensor(0.3), 0.01), stats.t.logpdf(0.3, 0.01)),
        (bayes.densities.half_cauchy(torch.tensor(1e30), 2.0), stats.halfcauchy.logpdf(1e30, scale=2)),
        (bayes.densities.inverse_gamma(torch.tensor(0.3), 3.0, 2.0), stats.invgamma.logpdf(0.3, 3, scale=2)),
        (bayes.densities.lkj_cholesky(torch.eye(3), 1.0), -math.log(math.pi**2 / 2)),  # the elliptope's volume
        (bayes.densities.lkj_cholesky(torch.tensor([[1.0, 0.0], [0.6, 0.8]]), 2.0), math.log(0.75 * 0.64)),
    ],
)
def test_densities_are_those_of_scipy_in_float32(density, expected):
    assert density.item() == pytest.approx(expected, abs=2e-6, rel=2e-6)


def test_draws_of_correlations_have_betas_for_marginals():
    """Each correlation of LKJ(2) in d = 3 is 2 Beta(2.5, 2.5) - 1."""
    factor = bayes.draws.lkj_cholesky(KEY, (20_000, 3, 3), 2.0)
    correlations = factor @ factor.mT
    for i, j in ((1, 0), (2, 0), (2, 1)):
        assert stats.kstest((correlations[:, i, j].numpy() + 1) / 2, stats.beta(2.5, 2.5).cdf).pvalue > 1e-4


@pytest.mark.parametrize("length", [1, 2, 7, 64, 100])
def test_recurrences_are_loops(length):
    u, factor = keys.normal(KEY, (3, length), torch.float64), torch.tensor([0.9, -1.1, 0.0], dtype=torch.float64)
    h, expected = torch.zeros(3, dtype=torch.float64), []
    for t in range(length):
        h = factor * h + u[:, t]
        expected.append(h)
    torch.testing.assert_close(linear_recurrence(u, factor), torch.stack(expected, -1))


@pytest.mark.parametrize("name", ORACLES)
def test_no_samples_have_no_densities(name):
    posterior = POSTERIORS[name]
    z = posterior.start[:0][None]
    assert posterior(z).shape == (1, 0)
    assert posterior.flat(z).shape == (1, 0, len(posterior.flat_names))


def test_series_have_no_minibatches():
    with pytest.raises(ValueError, match="independent data"):
        POSTERIORS["garch"].minibatch(torch.arange(3))


def test_effects_are_reported_beside_what_they_are_made_of():
    posterior = POSTERIORS["hierarchical regression"]
    reported = posterior.reported(posterior.starts(KEY, 4))
    expected = reported["mu"][:, None] + reported["tau"][:, None] * reported["alpha_raw"]
    torch.testing.assert_close(reported["alpha"], expected)
    assert posterior.flat_names[-3:] == ("alpha[0]", "alpha[1]", "alpha[2]")
