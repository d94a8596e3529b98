"""Known-wrong estimators of the evidence fail the very checks that right ones pass."""

from itertools import pairwise

import pytest
import torch
from torch.func import vmap

from jensen import laws
from jensen.core import keys
from jensen.estimators.evidence import (
    Evidence,
    Hamiltonian,
    _bdmc,
    _smc,
    annealed,
    annealed_importance,
    bdmc,
    bridge,
    exploration,
    from_log_ratios,
    harmonic,
    linear,
    paths,
    sigmoidal,
    smc,
)
from jensen.estimators.evidence.moves import Step
from tests.estimators import normalisers as gates
from tests.estimators.normalisers import F64, KEY
from tests.estimators.test_constrained_evidence import PROBLEMS as CONSTRAINED
from tests.estimators.test_unknown_errors import TARGETS

SMC, ANNEALED, BDMC = _smc, annealed, _bdmc
OFF = "standard errors off"


class Uncorrected(Hamiltonian):
    """Hamiltonian Monte Carlo without the Metropolis correction, which says what it should have accepted."""

    def __call__(self, path, point, beta, step, key):
        momentum_key, _ = keys.split(key)
        momentum = keys.normal(momentum_key, tuple(point.u.shape), F64)
        size = step.size.expand_as(point.log_p)[..., None].expand_as(point.u)
        moved, end = self.trajectory(path, point, momentum, beta, size, step)
        energy = moved.log_density(beta) - point.log_density(beta) + (momentum.square() - end.square()).sum(-1) / 2
        return moved, torch.exp(energy.clamp_max(0))


def weights(move, reps=120):
    oracle, q = gates.linear_gaussian(2)

    def weight(key):
        log_p = annealed_importance(oracle.log_joint, q, key, 8, linear(12), move, chunk=8).log_p
        return log_p - oracle.log_evidence()

    return vmap(weight)(keys.split(KEY, reps)).exp()


def test_the_correction_is_what_makes_annealing_right():
    laws.mean_is(weights(Hamiltonian(1, 0.5)), torch.ones(2, dtype=F64))
    with pytest.raises(AssertionError, match=OFF):
        laws.mean_is(weights(Uncorrected(1, 0.5)), torch.ones(2, dtype=F64), errors=8)


def test_a_move_without_its_correction_does_not_keep_the_posterior():
    oracle, q = gates.linear_gaussian(2)
    path = paths.Geometric.of(oracle.log_joint, q)
    point = path.at(gates.posterior_draws(oracle, KEY, 20_000))
    for i in range(6):
        step = Step(torch.full((2,), 0.6, dtype=F64))
        point, _ = Uncorrected()(path, point, torch.tensor(1.0), step, keys.fold_in(KEY, i))
    mean, covariance = oracle.posterior()
    with pytest.raises(AssertionError, match=OFF):
        laws.mean_is((point.u - mean).square(), covariance.diagonal().expand_as(mean), errors=10)


def test_weights_after_the_move_are_wrong(monkeypatch):
    def late(path, point, walk, key):
        log_w = torch.zeros_like(point.log_p)
        for i, (here, there) in enumerate(pairwise(walk.schedule)):
            if i < len(walk.steps):
                point, _ = walk.move(path, point, there, walk.steps[i], keys.fold_in(key, i))
            log_w = log_w + (there - here) * point.log_ratio()
        return point, log_w, log_w.mean(0)

    monkeypatch.setattr(ANNEALED, "anneal", late)
    with pytest.raises(AssertionError, match=OFF):
        laws.mean_is(weights(Hamiltonian()), torch.ones(2, dtype=F64), errors=8)


def test_an_upper_bound_from_another_datums_z_is_none():
    oracle, z = gates.simulated(200, KEY)
    truth = oracle.log_evidence()
    sandwich = bdmc(oracle.log_joint, gates.normal(200, 2), z.roll(1, 1), KEY, 4, linear(4))
    laws.mean_is_at_most(sandwich.lower - truth, torch.tensor(0.0))
    with pytest.raises(AssertionError):
        laws.mean_is_at_most(truth - sandwich.upper, torch.tensor(0.0), errors=6)


def test_an_upper_bound_from_draws_of_q_is_none():
    oracle, _ = gates.simulated(200, KEY)
    q = gates.normal(200, 2)
    sandwich = bdmc(oracle.log_joint, q, q.sample(q.noise(keys.fold_in(KEY, 1), 1)), KEY, 4, linear(4))
    with pytest.raises(AssertionError):
        laws.mean_is_at_most(oracle.log_evidence() - sandwich.upper, torch.tensor(0.0), errors=6)


def found_out(estimate, truth):
    """Whether each log_p is far off by its standard error, or the estimate itself says that it is not known."""
    return bool(
        (((estimate.log_p - truth).abs() > 8 * estimate.standard_error) | estimate.standard_error.isinf()).all()
    )


def test_resampling_that_forgets_the_weights(monkeypatch):
    oracle, q = gates.linear_gaussian()
    right = SMC.systematic
    assert not found_out(smc(oracle.log_joint, q, KEY, 1600, islands=16, repeats=1), oracle.log_evidence())
    monkeypatch.setattr(SMC, "systematic", lambda log_w, key: right(torch.zeros_like(log_w), key))
    assert found_out(smc(oracle.log_joint, q, KEY, 1600, islands=16, repeats=1), oracle.log_evidence())


def test_islands_that_share_one_uniform_number():
    right = SMC.systematic
    with pytest.raises(AssertionError, match=OFF):
        gates.shares(lambda log_w, key: right(log_w[:1], key).expand_as(log_w))


