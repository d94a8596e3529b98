import pytest
import torch

from jensen.core import keys
from jensen.core.distributions import DiagNormal
from jensen.estimators.evidence import annealed_importance, bdmc, linear
from tests import laws
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


def test_more_than_one_draw_per_datum_raises():
    with pytest.raises(ValueError, match="one exact draw per datum"):
        bdmc(ORACLE.log_joint, gates.normal(200, 2), Z.expand(2, -1, -1), KEY, 2, linear(4))
