import math

import pytest
import torch

from jensen.core import keys
from jensen.core.distributions import DiagNormal
from jensen.estimators.evidence import annealed_importance, bridge, from_log_ratios, harmonic, importance, linear
from tests.estimators import normalisers as gates
from tests.estimators.normalisers import F64, KEY

ORACLE, PRIOR = gates.linear_gaussian()
TRUTH = ORACLE.log_evidence()


def proposal(shift=0.2):
    q = gates.encoder(ORACLE)
    return DiagNormal(q.loc + shift, q.log_scale + 0.1)


@pytest.mark.parametrize(("s", "k"), [(3000, 3000), (500, 4000), (4000, 500)])
def test_the_truth_is_within_its_standard_errors(s, k):
    z = gates.posterior_draws(ORACLE, keys.fold_in(KEY, 1), s)
    estimate = bridge(ORACLE.log_joint, proposal(), z, KEY, k)
    gates.near(estimate, TRUTH)
    assert (estimate.standard_error < 0.03).all()
    assert ((estimate.overlap > 0.8) & (estimate.overlap < 1)).all()


def test_it_is_the_fixed_point_of_meng_and_wong():
    posterior, other = keys.normal(KEY, (2, 40, 3), F64)
    other = other[:30] - 1
    c, s1, s2 = from_log_ratios(posterior, other).log_p, 40, 30
    for start in (c, c + 2):
        r = start.exp()
        for _ in range(500):
            top = (other.exp() / (s1 * other.exp() + s2 * r)).mean(0)
            r = top / (1 / (s1 * posterior.exp() + s2 * r)).mean(0)
        torch.testing.assert_close(r.log(), c)


def test_the_standard_error_is_the_spread_of_repeated_estimates():
    estimates = []
    for each in keys.split(KEY, 80):
        draws, other = keys.split(each)
        estimates.append(bridge(ORACLE.log_joint, proposal(), gates.posterior_draws(ORACLE, draws, 400), other, 400))
    spread = torch.stack([e.log_p for e in estimates]).std(0)
    claimed = torch.stack([e.standard_error for e in estimates]).mean(0)
    assert ((spread / claimed - 1).abs() < 0.25).all()


def test_a_correlated_chain_has_a_larger_error_which_is_its_spread():
    """Autoregressive draws of N(0, 1), correlation 0.9: an effective number of draws 19 times smaller."""
    reps, s, rho = 100, 900, 0.9
    steps = keys.normal(KEY, (s, reps, 1), F64)
    z = [steps[0]]
    for step in steps[1:]:
        z.append(rho * z[-1] + math.sqrt(1 - rho**2) * step)
    target = gates.normal(reps, 1)
    q = DiagNormal(target.loc + 0.7, target.log_scale)
    chain = bridge(target.log_prob, q, torch.stack(z), keys.fold_in(KEY, 1), 2000)
    independent = bridge(target.log_prob, q, steps, keys.fold_in(KEY, 1), 2000)
    assert 0.7 < chain.standard_error.mean() / chain.log_p.std() < 1.4
    assert chain.standard_error.mean() > 1.3 * independent.standard_error.mean()


def test_the_exact_posterior_has_no_error():
    target = gates.normal(2, 3)
    z = target.sample(target.noise(KEY, 50))
    estimate = bridge(lambda z: target.log_prob(z) - 7, target, z, keys.fold_in(KEY, 1), 70)
    torch.testing.assert_close(estimate.log_p, torch.full((2,), -7.0, dtype=F64))
    assert (estimate.standard_error < 1e-9).all()
    torch.testing.assert_close(estimate.overlap, torch.ones(2, dtype=F64))


def test_chunks_change_nothing():
    z = gates.posterior_draws(ORACLE, keys.fold_in(KEY, 1), 100)
    whole, chunked = (bridge(ORACLE.log_joint, proposal(), z, KEY, 90, chunk=c) for c in (100, 17))
    for a, b in zip(whole, chunked, strict=True):
        torch.testing.assert_close(a, b)


def test_a_proposal_that_often_leaves_the_support():
    """p is N(0, 1) on z > 0, q is N(0, 1): half of q's draws have no weight, and the evidence is 1 / 2."""
    q = gates.normal(1, 1)
    z = q.sample(q.noise(KEY, 4000)).abs()
    estimate = bridge(lambda z: torch.where(z[..., 0] > 0, q.log_prob(z), -torch.inf), q, z, keys.fold_in(KEY, 1), 4000)
    gates.near(estimate, torch.tensor([-math.log(2)], dtype=F64))


def test_densities_that_do_not_meet():
    ratios = torch.linspace(0, 1, 10, dtype=F64)[:, None]
    outside = from_log_ratios(ratios, torch.full_like(ratios, -torch.inf))
    assert (outside.log_p, outside.standard_error, outside.overlap) == (-torch.inf, torch.inf, 0)
    apart = from_log_ratios(ratios + 500, ratios - 500)
    assert torch.isfinite(apart.log_p)
    assert apart.standard_error == torch.inf
    assert apart.overlap < 1e-9


def test_a_few_draws_that_meet_by_luck_claim_no_error():
    """From N(0, e) to N(10, 1): what there is of overlap is a draw or two, whose spread is none."""
    n = 8
    q = DiagNormal(torch.zeros(n, 1, dtype=F64), torch.full((n, 1), 0.5, dtype=F64))
    far = DiagNormal(torch.full((n, 1), 10.0, dtype=F64), torch.zeros(n, 1, dtype=F64))
    estimate = bridge(far.log_prob, q, far.sample(far.noise(KEY, 2000)), keys.fold_in(KEY, 1), 2000)
    assert (estimate.standard_error == torch.inf).all()


