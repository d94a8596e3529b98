import gc
import math

import pytest
import torch
from torch.func import vmap

from jensen import laws
from jensen.core import keys, trees
from jensen.core.distributions import Bernoulli, DiagNormal
from jensen.estimators.evidence import Hamiltonian, annealed_importance, hmc, importance, langevin, linear, sigmoidal
from tests.estimators import normalisers as gates
from tests.estimators.normalisers import F64, KEY

GATES = {"linear-Gaussian": gates.linear_gaussian(), "two moons": gates.two_moons(), "funnel": gates.funnel()}
WALKS = {
    "hmc": (linear(30), hmc, 1),
    "langevin": (linear(50), langevin, 2),
    "sigmoidal": (sigmoidal(30), hmc, 1),
}


@pytest.mark.parametrize(
    ("name", "walk"),
    [(name, "hmc") for name in GATES]
    + [("linear-Gaussian", "langevin"), ("two moons", "langevin"), ("two moons", "sigmoidal")],
)
def test_the_truth_is_within_its_standard_errors(name, walk):
    (oracle, q), (schedule, move, repeats) = GATES[name], WALKS[walk]
    estimate = annealed_importance(oracle.log_joint, q, KEY, 400, schedule, move, repeats, chunk=400)
    gates.near(estimate, oracle.log_evidence())
    assert name == "funnel" or (estimate.standard_error < 0.2).double().mean() > 0.8
    assert ((estimate.acceptance - move.target).abs() < 0.15).all()


def test_the_mean_weight_is_the_evidence_however_short_the_schedule():
    oracle, q = gates.linear_gaussian(2)

    def weight(key):
        return annealed_importance(oracle.log_joint, q, key, 8, linear(3), chunk=8).log_p - oracle.log_evidence()

    laws.mean_is(vmap(weight)(keys.split(KEY, 150)).exp(), torch.ones(2, dtype=F64))


def test_it_is_below_the_evidence_on_average():
    oracle, q = gates.linear_gaussian(2)
    draws = vmap(lambda key: annealed_importance(oracle.log_joint, q, key, 1, linear(3), chunk=1).log_p)
    laws.mean_is_at_most(draws(keys.split(KEY, 80)), oracle.log_evidence())


def test_the_encoder_needs_fewer_temperatures_than_the_prior():
    oracle, prior = gates.linear_gaussian(4)

    def needed(q):
        for t in (1, 4, 32):
            estimate = annealed_importance(oracle.log_joint, q, KEY, 200, linear(t), chunk=200)
            gates.near(estimate, oracle.log_evidence())
            if estimate.standard_error.median() < 0.06:
                return t
        return math.inf

    from_encoder, from_prior = needed(gates.encoder(oracle)), needed(prior)
    assert from_encoder == 1
    assert 4 < from_prior < math.inf


def test_two_temperatures_are_importance_sampling():
    oracle, q = gates.linear_gaussian()
    annealed = annealed_importance(oracle.log_joint, q, KEY, 50, linear(1), chunk=7)
    plain = importance(oracle.log_joint, q, keys.split(keys.split(KEY)[1])[0], 50)
    for a, b in zip(annealed[:4], plain[:4], strict=True):
        torch.testing.assert_close(a, b)
    assert annealed.acceptance.isnan().all()


