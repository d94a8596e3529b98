import pytest
import torch
from torch.func import vmap

from jensen.core import keys, ops
from jensen.estimators.inference import svgd

KEY = keys.key(6)
LOC = torch.tensor([1.0, -2.0], dtype=torch.float64)
COVARIANCE = torch.tensor([[2.0, 0.6], [0.6, 0.5]], dtype=torch.float64)
TARGET = torch.distributions.MultivariateNormal(LOC, COVARIANCE)


def standard(z):
    return -0.5 * z.square().sum(-1)


@pytest.mark.parametrize("kernel", ["rbf", "imq"])
def test_particles_reach_a_normal_target(kernel):
    start = 0.3 * keys.normal(KEY, (100, 2), torch.float64)
    particles, trace = svgd.fit(KEY, TARGET.log_prob, start, 400, 0.2, kernel)
    assert particles.direction < 1e-3
    torch.testing.assert_close(particles.z.mean(0), LOC, atol=0.03, rtol=0)
    torch.testing.assert_close(particles.z.T.cov(), COVARIANCE, atol=0.02, rtol=0.12)
    assert (particles.variance_ratio > 0.85).all()
    assert "settled" in particles.verdict()
    assert trace.converged
    torch.testing.assert_close(trace.objective[-1], TARGET.log_prob(particles.z).mean())
    assert trace.objective.shape == trace.standard_error.shape == (401,)


def test_the_variance_ratio_is_1_for_draws_and_shows_a_collapse():
    """Of a standard normal in 50 dimensions, to which 100 particles converge with 0.09 of its variance."""
    ratio = svgd.update(svgd.init(keys.normal(KEY, (3000, 3), torch.float64)), standard)[1].variance_ratio
    torch.testing.assert_close(ratio, torch.ones(3, dtype=torch.float64), atol=0.1, rtol=0)
    particles, _ = svgd.fit(KEY, standard, keys.normal(KEY, (100, 50), torch.float64), 500, 0.1)
    assert particles.direction < 1e-4
    torch.testing.assert_close(particles.variance_ratio, particles.z.var(0))  # whose target is 1
    assert 0.08 < particles.variance_ratio.mean() < 0.1
    assert "collapsed" in particles.verdict()


def test_few_steps_are_said_to_be_few():
    particles, trace = svgd.fit(KEY, TARGET.log_prob, 9 + keys.normal(KEY, (50, 2), torch.float64), 5)
    assert "still move" in particles.verdict()
    assert not trace.converged


def test_a_cycle_spreads_over_modes_apart_where_a_plain_run_stays():
    def modes(z):
        return torch.logsumexp(torch.stack([-0.5 * (z - 6).square().sum(-1), -0.5 * (z + 6).square().sum(-1)]), 0)

    start = 5 + 0.3 * keys.normal(keys.key(1), (60, 1), torch.float64)
    plain, _ = svgd.fit(KEY, modes, start, 600, 0.2)
    cycled, _ = svgd.fit(KEY, modes, start, 600, 0.2, cycles=3)
    assert (plain.z > 0).all()
    assert 0.05 < (cycled.z < 0).double().mean() < 0.95


def test_temperatures_rise_in_cycles_and_end_at_1():
    t = svgd.temperatures(100, 2)
    assert (t[0], t[40]) == (0, 0)
    assert (t[80:] == 1).all()
    assert (t[1:40].diff() > 0).all()
    assert (svgd.temperatures(3, 0) == 1).all()


def test_minibatches_give_the_scores_of_steps_and_no_report():
    x = keys.normal(keys.key(2), (40, 1), torch.float64) + 3

    def log_p(z, x=x):  # x_i ~ N(z, 1), z ~ N(0, 1)
        return -0.5 * z.square().sum(-1) - 0.5 * 40 / len(x) * (z - x[:, 0]).square().sum(-1)

    def batch(key):
        return lambda z: log_p(z, x[keys.permutation(key, 40)[:10]])

    particles, trace = svgd.fit(KEY, log_p, keys.normal(KEY, (50, 1), torch.float64), 400, batch=batch)
    torch.testing.assert_close(particles.z.mean(0), x.sum(0) / 41, atol=0.06, rtol=0)  # 0.2 where not scaled
    torch.testing.assert_close(trace.objective[-1], log_p(particles.z[:, None]).mean())


def test_a_step_is_its_formula():
    x = keys.normal(KEY, (6, 2), torch.float64)
    state, info = svgd.update(svgd.init(x), TARGET.log_prob, 0.3)
    scores = -(x - LOC) @ torch.linalg.inv(COVARIANCE)
    direction = ops.stein_direction(x, scores)
    torch.testing.assert_close(state.particles, x + 0.3 * direction.sign(), rtol=1e-4, atol=1e-4)  # the first is scaled
    torch.testing.assert_close(info.variance_ratio, -((x - x.mean(0)) * scores).sum(0) / 5)


def test_steps_agree_under_vmap_and_compile():
    starts = keys.normal(KEY, (3, 8, 2), torch.float64)

    def step(x):
        return svgd.update(svgd.init(x), standard)[0].particles

    looped = torch.stack([step(x) for x in starts])
    torch.testing.assert_close(torch.compile(step, fullgraph=True, backend="eager")(starts[0]), looped[0])
    torch.testing.assert_close(vmap(step)(starts), looped)


def test_what_does_not_fit_raises():
    for particles in (torch.zeros(3), torch.zeros(1, 3)):
        with pytest.raises(ValueError, match=r"particles \(m, d\).* m >= 2|with m >= 2"):
            svgd.init(particles)
    with pytest.raises(ValueError, match="expected steps, a whole number >= 1"):
        svgd.fit(KEY, standard, torch.zeros(3, 2), 0)
