"""Gaps of a linear-Gaussian model, whose best mean-field and full normals are known."""

import math

import pytest
import torch

from jensen.core import flows, keys, trees
from jensen.core.distributions import (
    Bernoulli,
    Beta,
    DiagNormal,
    Dirichlet,
    FullNormal,
    Gamma,
    Given,
    Hierarchical,
    Pushforward,
    from_torch,
)
from jensen.estimators.diagnostics import Gaps, fit_each, inference_gaps
from tests.estimators.test_pathwise import model

KEY = keys.key(24)
ORACLE = model(n=4, d=2)
MEAN, COVARIANCE = ORACLE.posterior()
PRECISION = torch.linalg.inv(COVARIANCE)
BEST_SCALE = -0.5 * PRECISION.diagonal().log().expand(4, 2)  # the best mean-field q has the posterior's precisions
FAMILY_GAP = 0.5 * (PRECISION.diagonal().log().sum() - torch.logdet(PRECISION))
ENCODER = DiagNormal(MEAN + 0.3 * keys.normal(KEY, (4, 2), torch.float64), BEST_SCALE + 0.3)


def test_a_mean_field_splits_the_gap_as_in_closed_form():
    """Within 4 standard errors, 6e-5 by chance each, and 0.005 nats of what Adam leaves."""
    found = inference_gaps(ORACLE.log_joint, ENCODER, ORACLE.log_evidence(), KEY, steps=300, samples=2000)
    assert FAMILY_GAP > 0.05
    encoder = ORACLE.elbo(ENCODER.loc, ENCODER.log_scale)
    amortisation = ORACLE.log_evidence() - FAMILY_GAP - encoder
    assert ((found.approximation - FAMILY_GAP).abs() < 4 * found.approximation_error + 0.005).all()
    assert ((found.amortisation - amortisation).abs() < 4 * found.amortisation_error + 0.005).all()
    torch.testing.assert_close(found.approximation + found.amortisation, ORACLE.log_evidence() - found.encoder)
    torch.testing.assert_close(found.best, found.encoder + found.amortisation)
    assert "nats per datum between log p(x) and the encoder's ELBO" in found.verdict()


def test_a_full_normal_closes_the_approximation_gap():
    start = FullNormal.from_diagonal(ENCODER)
    found = inference_gaps(ORACLE.log_joint, ENCODER, ORACLE.log_evidence(), KEY, start, steps=300)
    assert (found.approximation.abs() < 1e-3).all()
    assert (found.amortisation > 0.05).all()
    assert "a larger encoder, or more training of it" in found.verdict()


def test_the_best_q_has_no_amortisation_gap():
    best = DiagNormal(MEAN, BEST_SCALE)
    found = inference_gaps(ORACLE.log_joint, best, ORACLE.log_evidence(), KEY, steps=200)
    assert (found.amortisation.abs() < 4 * found.amortisation_error + 0.003).all()
    assert found.verdict().endswith("a richer family gains more than a larger encoder")
    exact = model(n=4, d=1)
    mean, covariance = exact.posterior()
    q = DiagNormal(mean, covariance[0].sqrt().log().expand(4, 1))
    nothing = inference_gaps(exact.log_joint, q, exact.log_evidence(), KEY, steps=300)
    assert (nothing.approximation.abs() < 1e-3).all()
    assert nothing.verdict().endswith("nothing to gain that this shows")


def test_a_flow_halves_the_approximation_gap_of_a_curved_posterior():
    """A banana, z2 ~ N(z1^2, 0.3^2), whose log evidence is log(2 pi 0.3)."""
    n, log_evidence = 2, torch.full((2,), math.log(0.6 * math.pi), dtype=torch.float64)

    def banana(z):
        return -0.5 * z[..., 0].square() - 0.5 * ((z[..., 1] - z[..., 0].square()) / 0.3).square()

    q = DiagNormal(*torch.zeros(2, n, 2, dtype=torch.float64))
    flow = Pushforward(q, flows.real_nvp(KEY, 2, n=n, dtype=torch.float64))
    normal, bent = (
        inference_gaps(banana, q, log_evidence, KEY, start, steps=400, lr=0.02)
        for start in (FullNormal.from_diagonal(q), flow)
    )
    assert (normal.approximation > 0.6).all()
    assert (bent.approximation < 0.5 * normal.approximation).all()
    assert (bent.approximation > -4 * bent.approximation_error).all()


def test_data_are_fitted_as_if_alone_and_nothing_given_changes():
    before = [t.clone() for t in ENCODER]
    both = fit_each(ORACLE.log_joint, ENCODER, KEY, steps=20)
    last = ORACLE._replace(x=ORACLE.x[3:])
    alone = fit_each(last.log_joint, DiagNormal(*(t[3:] for t in ENCODER)), keys.at(KEY, datum=3), steps=20)
    torch.testing.assert_close(both.loc[3:], alone.loc)
    torch.testing.assert_close(both.log_scale[3:], alone.log_scale)
    assert all(torch.equal(a, b) for a, b in zip(before, ENCODER, strict=True))
    assert not both.loc.requires_grad


def row(*values):
    return torch.tensor([values], dtype=torch.float64)


def gamma_given(params, z):
    return Gamma(params["log_concentration"].exp().expand_as(z), params["log_rate"].exp() + 0.5 * z)


def two_gammas(concentration, rate, log_concentration, log_rate):
    params = {"log_concentration": row(log_concentration), "log_rate": row(log_rate)}
    return Hierarchical.of((Gamma(row(concentration), row(rate)), 1), (Given(params, gamma_given), 1))