def test_resampling_with_one_key_at_every_temperature(monkeypatch):
    oracle, q = gates.linear_gaussian(2)
    right, one = SMC.systematic, keys.fold_in(KEY, 1)
    monkeypatch.setattr(SMC, "systematic", lambda log_w, key: right(log_w, one))
    with pytest.raises(AssertionError, match="keys are used twice"), gates.keys_used_once():
        smc(oracle.log_joint, q, KEY, 40, islands=4, ess=0.8)


def test_directions_that_share_a_key(monkeypatch):
    oracle, z = gates.simulated(3, KEY)
    right, one = BDMC.chains, keys.fold_in(KEY, 1)
    monkeypatch.setattr(BDMC, "chains", lambda path, walk, start, key, k: right(path, walk, start, one, k))
    with pytest.raises(AssertionError, match="keys are used twice"), gates.keys_used_once():
        bdmc(oracle.log_joint, gates.normal(3, 2), z, KEY, 6, linear(5))


def test_dead_islands_that_stay(monkeypatch):
    q = gates.normal(5, 1)
    monkeypatch.setattr(SMC, "by_island", lambda z, index: z)
    found = smc(lambda z: torch.where(z[..., 0] > 2, q.log_prob(z), -torch.inf), q, KEY, 400, islands=40)
    assert (found.z <= 2).any()


def test_resampling_that_forgets_the_weights_in_the_normaliser(monkeypatch):
    oracle, q = gates.linear_gaussian()
    monkeypatch.setattr(
        SMC, "log_sum_exp", lambda log_w, axis: log_w.mean(axis) + torch.tensor(log_w.shape[axis]).log()
    )
    assert found_out(smc(oracle.log_joint, q, KEY, 1600, islands=16), oracle.log_evidence())


def test_a_bridge_with_its_roles_swapped():
    """Of different numbers of draws: with as many of either the root is the same, and only its error is not."""
    oracle, q = gates.linear_gaussian()
    z = gates.posterior_draws(oracle, keys.fold_in(KEY, 1), 400)
    posterior, proposal = (oracle.log_joint(t) - q.log_prob(t) for t in (z, q.sample(q.noise(KEY, 4000))))
    gates.near(from_log_ratios(posterior, proposal), oracle.log_evidence())
    swapped = from_log_ratios(proposal, posterior)
    assert ((swapped.log_p - oracle.log_evidence()).abs() > 0.5).all()
    assert (swapped.standard_error == torch.inf).all()
    assert "contradict each other" in swapped.verdict()


def test_a_bridge_whose_draws_are_none_of_the_posterior():
    oracle, prior = gates.linear_gaussian()
    z = prior.sample(prior.noise(keys.fold_in(KEY, 1), 2000))
    wrong = bridge(oracle.log_joint, gates.encoder(oracle), z, KEY, 2000)
    assert ((wrong.log_p - oracle.log_evidence()).abs() > 0.05).all()
    assert (wrong.standard_error == torch.inf).all()


def test_the_harmonic_mean_fails_the_gate_that_others_pass():
    oracle, prior = gates.linear_gaussian()
    claim = harmonic(oracle.log_joint, prior, gates.posterior_draws(oracle, KEY, 4000))
    with pytest.raises(AssertionError, match="errors off"):
        gates.near(Evidence(claim.log_p, claim.spread, claim.spread, claim.spread, {}), oracle.log_evidence())


def test_a_density_of_real_numbers_without_its_jacobian(monkeypatch):
    """In the coordinates of a half-line log q has the Jacobian and log p has not: annealing is right no more."""
    exponential = CONSTRAINED["exponential"]
    right = paths.Geometric._of_u

    def without(path, log_density):
        forward = path.bijection.forward
        return right(path, log_density) if log_density == path.q.log_prob else lambda u: log_density(forward(u)[0])

    monkeypatch.setattr(paths.Geometric, "_of_u", without)
    found = annealed_importance(exponential.log_joint, exponential.prior, KEY, 200, linear(12), chunk=200)
    assert ((found.log_p - exponential.log_evidence).abs() > 0.3).all()


def test_particles_that_do_not_move_on_do_not_see_a_funnel(monkeypatch):
    log_p, q = TARGETS["funnel"].rows(8)
    right = smc(log_p, q, KEY, 1000)
    assert (right.doubts[exploration.MOVING]).double().mean() > 0.8
    monkeypatch.setattr(exploration, "_moved", lambda path, ends, step, key, moves: ends.point)
    blind = smc(log_p, q, KEY, 1000)
    assert not blind.doubts[exploration.MOVING].any()


def test_a_climb_from_the_particles_themselves_does_not_see_the_mode_that_they_missed(monkeypatch):
    log_p, q = TARGETS["unequal modes"].rows(8)
    lost = annealed_importance(log_p, q, KEY, 400, sigmoidal(50), chunk=400)
    assert lost.doubts[exploration.MISSED].double().mean() > 0.6
    monkeypatch.setattr(paths.Geometric, "start", lambda path, key, s: path.at(-2 + keys.normal(key, (s, 8, 5), F64)))
    blind = exploration.missed(
        paths.Geometric.of(log_p, q),
        exploration.Ends(paths.Geometric.of(log_p, q).start(KEY, 400), torch.zeros(400, 1, 8, dtype=F64), 400),
        lost.log_p,
        KEY,
    )
    assert (blind < lost.ess.reciprocal().sqrt()).all()
