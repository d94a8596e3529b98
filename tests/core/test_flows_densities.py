"""Densities of pushforwards integrate to one, with a context too, and samples are drawn in one walk."""

import math

import pytest
import torch
from torch.func import grad

from jensen.core import distributions, flows, keys, trees
from jensen.core.bijections import Positive
from jensen.core.contracts import Drawable, can
from jensen.core.distributions import DiagNormal, FullNormal, Pushforward
from jensen.estimators.gradients import stl
from tests.core.test_flows import F64, IDENTITIES, KEY, scattered

NORMAL = DiagNormal(torch.zeros(1, 2, dtype=F64), torch.full((1, 2), -0.3, dtype=F64))
AXIS = torch.linspace(-12, 12, 401, dtype=F64)
GRID = torch.cartesian_prod(AXIS, AXIS)[:, None]
CELL = (AXIS[1] - AXIS[0]).square()


def integral(q):
    """By the trapezium rule: its error, for densities wider than a cell, and the mass outside are below 1e-3."""
    return torch.exp(q.log_prob(GRID)).sum() * CELL


@pytest.mark.parametrize("name", IDENTITIES)
def test_densities_integrate_to_one(name):
    flow = scattered(KEY, IDENTITIES[name](2), 0.2)
    assert abs(integral(Pushforward(NORMAL, (flow, flows.Reverse()))) - 1) < 1e-3
    assert abs(integral(Pushforward(NORMAL, (flows.Inverse(flow),))) - 1) < 1e-3


@pytest.mark.parametrize("builder", [flows.real_nvp, flows.iaf])
def test_conditional_densities_integrate_to_one(builder):
    """A wrong sign of the log det is off by more than 1e-2."""
    layers = scattered(KEY, builder(KEY, 2, 2, (8,), 3, dtype=F64), 0.4)
    for context in torch.tensor([[[0.0, 1.0, 2.0]], [[-1.0, 0.5, 0.0]]], dtype=F64):
        assert abs(integral(Pushforward(NORMAL, (flows.Conditional(layers, context),))) - 1) < 1e-3


def test_a_wrong_log_det_is_seen():
    class Opposite(flows.Coupling):
        def inverse(self, z, context=None, /):
            found, log_det = flows.Coupling.inverse(self, z)
            return found, -log_det

    flow = scattered(KEY, IDENTITIES["coupling"](2), 0.4)
    assert abs(integral(Pushforward(NORMAL, (Opposite(*flow),))) - 1) > 1e-2


def test_a_network_that_all_data_share_gives_each_its_own_flow():
    """Of a datum alone and in a batch, and with a gradient in its context."""
    layers = scattered(KEY, flows.iaf(KEY, 2, 2, (8,), 3, dtype=F64), 0.4)
    context, z = keys.normal(KEY, (4, 3), F64), keys.normal(keys.key(1), (5, 4, 2), F64)
    together, log_det = flows.Conditional(layers, context).forward(z)
    for i in range(4):
        alone, alone_log_det = flows.Conditional(layers, context[i : i + 1]).forward(z[:, i : i + 1])
        torch.testing.assert_close(together[:, i : i + 1], alone)
        torch.testing.assert_close(log_det[:, i : i + 1], alone_log_det)
    assert sum(t.numel() for t in trees.leaves(layers)) < 300  # whatever the number of data
    slope = grad(lambda c: flows.Conditional(layers, c).forward(z)[0][:, 0].sum())(context)
    assert (slope[0] != 0).all()
    assert (slope[1:] == 0).all()


@pytest.mark.parametrize("scale", [0.0, 0.5])
def test_a_hypernetwork_is_the_flow_with_its_fields_moved(scale):
    planar = scattered(KEY, flows.Planar.identity(KEY, 3, F64))
    flow = flows.Hypernetwork.of(KEY, planar, 2, scale)
    context, z = keys.normal(KEY, (4, 2), F64), keys.normal(keys.key(1), (5, 4, 3), F64)
    image, log_det = flow.forward(z, context)
    for i in range(4):
        own = trees.map(lambda field, slope, i=i: field + slope @ context[i], planar, flow.slopes)
        by_hand = own.forward(z[:, i])
        torch.testing.assert_close(image[:, i], by_hand[0])
        torch.testing.assert_close(log_det[:, i], by_hand[1])


