import math

import pytest
import torch
from scipy import stats

from jensen import laws
from jensen.core import keys
from jensen.core.distributions import DiagNormal
from jensen.estimators.evidence import Hamiltonian, langevin, smc, systematic
from jensen.estimators.evidence._smc import by_island
from tests.estimators import normalisers as gates
from tests.estimators.normalisers import F64, KEY

GATES = {"linear-Gaussian": gates.linear_gaussian(), "two moons": gates.two_moons(), "funnel": gates.funnel()}


@pytest.mark.parametrize("name", GATES)
def test_the_truth_is_within_its_standard_errors(name):
    oracle, q = GATES[name]
    estimate = smc(oracle.log_joint, q, KEY, 1600, islands=16, ess=0.9 if name == "funnel" else 0.7)
    gates.near(estimate, oracle.log_evidence())
    assert (estimate.standard_error < 0.15).double().mean() > 0.8
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


def test_islands_without_support_leave_no_particles():
    """N(0, 1) beyond 2, which most islands of ten particles never find: the rest's particles are its draws.

    Each datum is one replication; the mean is that of scipy's truncated normal.
    """
    n = 40
    q = gates.normal(n, 1)
    found = smc(lambda z: torch.where(z[..., 0] > 2, q.log_prob(z), -torch.inf), q, KEY, 4000, islands=400)
    assert (found.ess < 120).all()
    assert (found.z > 2).all()
    beyond = stats.truncnorm(2, torch.inf)
    laws.mean_is(found.z.mean(0)[:, 0], torch.tensor(beyond.mean(), dtype=F64))
    laws.mean_is((found.z > 2.5).double().mean(0)[:, 0], torch.tensor(beyond.sf(2.5), dtype=F64))


def test_islands_stand_for_their_share_of_the_evidence():
    """Two islands of two particles: weights of 3 and 1 in every particle, so that Z has too."""
    index = systematic(torch.tensor([3.0, 1.0], dtype=F64).log()[None, :, None].expand(800, -1, -1), KEY)
    laws.mean_is((index == 0).double().mean(1), torch.tensor([0.75], dtype=F64))
    z = torch.arange(12.0).reshape(6, 2, 1)  # three islands of two, for two data
    drawn = by_island(z, torch.tensor([[0, 1], [0, 2], [2, 2]]))
    assert drawn[..., 0].T.tolist() == [[0, 2, 0, 2, 8, 10], [5, 7, 9, 11, 9, 11]]


@pytest.mark.parametrize("islands", [3, None])
def test_the_standard_error_covers_as_students_t_does(islands):
    """400 replications: the coverage is within 4 standard errors of nominal, and ± 1.96 hold 93.5 % by default."""
    chosen = {} if islands is None else {"islands": islands}
    degrees = (islands or 20) - 1
    q = gates.normal(400, 1)

    def log_p(z):
        return -0.5 * ((z - 0.5) / 0.8).square().sum(-1)

    found = smc(log_p, q, KEY, 20 * (degrees + 1), ess=0.5, move=Hamiltonian(leapfrog=1), repeats=1, **chosen)
    errors = (found.log_p - math.log(0.8) - 0.5 * math.log(2 * math.pi)).abs() / found.standard_error
    for width in (1.96, stats.t(degrees).ppf(0.975)):
        inside = (errors < width).double()  # an infinite error covers: one in fifty, by the level of `exploration`
        laws.mean_is(inside, torch.tensor(1 - 2 * stats.t(degrees).sf(width), dtype=F64))


def test_every_key_is_used_once():
    oracle, q = gates.linear_gaussian(2)
    with gates.keys_used_once():
        found = smc(oracle.log_joint, q, KEY, 40, islands=4, ess=0.8)
    assert (found.temperatures > 1).all()


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
    gates.shares(systematic)


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
    with pytest.raises(ValueError, match="expected k = islands m"):
        smc(oracle.log_joint, q, KEY, 50, islands=8)
    with pytest.raises(ValueError, match=r"expected ess in \(0, 1\)"):
        smc(oracle.log_joint, q, KEY, 40, ess=1.0)
    for bad in ({"repeats": 0}, {"islands": 2.5}, {"most": 0}):
        (name, value), *_ = bad.items()
        with pytest.raises((TypeError, ValueError), match=f"expected {name}, a whole number >= 1, got {value}"):
            smc(gates.untouched, q, KEY, 40, **bad)
    with pytest.raises(RuntimeError, match="expected beta = 1 within 1 temperatures"):
        smc(oracle.log_joint, q, KEY, 160, ess=0.99, most=1)
