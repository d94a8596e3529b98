import math

import pytest
import torch

from jensen.core import keys
from jensen.core.distributions import DiagNormal
from jensen.estimators.evidence import (
    Evidence,
    Hamiltonian,
    annealed_importance,
    bayes_factor,
    bic,
    bridge,
    importance,
    linear,
    posterior_probabilities,
    smc,
)
from tests.estimators import normalisers as gates
from tests.estimators.normalisers import F64, KEY

ORACLE, PRIOR = gates.linear_gaussian()
RIVAL = ORACLE._replace(weight=0.5 * ORACLE.weight)


def evidence(log_p, error):
    log_p, error = (torch.tensor(t, dtype=F64) for t in (log_p, error))
    return Evidence(log_p, error, torch.ones_like(log_p), torch.zeros_like(log_p), {})


def test_the_bayes_factor_is_within_its_standard_errors():
    first = annealed_importance(ORACLE.log_joint, PRIOR, KEY, 1000, linear(10), chunk=1000)
    second = importance(RIVAL.log_joint, PRIOR, keys.fold_in(KEY, 1), 5000, chunk=5000)
    factor = bayes_factor(first, second)
    truth = ORACLE.log_evidence() - RIVAL.log_evidence()
    assert ((factor.log_factor - truth).abs() < 4 * factor.standard_error).all()
    assert (factor.standard_error > torch.maximum(first.standard_error, second.standard_error)).all()


def test_probabilities_are_shares_of_the_evidence():
    models = [evidence([0.0, -1000.0], [0.1, 0.1]), evidence([math.log(3), -math.inf], [0.2, math.inf])]
    found = posterior_probabilities(models)
    torch.testing.assert_close(found.probability, torch.tensor([[0.25, 1.0], [0.75, 0.0]], dtype=F64))
    # of two models only the difference counts: p (1 - p) sqrt(e_1^2 + e_2^2)
    error = 0.25 * 0.75 * math.hypot(0.1, 0.2)
    torch.testing.assert_close(found.standard_error, torch.tensor([[error, 0.0], [error, 0.0]], dtype=F64))
    prior = torch.tensor([0.75, 0.25], dtype=F64).log()
    torch.testing.assert_close(posterior_probabilities(models, prior).probability[0, 0].item(), 0.5)


def test_the_error_of_probabilities_is_their_spread():
    centre, errors = torch.tensor([0.0, 0.5, -0.7], dtype=F64), torch.tensor([0.05, 0.1, 0.02], dtype=F64)
    draws = centre + errors * keys.normal(KEY, (20_000, 3), F64)
    spread = torch.softmax(draws, 1).std(0)
    claimed = posterior_probabilities([evidence([c], [e]) for c, e in zip(centre, errors, strict=True)])
    torch.testing.assert_close(claimed.standard_error[:, 0], spread, rtol=4 / 40_000**0.5, atol=0)  # 4 of its errors


def test_an_infinite_error_is_everyones_and_only_of_a_share():
    """NaN is none of these: without knowing one evidence, no share is known, but one of 0 takes no part."""
    inf = math.inf
    cases = [
        ([0.0, -1.0], [inf, 0.1], [inf, inf]),
        ([0.0, -1000.0], [0.1, inf], [inf, inf]),
        ([0.0, -inf], [0.1, inf], [0.0, 0.0]),
        ([0.0], [inf], [0.0]),
    ]
    for log_p, errors, expected in cases:
        found = posterior_probabilities([evidence([a], [b]) for a, b in zip(log_p, errors, strict=True)])
        assert found.standard_error[:, 0].tolist() == expected


@pytest.mark.parametrize("gap", [0.5, 9.0, 30.0])
def test_errors_of_probabilities_near_0_and_1_do_not_cancel_in_float32(gap):
    """Of two models either error is p (1 - p) sqrt(e_1^2 + e_2^2), also where 1 - p is less than float32 can tell."""
    one, other = (Evidence(*torch.tensor([[a], [b], [1], [0]]), {}) for a, b in ((gap, 0.3), (0.0, 0.0)))
    error = posterior_probabilities([one, other]).standard_error[:, 0]
    exact = 0.3 * math.exp(-gap) / (1 + math.exp(-gap)) ** 2
    assert error.dtype == torch.float32
    torch.testing.assert_close(error, torch.full((2,), exact), rtol=1e-5, atol=0)


def test_bic_is_twice_the_log_evidence_of_a_unit_information_prior():
    """y ~ N(mu, 1), mu ~ N(mean of y, 1): log p(y) = log L - log(1 + N) / 2."""
    n = 1000
    y = keys.normal(KEY, (n,), F64)
    log_likelihood = torch.distributions.Normal(y.mean(), 1.0).log_prob(y).sum()
    exact = log_likelihood - 0.5 * math.log(1 + n)
    torch.testing.assert_close(-bic(log_likelihood, 1, n) / 2, exact, rtol=0, atol=1e-3)
    assert bic(log_likelihood, 2, n) > bic(log_likelihood, 1, n)