class OneWay(flows.Coupling):
    def inverse(self, z, context=None, /):
        raise AssertionError("a drawn sample needs no inverse")


@pytest.mark.parametrize("onto", [(), (Positive(),)])
def test_samples_are_drawn_with_their_density_in_one_walk(onto):
    coupling = scattered(KEY, IDENTITIES["coupling"](2), 0.4)
    q = Pushforward(NORMAL, (coupling, flows.Reverse(), *onto))
    one_way = Pushforward(NORMAL, (OneWay(*coupling), flows.Reverse(), *onto))
    assert can(q, Drawable)
    z, log_q = distributions.draw(one_way, KEY, 6)
    torch.testing.assert_close(z, q.sample(q.noise(KEY, 6)))
    torch.testing.assert_close(log_q, q.log_prob(z))
    for a, b in zip(one_way.sample_and_log_prob(q.noise(KEY, 6)), (z, log_q), strict=True):
        torch.testing.assert_close(a, b)


COVARIANCE = torch.tensor([[1.0, 0.9], [0.9, 1.0]], dtype=F64)


def test_plu_gives_every_normal():
    """With the Cholesky factor of a covariance: L = unit lower triangular times a diagonal."""
    factor = torch.linalg.cholesky(COVARIANCE)
    scale = factor.diagonal()
    plu = flows.PLU.identity(2, F64)._replace(lower=factor / scale, log_scale=scale.log())
    standard = trees.map(torch.zeros_like, NORMAL)
    exact = torch.distributions.MultivariateNormal(torch.zeros(2, dtype=F64), COVARIANCE)
    torch.testing.assert_close(Pushforward(standard, (plu,)).log_prob(GRID), exact.log_prob(GRID))


TARGET = FullNormal.from_covariance(torch.zeros(1, 2, dtype=F64), COVARIANCE[None])


def fitted(q, steps, lr=0.03):
    """q after Adam's steps on its ELBO, sticking the landing."""
    q = trees.map(torch.clone, q)
    optimiser = torch.optim.Adam(trees.leaves(q), lr=lr)
    for step in range(steps):
        noise = q.noise(keys.fold_in(KEY, step), 64)
        trees.set_grads(q, grad(lambda q, noise=noise: -stl(TARGET.log_prob, q, noise).sum())(trees.stop(q)))
        optimiser.step()
    return trees.stop(q)


def test_the_mean_field_stays_below_a_correlated_normal_and_a_full_one_does_not():
    """The best of independent normals stays -1/2 log(1 - 0.9^2) = 0.830 nats below log p."""
    mean_field = fitted(NORMAL, 60, 0.1)
    assert 0 <= FullNormal.from_diagonal(mean_field).kl(TARGET).item() + 0.5 * math.log(1 - 0.9**2) < 0.01
    full = fitted(FullNormal.from_diagonal(NORMAL), 80, 0.1)
    assert full.kl(TARGET).item() < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize(
    "layers",
    [
        flows.iaf(KEY, 2, 1, (8,), dtype=F64),
        flows.real_nvp(KEY, 2, 2, (8,), dtype=F64),
        (flows.PLU.identity(2, F64),),
        (flows.Sylvester.householder(KEY, 2, 2, dtype=F64), flows.Sylvester.householder(keys.key(1), 2, 2, dtype=F64)),
        (flows.Continuous.identity(KEY, 2, (8,), steps=4, dtype=F64),),
    ],
    ids=["iaf", "real_nvp", "plu", "sylvester", "continuous"],
)
def test_a_flow_closes_the_gap_of_a_correlated_normal(layers):
    q = fitted(Pushforward(NORMAL, layers), 200)
    z, log_q = q.draw(keys.key(9), 4000)
    left = log_q - TARGET.log_prob(z)
    assert left.mean() - 4 * left.std() / 4000**0.5 < 0.03
    assert left.mean() < 0.1