@pytest.mark.parametrize("chunk", [2, 64])
def test_particle_chunks_change_nothing(chunk):
    oracle, q = gates.linear_gaussian(2)
    whole, chunked = (annealed_importance(oracle.log_joint, q, KEY, 6, linear(4), chunk=c) for c in (6, chunk))
    for a, b in zip(whole[:3], chunked[:3], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_data_chunks_change_nothing():
    oracle, q = gates.linear_gaussian()
    whole = annealed_importance(oracle.log_joint, q, KEY, 10, linear(3))
    parts = []
    for start in (0, 3):
        part = slice(start, start + 3)
        log_p, key = oracle._replace(x=oracle.x[part]).log_joint, keys.at(KEY, datum=start)
        parts.append(annealed_importance(log_p, DiagNormal(q.loc[part], q.log_scale[part]), key, 10, linear(3)))
    for i, field in enumerate(trees.leaves(whole)):
        laws.chunks_agree(field, [trees.leaves(p)[i] for p in parts], 0, 1e-10)


def test_memory_does_not_grow_with_the_temperatures():
    oracle, q = gates.linear_gaussian(2)

    def most_alive(t):
        counts = []

        def log_p(z):
            if len(z) == 300 and len(counts) < 40:  # no pilot; the run, and a part of what explores its ends
                tensors = [o for o in gc.get_objects() if issubclass(type(o), torch.Tensor)]
                counts.append(sum(t.numel() >= 300 * 2 for t in tensors))
            return oracle.log_joint(z)

        annealed_importance(log_p, q, KEY, 300, linear(t), Hamiltonian(leapfrog=1), chunk=300)
        return max(counts)

    gc.collect()
    gc.freeze()  # of the process's objects only later ones are looked through, 80 times
    assert most_alive(3) == most_alive(6)


def test_particles_outside_the_support_are_legal():
    q = gates.normal(2, 3)
    offset = torch.tensor([0.0, -5.0], dtype=F64)

    def half(z):
        return torch.where(z[..., 0] > 0, q.log_prob(z), -torch.inf) + offset

    estimate = annealed_importance(half, q, KEY, 2000, linear(5), chunk=2000)
    gates.near(estimate, offset - math.log(2))
    nothing = annealed_importance(lambda z: half(z) - torch.inf, q, KEY, 20, linear(5))
    assert (nothing.log_p == -torch.inf).all()
    assert (nothing.ess == 0).all()
    assert nothing.acceptance.isnan().all()


def test_nan_is_not_hidden():
    oracle, q = gates.linear_gaussian(2)
    spoilt = torch.tensor([0.0, torch.nan], dtype=F64)
    estimate = annealed_importance(lambda z: oracle.log_joint(z) + spoilt, q, KEY, 20, linear(5))
    assert torch.isfinite(estimate.log_p[0])
    assert estimate.log_p[1].isnan()


def test_nothing_differentiable_is_returned_and_float32_stays():
    oracle, q = gates.linear_gaussian(2)
    weight = oracle.weight.clone().requires_grad_()
    estimate = annealed_importance(oracle._replace(weight=weight).log_joint, q, KEY, 3, linear(3))
    assert not any(field.requires_grad for field in trees.leaves(estimate))
    narrow = DiagNormal(*(t.float().requires_grad_() for t in q))
    estimate = annealed_importance(lambda z: -z.square().sum(-1), narrow, KEY, 30, linear(3))
    assert not estimate.log_p.requires_grad
    assert {field.dtype for field in trees.leaves(estimate)} == {torch.float32, torch.bool}


def test_bad_arguments_raise():
    oracle, q = gates.linear_gaussian(2)
    for schedule in (linear(4)[1:], linear(4)[:-1], linear(4).flip(0), torch.tensor([0.0, 0.5, 0.5, 1.0])):
        with pytest.raises(ValueError, match="expected a schedule that rises from 0 to 1"):
            annealed_importance(oracle.log_joint, q, KEY, 3, schedule)
    for bad in ({"k": 0}, {"k": 3, "repeats": 0}, {"k": 3.5}, {"k": 3, "chunk": 0}):
        name, value = list(bad.items())[-1]
        with pytest.raises((TypeError, ValueError), match=f"expected {name}, a whole number >= 1, got {value}"):
            annealed_importance(gates.untouched, q, KEY, schedule=linear(4), **bad)
    with pytest.raises(TypeError, match=r"expected a schedule \(t,\), a tensor, got \[0.0, 1.0\]"):
        annealed_importance(gates.untouched, q, KEY, 3, [0.0, 1.0])
    with pytest.raises(TypeError, match=r"expected a continuous q.*got Bernoulli"):
        annealed_importance(oracle.log_joint, Bernoulli(q.loc), KEY, 3, linear(4))
    with pytest.raises(ValueError, match="one value per sample and datum"):
        annealed_importance(lambda z: oracle.log_joint(z).sum(-1), q, KEY, 3, linear(4))


@pytest.mark.parametrize("schedule", [linear(7), sigmoidal(7), sigmoidal(7, delta=9.0), linear(1), sigmoidal(1)])
def test_schedules_rise_from_0_to_1_and_are_symmetric(schedule):
    assert schedule[0] == 0
    assert schedule[-1] == 1
    assert (schedule.diff() > 0).all()
    torch.testing.assert_close(schedule + schedule.flip(0), torch.ones_like(schedule))


def test_a_flat_sigmoid_is_linear_and_bad_schedules_raise():
    torch.testing.assert_close(sigmoidal(9, delta=1e-4), linear(9))
    assert sigmoidal(9)[1] < linear(9)[1]
    with pytest.raises(ValueError, match="expected t, a whole number >= 1"):
        linear(0)
    with pytest.raises(ValueError, match=r"expected delta in \(0, inf\)"):
        sigmoidal(3, delta=0.0)
