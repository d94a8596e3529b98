"""Flows are invertible with the log determinants they claim, begin as the identity, and push distributions forward."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.func import grad, vmap

from jensen import laws
from jensen.core import flows, keys, trees
from jensen.core.distributions import Bernoulli, DiagNormal, Pushforward
from jensen.estimators.gradients import pathwise, stl
from jensen.laws import strategies

KEY = keys.key(31)
F64 = torch.float64


def scattered(key, flow, scale=1.0, n=None):
    """The flow with normal noise in every field; n of them, one per datum."""
    fields = trees.map(lambda t: t if n is None else t.expand(n, *t.shape), flow)
    drawn = iter(keys.split(key, len(trees.leaves(fields))))
    return trees.map(lambda t: t + scale * keys.normal(next(drawn), (t.numel(),), t.dtype).reshape(t.shape), fields)


def random_coupling(key, d, n=None):
    """Far from the identity in every field."""
    return scattered(key, flows.Coupling.identity(key, d, (3,), n=n, dtype=F64))


IDENTITIES = {
    "coupling": lambda d: flows.Coupling.identity(KEY, d, (4,), dtype=F64),
    "spline coupling": lambda d: flows.Coupling.identity(
        KEY, d, (4,), transform=flows.RationalQuadratic(5, 3.0), dtype=F64
    ),
    "autoregressive": lambda d: flows.Autoregressive.identity(KEY, d, (7, 5), dtype=F64),
    "spline autoregressive": lambda d: flows.Autoregressive.identity(
        KEY, d, (7,), transform=flows.RationalQuadratic(5, 3.0), dtype=F64
    ),
    "planar": lambda d: flows.Planar.identity(KEY, d, F64),
    "radial": lambda d: flows.Radial.identity(KEY, d, F64),
    "orthogonal Sylvester": lambda d: flows.Sylvester.orthogonal(KEY, d, min(d, 2), F64),
    "Householder Sylvester": lambda d: flows.Sylvester.householder(KEY, d, 2, dtype=F64),
    "triangular Sylvester": lambda d: flows.Sylvester.triangular(KEY, d, F64),
    "PLU": lambda d: flows.PLU.identity(d, F64),
    "actnorm": lambda d: flows.Actnorm.identity(d, F64),
    "continuous": lambda d: flows.Continuous.identity(KEY, d, (4,), steps=4, dtype=F64),
}
EXACT = sorted(IDENTITIES.keys() - {"continuous"})  # whose ways undo each other to rounding


@pytest.mark.law
@given(strategies.seeds, st.integers(1, 4), st.sampled_from([None, 2]), st.sampled_from(EXACT))
def test_flows_are_invertible(key, d, n, name):
    flow_key, z_key = keys.split(key)
    z = keys.normal(z_key, (3, 2, d), F64)
    laws.is_invertible(scattered(flow_key, IDENTITIES[name](d), n=n), z)
    laws.is_invertible(flows.Permutation.random(flow_key, d), z)


@pytest.mark.parametrize("name", IDENTITIES)
@pytest.mark.parametrize("d", [1, 5])
def test_each_begins_as_the_identity_and_can_leave_it(name, d):
    flow, z = IDENTITIES[name](d), keys.normal(KEY, (4, 2, d), F64)
    image, log_det = flow.forward(z)
    torch.testing.assert_close(image, z, rtol=0, atol=1e-12)
    torch.testing.assert_close(log_det, torch.zeros(4, 2, dtype=F64), rtol=0, atol=1e-12)
    slope = grad(lambda f: (f.forward(z)[0] * z.roll(1, 0)).sum() + 0.3 * f.forward(z)[1].sum())(flow)
    assert trees.norm(slope) > 0.01


@pytest.mark.parametrize("name", IDENTITIES)
def test_a_datum_with_its_own_flow_is_moved_as_if_alone(name):
    flow = scattered(KEY, IDENTITIES[name](3), 0.5, 2)
    z = keys.normal(KEY, (4, 2, 3), F64)
    for way in ("forward", "inverse"):
        together = getattr(flow, way)(z)
        for i in range(2):
            alone = getattr(trees.map(lambda t, i=i: t[i], flow), way)(z[:, i])
            for a, b in zip(together, alone, strict=True):
                torch.testing.assert_close(a[:, i], b)


@pytest.mark.parametrize("builder", [flows.real_nvp, flows.spline_couplings, flows.iaf, flows.maf])
@pytest.mark.parametrize("d", [1, 2, 5])
def test_builders_begin_as_the_identity_and_move_every_component(builder, d):
    base = DiagNormal(keys.normal(KEY, (2, d), F64), torch.zeros(2, d, dtype=F64))
    q = Pushforward(base, builder(KEY, d, 2, (8,), n=2, dtype=F64))
    eps = q.noise(KEY, 5)
    torch.testing.assert_close(q.sample(eps), base.sample(eps))
    torch.testing.assert_close(q.log_prob(eps), base.log_prob(eps))
    moved = q._replace(flows=scattered(KEY, q.flows, 0.3))
    assert ((moved.sample(eps) - base.sample(eps)).abs().amax((0, 1)) > 0.01).all()


def test_it_is_a_value_that_estimators_and_transforms_take():
    base = DiagNormal(torch.zeros(2, 2, dtype=F64), torch.zeros(2, 2, dtype=F64))
    q = Pushforward(base, (random_coupling(KEY, 2, 2), flows.Reverse()))
    eps = q.noise(KEY, 4)

    def log_p(z):
        return -0.5 * z.square().sum(-1) - math.log(2 * math.pi)

    torch.testing.assert_close(pathwise(log_p, q, eps), stl(log_p, q, eps))
    slope = grad(lambda q: pathwise(log_p, q, eps).sum())(q)
    assert all(torch.isfinite(t).all() for t in trees.leaves(slope))
    assert all((t != 0).any() for t in trees.leaves(slope) if t.numel())
    many = vmap(lambda key: grad(lambda q: pathwise(log_p, q, q.noise(key, 4)).sum())(q).base.loc)(keys.split(KEY, 3))
    one = grad(lambda q: pathwise(log_p, q, q.noise(keys.split(KEY, 3)[1], 4)).sum())(q).base.loc
    torch.testing.assert_close(many[1], one)
    assert not any(t.requires_grad for t in trees.leaves(trees.stop(q)))


@pytest.mark.parametrize("name", IDENTITIES)
def test_it_is_saved_and_loaded(name, tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    flow, z = scattered(KEY, IDENTITIES[name](3)), keys.normal(KEY, (4, 2, 3), F64)
    safetensors.save_file(trees.paths(flow), tmp_path / "flow.safetensors")
    loaded = trees.from_paths(safetensors.load_file(tmp_path / "flow.safetensors"), like=IDENTITIES[name](3))
    for a, b in zip(flow.forward(z), loaded.forward(z), strict=True):
        assert torch.equal(a, b)


def test_bad_input_raises():
    with pytest.raises(TypeError, match="expected a continuous base, got Bernoulli"):
        Pushforward(Bernoulli(torch.zeros(2, 2)), flows.real_nvp(KEY, 2)).log_prob(torch.zeros(1, 2, 2))
    with pytest.raises(ValueError, match=r"expected z \(\.\.\., 3\), got \(2, 4\): the coupling is of 1 and 2"):
        random_coupling(KEY, 3).forward(torch.zeros(2, 4))
    with pytest.raises(ValueError, match="even number of couplings, 2 or more, got 3"):
        flows.real_nvp(KEY, 2, 3)
    with pytest.raises(TypeError, match=r"expected context \(n, 2\), got None: call forward\(z, context\)"):
        flows.Coupling.identity(KEY, 3, context=2).forward(torch.zeros(2, 3))
    with pytest.raises(ValueError, match="expected m <= d = 3, got 4"):
        flows.Sylvester.orthogonal(KEY, 3, 4)
