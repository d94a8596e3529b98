"""Bridge sampling (Meng and Wong, 1996) of known evidence: its value, its error, and what it refuses."""

import math

import pytest
import torch

from jensen.core import keys
from jensen.core.contracts import Estimate
from jensen.core.distributions import DiagNormal
from jensen.estimators.evidence import bridge, from_log_ratios, harmonic, importance
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
    mixed = from_log_ratios(finite + 1, torch.cat([infinite[:1], finite[1:]]))
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
        with pytest.raises(ValueError, match=r"proposal \(s2, n\) of the same data, got \(10, 2\) and \(10"):
            from_log_ratios(ratios, other)


def test_bad_arguments_are_named():
    z = torch.zeros(10, 6, 2, dtype=F64)
    cases = [
        ((PRIOR, gates.untouched, z, KEY, 10), {}, TypeError, "expected log_p, a function such as model.log_joint"),
        ((gates.untouched, z, PRIOR, KEY, 10), {}, TypeError, "expected q, a distribution, got a tensor"),
        ((gates.untouched, PRIOR, z.numpy(), KEY, 10), {}, TypeError, r"convert it with torch.as_tensor\(z\)"),
        ((gates.untouched, PRIOR, z[:, 0, 0], KEY, 10), {}, ValueError, r"expected z \(s, n, \*d\), got \(10,\)"),
        ((gates.untouched, PRIOR, z, 3, 10), {}, TypeError, r"expected key, .* got 3: make one with keys.key\(seed\)"),
        ((gates.untouched, PRIOR, z, KEY, 10.5), {}, TypeError, "expected k, a whole number >= 1, got 10.5"),
        ((gates.untouched, PRIOR, z, KEY, 10), {"chunk": 0}, ValueError, "expected chunk, a whole number >= 1, got 0"),
    ]
    for arguments, options, error, words in cases:
        with pytest.raises(error, match=words) as caught:
            bridge(*arguments, **options)
        assert "\n" not in str(caught.value)
    with pytest.raises(TypeError, match=r"expected proposal \(\.\.\.\), a tensor, got a NumPy array"):
        from_log_ratios(z[..., 0], z[..., 0].numpy())
    with pytest.raises(TypeError, match="expected log_p, a function"):
        harmonic(PRIOR, gates.untouched, z)


def test_it_compiles_and_maps():
    posterior, proposal = keys.normal(KEY, (2, 60, 3), F64)
    found = from_log_ratios(posterior + 1, proposal)
    compiled = torch.compile(from_log_ratios, backend="eager", fullgraph=True)(posterior + 1, proposal)
    mapped = torch.func.vmap(from_log_ratios)((posterior + 1)[None], proposal[None])
    for other in (compiled.log_p, mapped.log_p[0]):
        torch.testing.assert_close(other, found.log_p)
    for other in (compiled.standard_error, mapped.standard_error[0]):
        torch.testing.assert_close(other, found.standard_error)


def two_modes(z):
    """Half N(2, .3^2) and half N(-2, 1) in each of two components together: log p(x) = 0."""
    narrow, wide = (
        -0.5 * ((z - loc) / scale).square() - math.log(scale) - 0.5 * math.log(2 * math.pi)
        for loc, scale in ((2.0, 0.3), (-2.0, 1.0))
    )
    return torch.logaddexp(narrow.sum(-1), wide.sum(-1)) - math.log(2)


@pytest.mark.parametrize(("missed", "loc", "scale"), [("wide", 2.0, 0.3), ("narrow", -2.0, 1.0)])
def test_draws_that_all_miss_a_mode_which_q_reaches_are_found_out(missed, loc, scale):
    q = gates.normal(200, 2, 3.0)
    noise = keys.normal(KEY, (1000, 200, 2), F64)
    found = bridge(two_modes, q, loc + scale * noise, keys.fold_in(KEY, 1), 1000)
    assert (found.log_p.abs() > 0.3).all()  # wrong, by many of the errors that independent draws would claim
    assert (found.standard_error == torch.inf).double().mean() >= 0.99
    assert "contradict each other: the former miss a part that q reaches" in found.verdict()


def test_draws_of_both_modes_are_believed():
    q = gates.normal(200, 2, 3.0)
    narrow = keys.uniform(keys.fold_in(KEY, 2), (1000, 200, 1), F64) < 0.5
    noise = keys.normal(KEY, (1000, 200, 2), F64)
    found = bridge(two_modes, q, torch.where(narrow, 2 + 0.3 * noise, noise - 2), keys.fold_in(KEY, 1), 1000)
    assert found.standard_error.isfinite().double().mean() >= 0.98
    assert 0.9 <= (found.log_p.abs() <= 1.96 * found.standard_error).double().mean() <= 0.99


def test_a_mode_that_both_miss_is_seen_by_nothing():
    """The limit that the header states: half the mass is nowhere, so log p(x) is log 2 too low."""
    q = DiagNormal(torch.full((20, 2), -2.0, dtype=F64), torch.full((20, 2), 0.2, dtype=F64))
    found = bridge(two_modes, q, keys.normal(KEY, (1000, 20, 2), F64) - 2, keys.fold_in(KEY, 1), 1000)
    assert found.standard_error.isfinite().all()
    assert ((found.log_p + math.log(2)).abs() < 4 * found.standard_error).all()


def test_the_verdict_says_how_well_it_is_known():
    z = gates.posterior_draws(ORACLE, keys.fold_in(KEY, 1), 1000)
    known = bridge(ORACLE.log_joint, proposal(), z, KEY, 1000)
    assert isinstance(known, Estimate)
    worst = known.standard_error.max().item()
    assert known.verdict() == (
        f"log p(x) by bridge sampling has a standard error of {worst:.2g} nats at most, for 6 data"
    )
    far = bridge(ORACLE.log_joint, proposal(9.0), z, KEY, 1000)
    assert (far.standard_error == torch.inf).all()
    assert "is not known: fewer than five draws of one side overlap the other" in far.verdict()
