"""Each flow beside what defines it: constraints at their edges, matrices written out, masks, knots, and moments."""

import pytest
import torch
from torch.func import grad, jacrev

from jensen.core import flows, keys, trees
from tests.core.test_flows import F64, IDENTITIES, KEY, scattered

Z = keys.normal(KEY, (40, 1, 2), F64)


@pytest.mark.parametrize("product", [-1e4, -30.0, -1.0, 0.0, 2.0])
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_planar_keeps_w_v_above_minus_one(product, dtype):
    w = torch.tensor([0.6, -0.8], dtype=dtype)
    flow, z = flows.Planar(product * w, w, torch.tensor(0.1, dtype=dtype)), Z.to(dtype)
    jacobian = jacrev(lambda z: flow.forward(z)[0])(torch.tensor([0.3, 0.35], dtype=dtype))
    assert torch.linalg.det(jacobian.double()) > 0  # w . z + b is near 0, where the map is steepest
    image, log_det = flow.forward(z)
    assert log_det.isfinite().all()
    error = (flow.forward(flow.inverse(z)[0])[0] - z).abs() / (1 + abs(product))
    assert error.max() <= (1e-10 if dtype == F64 else 1e-5)
    if product >= 0:
        torch.testing.assert_close(image, z + flow.u * torch.tanh((z * w).sum(-1, keepdim=True) + flow.b))


@pytest.mark.parametrize("size", [0.0, 1e-30, 1e-12])
def test_planar_and_its_gradient_are_finite_as_w_vanishes(size):
    flow = flows.Planar(torch.tensor([3.0, -30.0]), torch.full((2,), size), torch.tensor(0.3))
    z = Z.float()
    slope = grad(lambda f: f.forward(z)[0].sum() + f.forward(z)[1].sum() + f.inverse(z)[0].sum())(flow)
    assert all(t.isfinite().all() for t in trees.leaves(slope))
    torch.testing.assert_close(flow.forward(z)[0], z + flow.u * torch.tanh(flow.b))


@pytest.mark.parametrize("log_gamma", [-12.0, 0.0, 12.0])
def test_radial_at_its_centre_and_far_away(log_gamma):
    flow = flows.Radial(torch.zeros(2, dtype=F64), torch.zeros((), dtype=F64), torch.tensor(log_gamma, dtype=F64))
    for z in (torch.zeros(1, 2, dtype=F64), torch.full((1, 2), 1e-9, dtype=F64), torch.full((1, 2), 1e6, dtype=F64)):
        torch.testing.assert_close(flow.inverse(flow.forward(z)[0])[0], z, rtol=1e-9, atol=1e-15)
        slope = grad(lambda f, z=z: f.forward(z)[1].sum() + f.inverse(z)[0].sum())(flow)
        assert all(t.isfinite().all() for t in trees.leaves(slope))
    beta = torch.tensor(log_gamma, dtype=F64).exp() - 1  # of the paper, with alpha = 1
    r = torch.linalg.vector_norm(Z, dim=-1, keepdim=True)
    torch.testing.assert_close(flow.forward(Z)[0], Z + beta / (1 + r) * Z)


