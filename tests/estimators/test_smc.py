import math

import pytest
import torch

from jensen.core import keys
from jensen.core.distributions import DiagNormal
from jensen.estimators.evidence import langevin, smc, systematic
from tests import laws
from tests.estimators import normalisers as gates
from tests.estimators.normalisers import F64, KEY

GATES = {"linear-Gaussian": gates.linear_gaussian(), "two moons": gates.two_moons(), "funnel": gates.funnel()}


@pytest.mark.parametrize("name", GATES)
def test_the_truth_is_within_its_standard_errors(name):
    oracle, q = GATES[name]
    estimate = smc(oracle.log_joint, q, KEY, 1600, islands=16, ess=0.9 if name == "funnel" else 0.7)
    gates.near(estimate, oracle.log_evidence())
    assert (estimate.standard_error < 0.15).all()
    assert ((estimate.acceptance > 0.4) & (estimate.acceptance < 0.95)).all()


def test_langevin_moves_do_too():
    oracle, q = gates.linear_gaussian()
    gates.near(smc(oracle.log_joint, q, KEY, 1600, 16, ess=0.7, move=langevin), oracle.log_evidence())


def test_the_mean_of_z_over_islands_is_the_evidence():
    """Many small islands: adaptation on the islands' own particles would be off by more than its error here."""
    oracle, q = gates.linear_gaussian(3)
    estimate = smc(oracle.log_joint, q, KEY, 8000, islands=800, ess=0.5, repeats=1)
    gates.near(estimate, oracle.log_evidence())


def test_its_particles_are_draws_of_the_posterior():
    oracle, q = gates.linear_gaussian(3)
    estimate = smc(oracle.log_joint, q, KEY, 4000, islands=40, ess=0.6, repeats=4)
    mean, covariance = oracle.posterior()
    islands = estimate.z.reshape(40, 100, 3, 2)
    laws.mean_is((islands - mean).mean(1), torch.zeros_like(mean))
    laws.mean_is((islands - mean).square().mean(1), covariance.diagonal().expand_as(mean))


def test_data_chunks_change_nothing():
    oracle, q = gates.linear_gaussian(4)
    whole = smc(oracle.log_joint, q, KEY, 80, islands=4, ess=0.5)
    parts = []
    for start in (0, 2):
        part = slice(start, start + 2)
        log_p, key = oracle._replace(x=oracle.x[part]).log_joint, keys.at(KEY, datum=start)
        parts.append(smc(log_p, DiagNormal(q.loc[part], q.log_scale[part]), key, 80, islands=4, ess=0.5))
    for field in ("log_p", "standard_error", "ess"):
        laws.chunks_agree(getattr(whole, field), [getattr(p, field) for p in parts], 0, 1e-10)
    assert torch.equal(whole.temperatures, torch.cat([p.temperatures for p in parts]))


def test_each_datum_takes_the_temperatures_it_needs():
    q = gates.normal(3, 2)
    width = torch.tensor([1.0, 0.1, 0.02], dtype=F64)

    def log_p(z):
        return -0.5 * (z / width[:, None]).square().sum(-1)

    estimate = smc(log_p, q, KEY, 480, islands=16, ess=0.8)
    gates.near(estimate, math.log(2 * math.pi) + 2 * width.log())
    few, some, many = estimate.temperatures.tolist()
    assert few == 1
    assert few < some < many < 100


def test_systematic_resampling_rounds_each_share_up_or_down():
    log_w = 2 * keys.normal(KEY, (3, 50, 4), F64)
    index = systematic(log_w, keys.fold_in(KEY, 1))
    counts = torch.zeros_like(log_w).scatter_add(1, index, torch.ones_like(log_w))
    share = 50 * torch.softmax(log_w, 1)
    assert ((counts >= share.floor()) & (counts <= share.ceil())).all()
    draws = torch.stack([systematic(log_w[:1, :5], k)[0] for k in keys.split(KEY, 800)])
    appearances = torch.nn.functional.one_hot(draws, 5).double().sum(1).transpose(1, 2)
    laws.mean_is(appearances, 5 * torch.softmax(log_w[0, :5], 0))


def test_systematic_resampling_at_its_corners():
    log_w = torch.full((1, 4, 3), -torch.inf, dtype=F64)
    log_w[:, 2, 1] = -1e9
    log_w[:, :, 2] = torch.nan
    index = systematic(log_w, KEY)[0].T.tolist()
    assert index == [[0, 1, 2, 3], [2, 2, 2, 2], [0, 1, 2, 3]]


def test_a_support_that_few_particles_hit_and_one_that_none_does():
    q = gates.normal(2, 1)

    def tail(z):
        return torch.where(z[..., 0] > torch.tensor([2.0, 1e9]), q.log_prob(z), -torch.inf)

    estimate = smc(tail, q, KEY, 8000, islands=16)
    truth = torch.special.log_ndtr(torch.tensor(-2.0, dtype=F64))
    assert (estimate.log_p[0] - truth).abs() < 4 * estimate.standard_error[0] < 0.4
    assert estimate.log_p[1] == -torch.inf
    assert estimate.standard_error[1] == torch.inf


def test_infinite_and_nan_densities_are_not_hidden():
    q = gates.normal(3, 1)
    spoilt = torch.tensor([0.0, torch.inf, torch.nan], dtype=F64)
    estimate = smc(lambda z: q.log_prob(z) + spoilt, q, KEY, 16, islands=2)
    torch.testing.assert_close(estimate.log_p, spoilt, equal_nan=True, atol=1e-9, rtol=0)


def test_one_island_claims_no_error_and_bad_arguments_raise():
    oracle, q = gates.linear_gaussian(2)
    assert (smc(oracle.log_joint, q, KEY, 50, islands=1).standard_error == torch.inf).all()
    with pytest.raises(ValueError, match="a multiple of islands"):
        smc(oracle.log_joint, q, KEY, 50, islands=8)
    with pytest.raises(ValueError, match=r"expected ess in \(0, 1\)"):
        smc(oracle.log_joint, q, KEY, 16, ess=1.0)
    with pytest.raises(ValueError, match="at least one move"):
        smc(oracle.log_joint, q, KEY, 16, repeats=0)
    with pytest.raises(RuntimeError, match="expected beta = 1 within 1 temperatures"):
        smc(oracle.log_joint, q, KEY, 160, ess=0.99, most=1)
