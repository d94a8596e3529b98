"""The moves by themselves: what they leave invariant, how they turn round, and the step sizes that a pilot finds."""

import math

import pytest
import torch

from jensen import laws
from jensen.core import keys
from jensen.core.distributions import DiagNormal
from jensen.estimators.evidence import Hamiltonian, annealed_importance, hmc, langevin, linear, smc
from jensen.estimators.evidence.annealed import Walk
from jensen.estimators.evidence.moves import Step
from jensen.estimators.evidence.paths import Geometric
from jensen.estimators.evidence.tuning import FIRST, tune
from tests.estimators import normalisers as gates
from tests.estimators.normalisers import F64, KEY


@pytest.mark.parametrize("move", [hmc, langevin, Hamiltonian(leapfrog=3)], ids=["hmc", "langevin", "three"])
def test_a_move_leaves_the_posterior_where_it_is(move):
    """From exact draws, moves at a step far too long to be exact without the correction keep both moments."""
    oracle, q = gates.linear_gaussian(2)
    path = Geometric.of(oracle.log_joint, q)
    z = gates.posterior_draws(oracle, KEY, 10_000)
    point = path.at(z)
    beta, step = torch.tensor(1.0), Step(torch.full((2,), 0.6, dtype=F64))
    for i in range(6):
        point, accept = move(path, point, beta, step, keys.fold_in(KEY, i))
    mean, covariance = oracle.posterior()
    laws.mean_is(point.u - mean, torch.zeros_like(mean))
    laws.mean_is((point.u - mean).square(), covariance.diagonal().expand_as(mean))
    assert 0.1 < accept.mean() < 0.95
    assert (point.u != z).any(-1).double().mean() > 0.5


FACTOR = torch.tensor([[[1.0, 0.0], [-0.8, 0.6]], [[2.0, 0.0], [0.1, 0.3]]], dtype=F64)
METRICS = {"unit": None, "diagonal": FACTOR.diagonal(dim1=1, dim2=2), "dense": FACTOR}


@pytest.mark.parametrize("metric", METRICS)
def test_a_trajectory_turned_round_comes_back(metric):
    step = Step(torch.ones(2, dtype=F64), METRICS[metric])
    oracle, q = gates.linear_gaussian(2)
    path = Geometric.of(oracle.log_joint, q)
    start = path.at(gates.posterior_draws(oracle, KEY, 5))
    momentum, beta = keys.normal(keys.fold_in(KEY, 1), (5, 2, 2), F64), torch.tensor(0.4)
    size = torch.full_like(momentum, 0.2)
    there, end = hmc.trajectory(path, start, momentum, beta, size, step)
    back, _ = hmc.trajectory(path, there, -end, beta, size, step)
    torch.testing.assert_close(back.u, start.u)
    assert (there.u - start.u).abs().min() > 1e-3


def test_steps_follow_the_width_of_the_density():
    q = DiagNormal(torch.zeros(2, 3, dtype=F64), torch.tensor([[0.0], [math.log(0.01)]], dtype=F64).expand(2, 3))
    steps = tune(Geometric.of(q.log_prob, q), linear(20), hmc, KEY)
    sizes = torch.stack([step.size for step in steps])
    ratio = (sizes[:, 0] / sizes[:, 1]).log().mean().exp()
    assert sizes.shape == (19, 2)
    assert 70 < ratio < 140


def sharp(z):
    """N(3, 0.2) without its constant."""
    return -0.5 * ((z - 3) / 0.2).square().sum(-1)


def cut(z):
    """The same where z > 1, which five of six draws of N(0, 1) miss: what is cut off has no mass to speak of."""
    return torch.where(z[..., 0] > 1, sharp(z), -torch.inf)


def test_chains_outside_the_support_do_not_shrink_the_steps():
    q, schedule = gates.normal(16, 1), linear(60)
    last, uncut = (tune(Geometric.of(log_p, q), schedule, hmc, KEY)[-1].size for log_p in (cut, sharp))
    assert (last / uncut).log().abs().max() < math.log(2)
    found = annealed_importance(cut, q, KEY, 400, schedule, chunk=400)
    assert ((found.acceptance - hmc.target).abs() < 0.2).all()
    laws.mean_is((found.log_p - math.log(0.2) - 0.5 * math.log(2 * math.pi)).exp(), torch.tensor(1.0, dtype=F64))


def test_where_no_chain_is_in_the_support_the_steps_stay():
    q = gates.normal(2, 1)
    path = Geometric.of(lambda z: q.log_prob(z) + torch.tensor([0.0, -torch.inf], dtype=F64), q)
    steps = torch.stack([step.size for step in tune(path, linear(5), hmc, KEY)])
    torch.testing.assert_close(steps[:, 1], torch.full((4,), math.exp(FIRST), dtype=F64))
    assert (steps[:, 0] > 2 * math.exp(FIRST)).all()


def test_a_particle_outside_the_support_has_no_acceptance_and_may_come_back():
    """Its weight is 0 for good, whatever it does; the move keeps f_beta, which has no mass where it comes from."""
    q = gates.normal(1, 1)
    path = Geometric.of(lambda z: torch.where(z[..., 0] > 0, q.log_prob(z), -torch.inf), q)
    point = path.at(torch.linspace(-1, 1, 200, dtype=F64)[:, None, None])
    moved, accept = hmc(path, point, torch.tensor(0.5), Step(torch.full((1,), 0.3, dtype=F64)), KEY)
    outside = point.log_p == -torch.inf
    assert torch.equal(accept.isnan(), outside)
    back = outside & (moved.u > 0)[..., 0]
    assert back.any()
    assert torch.equal(moved.u[outside & ~back], point.u[outside & ~back])
    assert (moved.u[~outside] > 0).all()


