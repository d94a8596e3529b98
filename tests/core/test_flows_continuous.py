"""The continuous flow beside equations that are solved exactly, its order, and its estimate of the trace."""

from itertools import product

import pytest
import torch
from torch.func import grad

from jensen.core import flows, keys, trees
from jensen.core.distributions import DiagNormal, Pushforward
from jensen.estimators.gradients import pathwise, stl
from tests.core.test_flows import F64, KEY, scattered

Z = keys.normal(KEY, (5, 2, 3), F64)


def made(steps=4, context=0, probes=0):
    return scattered(
        KEY, flows.Continuous.identity(KEY, 3, (6, 5), context, steps=steps, probes=probes, dtype=F64), 0.3
    )


def test_a_linear_equation_is_solved_by_the_exponential_of_its_matrix():
    """dz / dt = A z, as A / eps tanh(eps z)."""
    a, eps = 0.5 * keys.normal(KEY, (3, 3), F64), 1e-5
    zero = flows.Continuous.identity(KEY, 3, (3,), steps=32, dtype=F64)
    network = trees.map(torch.zeros_like, zero.network)
    flow = zero._replace(network=network._replace(weights=(eps * torch.eye(3, dtype=F64), a / eps)))
    exact = torch.linalg.matrix_exp(a)
    image, log_det = flow.forward(Z)
    torch.testing.assert_close(image, Z @ exact.T, rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(log_det, a.trace().expand(5, 2), rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(flow.inverse(Z)[0], Z @ torch.linalg.inv(exact).T, rtol=1e-7, atol=1e-7)


def test_time_enters_the_field():
    """dz / dt = b + w tanh(t), whose integral is b + w log cosh(1)."""
    zero = flows.Continuous.identity(KEY, 3, (1,), steps=32, dtype=F64)
    w, b = torch.tensor([[1.0], [-2.0], [0.5]], dtype=F64), torch.tensor([0.3, 0.0, -1.0], dtype=F64)
    network = zero.network._replace(
        weights=(torch.zeros(1, 3, dtype=F64), w),
        biases=(torch.zeros(1, dtype=F64), b),
        given=torch.ones(1, 1, dtype=F64),
    )
    image, log_det = zero._replace(network=network).forward(Z)
    moved = b + w[:, 0] * torch.log(torch.cosh(torch.ones((), dtype=F64)))
    torch.testing.assert_close(image, Z + moved, rtol=0, atol=1e-8)
    assert (log_det == 0).all()


def test_errors_fall_with_the_fourth_power_of_the_step():
    fine = made(128).forward(Z)
    errors = [[(a - b).norm() for a, b in zip(made(steps).forward(Z), fine, strict=True)] for steps in (8, 16)]
    for coarse, half in zip(*errors, strict=True):
        assert 12 < coarse / half < 20


def test_all_signs_give_the_exact_trace():
    """mean_k e_k e_k' = I over the 8 vectors of signs: the estimate is unbiased, and one probe alone is not exact."""
    signs = torch.tensor(list(product((-1.0, 1.0), repeat=3)), dtype=F64)
    exact = made().forward(Z)
    for found, wanted in zip(made()._replace(probes=signs).forward(Z), exact, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
    one = made()._replace(probes=signs[:1]).forward(Z)[1]
    assert ((one - exact[1]).abs() > 1e-3).any()


def test_probes_are_signs_of_a_key_and_have_no_gradient():
    flow = flows.Continuous.identity(KEY, 3, (4,), probes=100, dtype=F64)
    assert (flow.probes.abs() == 1).all()
    assert abs(flow.probes.mean()) < 5 / 300**0.5
    assert (flow.reprobed(keys.key(1)).probes != flow.probes).any()
    assert torch.equal(flow.reprobed(keys.key(1)).probes, flow.reprobed(keys.key(1)).probes)
    assert (grad(lambda f: f.forward(Z)[1].sum())(made(probes=2)).probes == 0).all()


def test_gradients_through_the_steps_are_those_of_differences():
    flow = made()
    slope = grad(lambda f: f.forward(Z)[0].sin().sum() + f.forward(Z)[1].cos().sum())(flow)
    vector, unravel = trees.ravel(flow.network)
    direction = keys.normal(keys.key(2), vector.shape, F64)

    def value(t):
        image, log_det = flow._replace(network=unravel(vector + t * direction)).forward(Z)
        return image.sin().sum() + log_det.cos().sum()

    by_differences = (value(1e-5) - value(-1e-5)) / 2e-5
    torch.testing.assert_close(trees.ravel(slope.network)[0] @ direction, by_differences, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("context", [0, 2])
def test_it_is_a_posterior(context):
    """Estimators take it; sticking the landing pushes the score by the way back, as exact as the steps are."""
    given = keys.normal(KEY, (2, 2), F64)
    layers = (flows.Conditional((made(16, 2),), given),) if context else (made(16),)
    base = DiagNormal(torch.zeros(2, 3, dtype=F64), torch.zeros(2, 3, dtype=F64))
    q = Pushforward(base, layers)
    noise = q.noise(KEY, 3)
    z, log_q, score = q.sample_and_score(noise)
    torch.testing.assert_close(log_q, q.log_prob(z), rtol=0, atol=1e-5)
    torch.testing.assert_close(score, grad(lambda z: q.log_prob(z).sum())(z), rtol=0, atol=1e-5)
    value = [estimate(lambda z: -z.square().sum(-1), q, noise) for estimate in (pathwise, stl)]
    torch.testing.assert_close(*value)