TARGETS = {
    "Gamma": (Gamma(row(3.0, 0.7), row(0.05, 4.0)), Gamma(row(1.0, 1.0), row(0.2, 1.0))),
    "Beta": (Beta(row(3.0, 0.7), row(0.5, 2.0)), Beta(row(1.0, 1.0), row(1.0, 1.0))),
    "Dirichlet": (Dirichlet(row(3.0, 0.7, 5.0)), Dirichlet(row(1.0, 1.0, 1.0))),
    "FullNormal": (
        FullNormal(row(1.0, 0.7), row(0.5, -1.0), row([0.0, 0.0], [0.8, 0.0])),
        FullNormal(row(0.0, 0.0), row(0.0, 0.0), row([0.0, 0.0], [0.0, 0.0])),
    ),
    "Hierarchical": (two_gammas(3.0, 0.5, 0.7, 0.2), two_gammas(1.0, 1.0, 0.0, 0.0)),
}


@pytest.mark.parametrize("family", TARGETS)
def test_a_target_of_the_family_is_found(family):
    """STL has no noise at the target. A gradient in positive fields themselves leaves the range, and ends in NaN."""
    target, start = TARGETS[family]
    found = fit_each(target.log_prob, start, KEY, steps=300, s=4, lr=0.1)
    if family == "Hierarchical":
        for fitted, right in zip(trees.leaves(found), trees.leaves(target), strict=True):
            torch.testing.assert_close(fitted, right, rtol=0.01, atol=0.01)
    else:
        assert (found.kl(target) < 1e-4).all(), found


def test_parameters_of_torchs_families_stay_in_their_range():
    target = from_torch(torch.distributions.Independent(torch.distributions.Exponential(row(0.02)), 1))
    start = target._replace(parameters={"rate": row(0.5)})
    found = fit_each(target.log_prob, start, KEY, steps=200, s=4, lr=0.1)
    torch.testing.assert_close(found.parameters["rate"], row(0.02), rtol=0.01, atol=0)


def test_it_needs_no_mode_of_torchs():
    """Data, parameters and all made where torch records nothing."""
    with torch.inference_mode():
        inside = inference_gaps(
            model(n=4, d=2).log_joint, trees.map(torch.clone, ENCODER), ORACLE.log_evidence(), KEY, steps=3, samples=5
        )
    outside = inference_gaps(ORACLE.log_joint, ENCODER, ORACLE.log_evidence(), KEY, steps=3, samples=5)
    assert all(torch.equal(a, b) for a, b in zip(inside, outside, strict=True))


def test_parameters_of_the_model_get_no_gradient():
    weight = ORACLE.weight.clone().requires_grad_()
    with torch.no_grad():
        fit_each(ORACLE._replace(weight=weight).log_joint, ENCODER, KEY, steps=2)
    assert weight.grad is None


def split(family, encoder, n=1):
    """Gaps of (mean, standard error) each."""
    zero = torch.zeros(n, dtype=torch.float64)
    sizes = (family[0], encoder[0], family[1] * n**0.5, encoder[1] * n**0.5)
    return Gaps(zero, zero, *(zero + size for size in sizes))


@pytest.mark.parametrize(
    ("family", "encoder", "words"),
    [
        ((0.02, 0.05), (0.015, 0.001), "about equal as far as this shows"),  # the larger is itself not significant
        ((0.50, 0.10), (0.40, 0.10), "about equal as far as this shows"),
        ((0.40, 0.10), (0.60, 0.05), "about equal as far as this shows"),  # 1.8 combined errors
        ((0.30, 0.10), (0.60, 0.05), "gains more than a richer family"),  # 2.7
        ((0.60, 0.05), (0.30, 0.10), "a richer family gains more than a larger encoder"),
        ((0.01, 0.10), (0.05, 0.05), "nothing to gain that this shows"),
        ((0.10, 0.06), (-0.1, 0.01), "nothing to gain that this shows"),
        ((0.00, 0.00), (0.20, 0.00), "gains more than a richer family"),
    ],
)
@pytest.mark.parametrize("n", [1, 9])
def test_verdicts_recommend_what_is_significant(family, encoder, words, n):
    assert words in split(family, encoder, n).verdict()


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_data_without_evidence_are_named(wrong):
    log_evidence = ORACLE.log_evidence().clone()
    log_evidence[2] = wrong
    found = inference_gaps(ORACLE.log_joint, ENCODER, log_evidence, KEY, steps=1, samples=5)
    assert found.verdict().startswith("no verdict: data 2 of 4 give NaN or infinite numbers: look at log_evidence")


def test_bad_input_raises():
    with pytest.raises(ValueError, match="samples, a whole number >= 2, got 1"):
        inference_gaps(ORACLE.log_joint, ENCODER, ORACLE.log_evidence(), KEY, steps=1, samples=1)
    with pytest.raises(ValueError, match="steps, a whole number >= 1, got 0"):
        fit_each(ORACLE.log_joint, ENCODER, KEY, steps=0)
    with pytest.raises(ValueError, match=r"expected log_evidence \(n,\), got \(4, 1\)"):
        inference_gaps(ORACLE.log_joint, ENCODER, torch.zeros(4, 1), KEY, steps=1)
    with pytest.raises(TypeError, match="needs a reparameterised start, got Bernoulli"):
        fit_each(ORACLE.log_joint, Bernoulli(torch.zeros(4, 2)), KEY)