def test_jitter_breaks_the_orbits_of_a_round_normal():
    """From N(0, 1) to N(3, 1) in five dimensions a fixed trajectory comes round to where it began, all axes at once.

    Effective samples of 400, the median over 24 data, were 8 without jitter when measured, and 34 with.
    """
    q = gates.normal(24, 5)

    def run(move):
        return annealed_importance(lambda z: -0.5 * (z - 3).square().sum(-1), q, KEY, 400, linear(30), move, chunk=400)

    jittered, fixed = run(hmc), run(hmc._replace(jitter=0.0))
    laws.mean_is((jittered.log_p - 2.5 * math.log(2 * math.pi)).exp(), torch.tensor(1.0, dtype=F64))
    assert jittered.ess.median() > 2 * fixed.ess.median()


def test_jitter_is_each_particles_own_and_not_the_states():
    q = gates.normal(3, 2)
    path, sizes = Geometric.of(q.log_prob, q), []

    class Spy(Hamiltonian):
        def trajectory(self, path, point, momentum, beta, size, step):
            sizes.append(size[..., 0])
            return super().trajectory(path, point, momentum, beta, size, step)

    for z in (torch.zeros(500, 3, 2, dtype=F64), torch.ones(500, 3, 2, dtype=F64)):
        Spy(jitter=0.4)(path, path.at(z), torch.tensor(0.5), Step(torch.full((3,), 2.0, dtype=F64)), KEY)
    assert torch.equal(*sizes)
    assert ((sizes[0] > 1.2) & (sizes[0] < 2.8)).all()
    laws.mean_is(sizes[0], torch.full((3,), 2.0, dtype=F64))
    laws.mean_is((sizes[0] - 2).square(), torch.full((3,), 0.8**2 / 3, dtype=F64))


def test_the_way_back_takes_each_temperature_with_its_own_step():
    steps = [Step(size) for size in torch.arange(1.0, 7.0).reshape(3, 2)]
    walk = Walk(torch.tensor([0.0, 0.1, 0.3, 0.6, 1.0]), steps, hmc, 2)

    def at(walk):
        return {beta.item(): step.size.tolist() for beta, step in zip(walk.schedule[1:-1], walk.steps, strict=True)}

    assert at(walk.back()) == at(walk)
    assert walk.back().schedule.tolist() == walk.schedule.tolist()[::-1]
    assert walk.back()[2:] == walk[2:]


def correlated(d, correlation=0.98):
    """The Cholesky factor of a covariance with scales from 0.01 to 1 and neighbours correlated."""
    i = torch.arange(d, dtype=F64)
    scales = torch.logspace(-2, 0, d, dtype=F64)
    return scales[:, None] * torch.linalg.cholesky(correlation ** (i[:, None] - i).abs())


def of_correlated(factor):
    def log_p(z):
        white = torch.linalg.solve_triangular(factor, z.mT, upper=False).mT
        return -0.5 * white.square().sum(-1)

    return log_p, factor.diagonal().log().sum() + len(factor) / 2 * math.log(2 * math.pi)


@pytest.mark.parametrize("metric", ["diagonal", "dense"])
def test_an_adapted_metric_leaves_the_posterior_where_it_is(metric):
    """Moves with a factor far from the posterior's keep its covariance, by the correction."""
    factor = correlated(2, 0.7)
    path = Geometric.of(of_correlated(factor)[0], gates.normal(2, 2))
    point = path.at(keys.normal(KEY, (10_000, 2, 2), F64) @ factor.T)
    for i in range(6):
        step = Step(torch.full((2,), 0.008, dtype=F64), METRICS[metric])
        point, accept = hmc(path, point, torch.tensor(1.0), step, keys.fold_in(KEY, i))
    white = torch.linalg.solve_triangular(factor, point.u.mT, upper=False).mT
    laws.mean_is(white, torch.zeros(2, 2, dtype=F64))
    laws.mean_is(white.square(), torch.ones(2, 2, dtype=F64))
    laws.mean_is(white.prod(-1), torch.zeros(2, dtype=F64))
    assert 0.1 < accept.mean() < 0.95


def test_the_metric_of_a_pilot_is_the_posteriors_covariance():
    """In units of its factor the target is round: a condition number of 350,000 becomes less than 30."""
    factor = correlated(6)
    path = Geometric.of(
        of_correlated(factor)[0], DiagNormal(torch.zeros(3, 6, dtype=F64), factor.norm(dim=1).log().expand(3, 6))
    )
    step = tune(path, linear(40), Hamiltonian(metric="dense"), KEY)[-1]
    white = torch.linalg.solve_triangular(factor, step.factor, upper=False)
    assert torch.linalg.cond(factor) ** 2 > 3e5
    assert (torch.linalg.cond(white).square() < 30).all()


def test_a_dense_metric_mixes_where_one_step_for_all_directions_does_not():
    """Scales from 0.01 to 1 and a correlation of 0.98 in ten dimensions, one move per temperature."""
    log_p, truth = of_correlated(correlated(10))
    q = gates.normal(5, 10)
    dense, unit = (smc(log_p, q, KEY, 400, islands=5, repeats=1, move=Hamiltonian(metric=m)) for m in ("dense", "unit"))
    error = lambda found: (found.log_p - truth).square().mean().sqrt()  # noqa: E731
    assert error(dense) < 0.4
    assert error(unit) > 2 * error(dense)
    gates.near(dense, truth)
    gates.near(unit, truth)
