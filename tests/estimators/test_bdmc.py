import pytest
import torch

from jensen import laws
from jensen.core import keys
from jensen.core.distributions import DiagNormal
from jensen.estimators.evidence import Hamiltonian, annealed_importance, bdmc, hmc, linear
from tests.estimators import normalisers as gates
from tests.estimators.normalisers import F64, KEY

ORACLE, Z = gates.simulated(200, KEY)


def test_it_brackets_the_evidence_and_the_gap_closes():
    truth, gaps = ORACLE.log_evidence(), []
    for t in (4, 20):
        sandwich = bdmc(ORACLE.log_joint, gates.normal(200, 2), Z, KEY, 2, linear(t))
        laws.mean_is_at_most(sandwich.lower - truth, torch.tensor(0.0))
        laws.mean_is_at_most(truth - sandwich.upper, torch.tensor(0.0))
        assert torch.isfinite(sandwich.gap).all()
        gaps.append(sandwich.over_data())
    short, long = gaps
    assert short.gap > 4 * short.gap_error > 0
    assert long.gap < 0.4 * short.gap
    assert short.lower < truth.mean() < short.upper


def test_the_reverse_weight_is_unbiased_for_one_over_the_evidence():
    sandwich = bdmc(ORACLE.log_joint, gates.encoder(ORACLE), Z, KEY, 4, linear(8))
    laws.mean_is((ORACLE.log_evidence() - sandwich.upper).exp(), torch.tensor(1.0, dtype=F64))


def test_the_bounds_meet_where_q_is_the_posterior():
    oracle = ORACLE._replace(weight=torch.eye(3, 2, dtype=F64), log_sigma=torch.tensor(0.0, dtype=F64))
    mean, covariance = oracle.posterior()
    q = DiagNormal(mean, covariance.diagonal().sqrt().log().expand_as(mean))
    sandwich = bdmc(oracle.log_joint, q, Z, KEY, 2, linear(4))
    torch.testing.assert_close(sandwich.lower, oracle.log_evidence())
    torch.testing.assert_close(sandwich.upper, oracle.log_evidence())


def test_the_lower_bound_is_annealed_importance_sampling_and_chunks_change_nothing():
    oracle, z = ORACLE._replace(x=ORACLE.x[:3]), Z[:, :3]
    whole, chunked = (bdmc(oracle.log_joint, gates.normal(3, 2), z, KEY, 6, linear(5), chunk=c) for c in (6, 2))
    for a, b in zip(whole, chunked, strict=True):
        torch.testing.assert_close(a, b)
    annealed = annealed_importance(oracle.log_joint, gates.normal(3, 2), KEY, 300, linear(5), chunk=300)
    many = bdmc(oracle.log_joint, gates.normal(3, 2), z, KEY, 300, linear(5), chunk=300)
    error = torch.sqrt(annealed.standard_error.square() + many.lower_error.square())
    assert ((annealed.log_p - many.lower).abs() < 4 * error).all()


def test_averages_over_data_have_the_error_of_the_spread():
    pairs = keys.normal(KEY, (2, 5), F64)
    whole = bdmc(ORACLE.log_joint, gates.normal(200, 2), Z, KEY, 1, linear(2))
    sandwich = whole._replace(lower=pairs[0], upper=pairs[1])
    averages = sandwich.over_data()
    torch.testing.assert_close(averages.gap, averages.upper - averages.lower)
    torch.testing.assert_close(averages.gap_error, (pairs[1] - pairs[0]).std() / 5**0.5)
    assert whole._replace(lower=pairs[0, :1], upper=pairs[1, :1]).over_data().gap_error == torch.inf


def test_a_datum_whose_chains_all_died_makes_the_averages_infinite_and_not_nan():
    q = gates.normal(3, 1)
    hole = torch.tensor([0.0, -torch.inf, 0.0], dtype=F64)
    z = q.sample(q.noise(KEY, 1))
    sandwich = bdmc(lambda t: q.log_prob(t) + torch.where(t == z, 0.0, hole[:, None])[..., 0], q, z, KEY, 4, linear(4))
    assert (sandwich.lower == -torch.inf).nonzero()[:, 0].tolist() == [1]
    averages = sandwich.over_data()
    assert averages.lower == -torch.inf
    assert averages.gap == torch.inf
    assert averages.lower_error == averages.gap_error == torch.inf
    assert torch.isfinite(averages.upper)
    spoilt = sandwich._replace(lower=sandwich.lower * torch.nan)
    assert spoilt.over_data().lower.isnan()


def test_the_way_back_accepts_as_often_as_the_way_there():
    """To a posterior fifty times as sharp as q: the steps of the other end would be refused, or go nowhere."""
    q = gates.normal(20, 1)
    target = gates.normal(20, 1, 0.02)
    z = target.sample(target.noise(KEY, 1))
    backward = []

    class Spy(Hamiltonian):
        def __call__(self, path, point, beta, step, key):
            moved, accept = super().__call__(path, point, beta, step, key)
            backward.append(accept.mean())
            return moved, accept

    bdmc(target.log_prob, q, z, KEY, 16, linear(20), Spy(), chunk=16)
    assert ((torch.stack(backward[-19:]) - hmc.target).abs() < 0.25).all()


def test_every_key_is_used_once():
    oracle, z = ORACLE._replace(x=ORACLE.x[:3]), Z[:, :3]
    with gates.keys_used_once():
        bdmc(oracle.log_joint, gates.normal(3, 2), z, KEY, 6, linear(5), chunk=4)


def test_more_than_one_draw_per_datum_raises():
    with pytest.raises(ValueError, match="one exact draw per datum"):
        bdmc(ORACLE.log_joint, gates.normal(200, 2), Z.expand(2, -1, -1), KEY, 2, linear(4))
    with pytest.raises(TypeError, match=r"expected k, a whole number >= 1, got 2\.5"):
        bdmc(gates.untouched, gates.normal(200, 2), Z, KEY, 2.5, linear(4))