@pytest.mark.parametrize("distance", [2.0, 3.0, 4.0, 6.0])
def test_whatever_error_is_claimed_holds(distance):
    """N(0, 1) to N(distance, 0.3), 1000 replications of 100 draws: at most 6 % are beyond two errors, 1 % beyond four.

    Of claims that rest on one or two draws half were.
    """
    q = gates.normal(1000, 1)
    p = DiagNormal(q.loc + distance, q.log_scale + math.log(0.3))
    estimate = bridge(p.log_prob, q, p.sample(p.noise(KEY, 100)), keys.fold_in(KEY, 1), 100)
    claimed = torch.isfinite(estimate.standard_error)
    off = (estimate.log_p / estimate.standard_error)[claimed].abs()
    assert (off > 2).sum() <= 0.06 * 1000
    assert (off > 4).sum() <= 0.01 * 1000
    assert claimed.double().mean() > 0.9 or distance > 2


def test_infinite_ratios_say_so():
    """As importance sampling does of the proposal's: inf with an infinite error; one among others bridges like any."""
    finite, infinite = keys.normal(KEY, (400, 1), F64), torch.full((400, 1), torch.inf, dtype=F64)
    for posterior, proposal in ((finite, infinite), (infinite, finite), (infinite, infinite)):
        estimate = from_log_ratios(posterior, proposal)
        assert (estimate.log_p, estimate.standard_error, estimate.overlap) == (torch.inf, torch.inf, 0)
    plain = importance(lambda z: infinite, gates.normal(1, 1), KEY, 400, chunk=400)
    assert (plain.log_p, plain.standard_error) == (torch.inf, torch.inf)
    outside = from_log_ratios(infinite, -infinite)
    assert (outside.log_p, outside.standard_error, outside.overlap) == (-torch.inf, torch.inf, 0)
    mixed = from_log_ratios(finite, torch.cat([infinite[:1], finite[1:]]))
    assert torch.isfinite(mixed.log_p)
    assert torch.isfinite(mixed.standard_error)
    assert from_log_ratios(finite, torch.cat([infinite[:1] * torch.nan, finite[1:]])).log_p.isnan()


def test_roles_that_are_swapped_and_too_few_draws_raise():
    ratios = torch.zeros(10, 2, dtype=F64)
    impossible = ratios.clone()
    impossible[3, 1] = -torch.inf
    with pytest.raises(ValueError, match=r"got others for data \[1\]: give the posterior's draws first"):
        from_log_ratios(impossible, ratios)
    with pytest.raises(ValueError, match="at least five draws of the posterior and of q, got 3 and 10"):
        bridge(gates.untouched, PRIOR, torch.zeros(3, 6, 2, dtype=F64), KEY, 10)
    with pytest.raises(ValueError, match="at least five draws of the posterior and of q, got 1 and 1"):
        from_log_ratios(ratios[:1], ratios[:1])
    for other in (torch.zeros(10, 3), torch.zeros(10)):
        with pytest.raises(ValueError, match=r"\(s1, n\) and \(s2, n\) of the same data, got \(10, 2\) and \(10"):
            from_log_ratios(ratios, other)
    for bad in ({"k": 10, "chunk": 0}, {"k": 10.5}):
        name, value = list(bad.items())[-1]
        with pytest.raises(ValueError, match=f"expected a whole number {name} >= 1, got {value}"):
            bridge(gates.untouched, PRIOR, torch.zeros(10, 6, 2, dtype=F64), KEY, **bad)


def test_the_harmonic_mean_is_confidently_wrong():
    """Too high, by many of its own standard errors, where annealing with a hundredth of the draws is right."""
    sharp = ORACLE._replace(log_sigma=torch.tensor(-2.0, dtype=F64))
    z = gates.posterior_draws(sharp, KEY, 2000)
    claim = harmonic(sharp.log_joint, PRIOR, z)
    excess = (claim.log_p - sharp.log_evidence()) / claim.standard_error
    assert (claim.log_p > sharp.log_evidence() + 1).all()
    assert excess.median() > 4
    gates.near(annealed_importance(sharp.log_joint, PRIOR, KEY, 200, linear(40), chunk=200), sharp.log_evidence())


def test_the_harmonic_mean_hardly_feels_the_prior():
    """A prior a hundred times wider costs log 100 nats per dimension; the harmonic mean does not notice."""
    likelihood = DiagNormal(torch.zeros(1, 1, dtype=F64), torch.full((1, 1), -2.0, dtype=F64))
    claims, truths = [], []
    for scale in (1.0, 100.0):
        prior = gates.normal(1, 1, scale)
        variance = 1 / (math.exp(4) + scale**-2)
        z = math.sqrt(variance) * keys.normal(KEY, (5000, 1, 1), F64)
        claims.append(harmonic(lambda z, p=prior: likelihood.log_prob(z) + p.log_prob(z), prior, z).log_p)
        truths.append(-0.5 * math.log(2 * math.pi * (math.exp(-4) + scale**2)))
    assert truths[0] - truths[1] > 4.5
    assert (claims[0] - claims[1]).abs() < 0.1


def test_with_light_tails_it_is_gelfand_and_deys():
    q = gates.encoder(ORACLE)
    light = DiagNormal(q.loc, q.log_scale - 0.7)
    gates.near(harmonic(ORACLE.log_joint, light, gates.posterior_draws(ORACLE, KEY, 4000)), TRUTH)
