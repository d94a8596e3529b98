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
    state, info = svgd.fit(TARGET.log_prob, start, 400, 0.2, kernel)
    assert info.direction < 1e-3
    torch.testing.assert_close(state.particles.mean(0), LOC, atol=0.03, rtol=0)
    torch.testing.assert_close(state.particles.T.cov(), COVARIANCE, atol=0.02, rtol=0.12)
    assert (info.variance_ratio > 0.85).all()


def test_the_variance_ratio_is_1_for_draws_and_shows_a_collapse():
    """Of a standard normal in 40 dimensions, to which 60 particles converge with a third of its variance."""
    ratio = svgd.update(svgd.init(keys.normal(KEY, (3000, 3), torch.float64)), standard)[1].variance_ratio
    torch.testing.assert_close(ratio, torch.ones(3, dtype=torch.float64), atol=0.1, rtol=0)
    state, info = svgd.fit(standard, keys.normal(KEY, (60, 40), torch.float64), 300, 0.1)
    assert info.direction < 1e-2
    torch.testing.assert_close(info.variance_ratio, state.particles.var(0))  # whose target is 1
    assert info.variance_ratio.mean() < 0.4


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
        svgd.fit(standard, torch.zeros(3, 2), 0)