def test_a_sylvester_flow_of_one_dimension_is_planar():
    sylvester = scattered(KEY, flows.Sylvester.orthogonal(KEY, 2, 1, F64))
    q = sylvester.basis.columns(sylvester.bias)[:, 0]
    a, b = (0.9995 * torch.tanh(t[0, 0]) for t in (sylvester.a, sylvester.b))
    product = a * b  # w . v
    planar = flows.Planar(a * q / (1 + product.clamp(max=0)), b * q, sylvester.bias[0])
    for one, other in zip(sylvester.forward(Z), planar.forward(Z), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("build", [flows.Sylvester.orthogonal, flows.Sylvester.householder])
def test_columns_are_orthonormal_and_log_dets_finite_at_the_edge(build):
    flow = scattered(KEY, build(KEY, 4, 3, dtype=F64), 100.0)
    q = flow.basis.columns(flow.bias)
    torch.testing.assert_close(q.mT @ q, torch.eye(q.shape[1], dtype=F64))
    assert flow.forward(keys.normal(KEY, (5, 1, 4), F64))[1].isfinite().all()


def test_reflections_are_skipped_where_their_vectors_vanish():
    flow = flows.Sylvester.householder(KEY, 3, 2, dtype=F64)
    zero = flow._replace(basis=trees.map(torch.zeros_like, flow.basis))
    torch.testing.assert_close(zero.basis.columns(zero.bias), torch.eye(3, dtype=F64))
    v = flow.basis.vectors
    one, two = (torch.eye(3, dtype=F64) - 2 * torch.outer(t, t) / t.dot(t) for t in v)
    torch.testing.assert_close(flow.basis.columns(flow.bias), one @ two)


def test_plu_is_the_matrix_that_its_factors_say():
    rotation = flows.PLU.rotation(KEY, 4, F64)
    w = jacrev(lambda z: rotation.forward(z)[0])(torch.zeros(4, dtype=F64))
    torch.testing.assert_close(w @ w.T, torch.eye(4, dtype=F64))
    flow, z = scattered(KEY, rotation), keys.normal(KEY, (3, 2, 4), F64)
    w = jacrev(lambda z: flow.forward(z)[0])(torch.zeros(4, dtype=F64))
    image, log_det = flow.forward(z)
    torch.testing.assert_close(image, z @ w.T)
    torch.testing.assert_close(log_det, torch.linalg.slogdet(w).logabsdet.expand(3, 2))
    torch.testing.assert_close(flow.inverse(z)[0], z @ torch.linalg.inv(w).T)


def test_actnorm_normalises_what_reaches_it_from_a_batch():
    z = 3 + torch.tensor([0.1, 20.0, 0.0], dtype=F64) * keys.normal(KEY, (50, 4, 3), F64)
    before = scattered(KEY, flows.PLU.rotation(KEY, 3, F64))
    one, _, two = flows.normalised((flows.Actnorm.identity(3, F64), flows.Reverse(), before), z)
    assert two is before
    image = one.forward(z)[0].flatten(0, 1)
    torch.testing.assert_close(image.mean(0), torch.zeros(3, dtype=F64), rtol=0, atol=1e-12)
    torch.testing.assert_close(image.var(0, correction=0), torch.tensor([1.0, 1.0, 0.0], dtype=F64))
    _, last = flows.normalised((before, flows.Actnorm.identity(3, F64)), z)
    image = last.forward(before.forward(z)[0])[0]
    torch.testing.assert_close(image.var((0, 1), correction=0), torch.ones(3, dtype=F64))


@pytest.mark.parametrize("name", ["autoregressive", "spline autoregressive"])
def test_a_component_depends_on_those_before_it_and_on_all_of_them(name):
    flow = scattered(KEY, IDENTITIES[name](5))
    jacobian = jacrev(lambda z: flow.forward(z)[0])(keys.normal(KEY, (5,), F64))
    assert torch.equal(jacobian, jacobian.tril())
    assert (jacobian.tril() != 0).sum() == 15


def test_a_context_reaches_every_component_of_an_autoregressive_flow():
    flow = scattered(KEY, flows.Autoregressive.identity(KEY, 4, (8,), 2, dtype=F64))
    context, z = keys.normal(KEY, (1, 2), F64), keys.normal(KEY, (1, 1, 4), F64)
    slopes = jacrev(lambda c: flow.forward(z, c)[0])(context)
    assert (slopes.flatten(0, 2).abs().amax((1, 2)) > 1e-6).all()


def test_a_spline_goes_through_its_knots_and_is_the_identity_outside():
    spline = flows.RationalQuadratic(4, 2.0)
    theta = 2 * keys.normal(KEY, (11, 1), F64).requires_grad_()
    widths, heights = (0.001 + 0.996 * torch.softmax(t[:, 0], 0) for t in (theta[:4], theta[4:8]))
    knots, images = (4 * torch.cumsum(t, 0)[:-1] - 2 for t in (widths, heights))
    slopes = 0.001 + torch.log1p(torch.exp(theta[8:, 0] + torch.log(torch.expm1(torch.tensor(0.999, dtype=F64)))))
    wide = theta.expand(11, 3)
    image, log_slope = spline.forward(wide, knots)
    torch.testing.assert_close(image, images)
    torch.testing.assert_close(log_slope, torch.log(slopes))
    z = torch.tensor([-2.0, 2.0, 2.5], dtype=F64)
    for way in (spline.forward, spline.inverse):
        image, log_slope = way(wide, z)
        torch.testing.assert_close(image, z, rtol=0, atol=0)
        torch.testing.assert_close(log_slope, torch.zeros(3, dtype=F64), rtol=0, atol=0)
    near = torch.tensor([-2 + 1e-9, 2 - 1e-9, 0.0], dtype=F64)
    torch.testing.assert_close(spline.forward(wide, near)[0][:2], near[:2], rtol=0, atol=1e-8)
    torch.testing.assert_close(spline.forward(wide, near)[1][:2], torch.zeros(2, dtype=F64), rtol=0, atol=1e-5)
    (slope,) = torch.autograd.grad(spline.forward(wide, 1e30 * z)[0].sum() + spline.inverse(wide, z)[1].sum(), theta)
    assert slope.isfinite().all()


@pytest.mark.parametrize(("dtype", "scale"), [(torch.float32, 1.0), (torch.float32, 3.0), (F64, 3.0)])
def test_a_spline_s_inverse_is_as_exact_as_its_value_can_be_stored(dtype, scale):
    """forward(inverse(y)) is off by the rounding of z, which the slope multiplies, and a few roundings of y."""
    spline = flows.RationalQuadratic(8, 5.0)
    theta = scale * keys.normal(KEY, (23 * 2000,), dtype).reshape(23, 2000)
    y = 3 * keys.normal(keys.key(1), (2000,), dtype)
    z, minus = spline.inverse(theta, y)
    again, log_slope = spline.forward(theta, z)
    eps = torch.finfo(dtype).eps
    assert ((again - y).abs() <= 8 * eps * 5 * (1 + torch.exp(log_slope) + torch.exp(-minus))).all()