def test_eight_schools_by_three_methods():
    """-31.3114 by quadrature over log tau, the normal means integrated exactly."""
    oracle, q = gates.eight_schools()
    truth = oracle.log_evidence()
    assert abs(truth.item() + 31.3114) < 1e-4
    annealed = annealed_importance(oracle.log_joint, q, KEY, 2000, linear(40), Hamiltonian(3), chunk=2000)
    tempered = smc(oracle.log_joint, q, KEY, 12_000, islands=12, ess=0.7)
    fit, rest = tempered.z.chunk(2)
    bridged = bridge(oracle.log_joint, DiagNormal(fit.mean(0), fit.std(0).log()), rest, keys.fold_in(KEY, 1), 6000)
    for estimate in (annealed, tempered, bridged):
        gates.near(estimate, truth)
        assert (estimate.standard_error < 0.015).all()
        assert (estimate.log_p - truth).abs() < 0.02


def test_the_oracles_own_quadrature_agrees_with_another():
    """Eight schools over tau itself, and the two moons over polar coordinates, by scipy's adaptive rules."""
    import numpy as np
    from scipy import integrate, stats

    oracle = gates.eight_schools().oracle
    y, sigma = oracle.y.numpy(), oracle.sigma.numpy()

    def over_tau(tau):
        covariance = np.diag(sigma**2 + tau**2) + 25
        density = np.exp(stats.multivariate_normal(np.zeros(8), covariance).logpdf(y) + 31)
        return density * stats.halfcauchy(scale=5).pdf(tau)

    pieces = [integrate.quad(over_tau, *ends)[0] for ends in ((0, 5), (5, 60), (60, np.inf))]
    assert abs(np.log(sum(pieces)) - 31 - oracle.log_evidence().item()) < 1e-6

    def over_plane(angle, radius):
        left, right = (-0.5 * ((radius * np.cos(angle) + side) / 0.6) ** 2 for side in (-2, 2))
        return radius * np.exp(-0.5 * ((radius - 2) / 0.4) ** 2 + np.logaddexp(left, right))

    moons = gates.two_moons().oracle
    total = integrate.dblquad(over_plane, 0, 6, 0, 2 * np.pi, epsabs=1e-6)[0]
    assert abs(np.log(total) - moons.log_evidence()[0].item()) < 1e-5


def test_a_factor_says_whose_evidence_is_not_known():
    inf, nan = math.inf, math.nan
    first, second = evidence([0.0, 1.0, 2.0, 3.0], [0.3, inf, 0.3, nan]), evidence([0.0] * 4, [0.4, 0.1, nan, inf])
    factor = bayes_factor(first, second)
    torch.testing.assert_close(factor.standard_error, torch.tensor([0.5, inf, nan, nan], dtype=F64), equal_nan=True)
    assert factor.verdict() == (
        "the standard error of the log Bayes factor is 0.5 nats at most for 1 of 4 data; for the others: the error of "
        "the first model's evidence is not known: its verdict() says why (data 1); the method for the first model's "
        "evidence never estimates its error (data 3); the error of the second model's evidence is not known: its "
        "verdict() says why (data 3); the method for the second model's evidence never estimates its error (data 2)"
    )
    unknown = bayes_factor(evidence([0.0], [inf]), evidence([0.0], [0.1])).verdict()
    assert unknown.startswith("the standard error of the log Bayes factor is not known: the error of the first model's")
    known = bayes_factor(evidence([0.0], [0.3]), evidence([0.0], [0.4]))
    assert known.verdict() == "the standard error of the log Bayes factor is 0.5 nats at most"


def test_probabilities_say_whose_evidence_is_not_known():
    models = [evidence([0.0, 0.0], [0.1, 0.1]), evidence([0.0, 0.0], [0.1, math.inf])]
    found = posterior_probabilities(models)
    assert found.verdict() == (
        "the standard error of the models' probabilities is 0.035 at most for 1 of 2 data; for the others: the error "
        "of model 1's evidence is not known: its verdict() says why (data 1)"
    )
    no_part = posterior_probabilities([models[0], evidence([-math.inf, 0.0], [math.inf, 0.1])])
    assert no_part.verdict() == "the standard error of the models' probabilities is 0.035 at most"


def test_bad_arguments_raise():
    with pytest.raises(ValueError, match=r"one shape for all models, got \[\(1,\), \(2,\)\]"):
        bayes_factor(evidence([0.0], [0.1]), evidence([0.0, 1.0], [0.1, 0.1]))
    with pytest.raises(ValueError, match="one shape for all models"):
        posterior_probabilities([])
    with pytest.raises(ValueError, match=r"expected log_prior \(1,\), got \(2,\): one number for each model"):
        posterior_probabilities([evidence([0.0], [0.1])], torch.zeros(2))
    with pytest.raises(ValueError, match="expected observations, a whole number >= 1, got 0"):
        bic(torch.tensor(0.0), 1, 0)
    with pytest.raises(TypeError, match=r"expected log_likelihood .*, a tensor, got 0.5"):
        bic(0.5, 1, 10)
    with pytest.raises(TypeError, match="expected the second model, an estimate, got a tensor"):
        bayes_factor(evidence([0.0], [0.1]), torch.zeros(1))
    with pytest.raises(TypeError, match="expected models, a list of estimates, got a Evidence"):
        posterior_probabilities(evidence([0.0], [0.1]))
