"""Normalising flows as density models: quadrature, finite differences and normal data as oracles."""

import pytest
import torch
from torch.func import grad, jacrev, vmap

from jensen.core import keys, trees
from jensen.core.distributions import DiagNormal
from jensen.core.flows import Affine, Coupling, RationalQuadratic
from jensen.core.models.transport import normalising

KEY = keys.key(0)
DOUBLE = torch.float64
LOC, SCALE = torch.tensor([0.5, -1.0], dtype=DOUBLE), torch.tensor([1.5, 0.4], dtype=DOUBLE)
X = LOC + SCALE * keys.normal(KEY, (1, 200, 2), DOUBLE)[0]
BOUND = 3.0
MODELS = {
    "real-nvp": normalising.build(2, couplings=4, hidden=(8,)),
    "spline": normalising.build(2, RationalQuadratic(4, BOUND), couplings=2, hidden=(8, 8)),
}


def moved(model, x):
    """Parameters far from their start, where every coupling is the identity."""
    params = model.init(KEY, x)
    seeds = iter(range(len(trees.leaves(params))))
    return trees.map(lambda t: t + 0.25 * keys.normal(keys.fold_in(KEY, next(seeds)), t.shape, t.dtype), params)


@pytest.fixture(scope="module", params=MODELS)
def case(request):
    model = MODELS[request.param]
    return model, moved(model, X)


def quadrature(model, params, f=None):
    """The integral of p, or of p f, over a square that leaves out nothing that counts."""
    axis = torch.linspace(-12, 12, 401, dtype=DOUBLE)
    grid = torch.cartesian_prod(axis, axis)
    p = model.log_prob(params, grid).exp() * (axis[1] - axis[0]) ** 2
    return p.sum().item() if f is None else (p[:, None] * f(grid)).sum(0)


def test_densities_integrate_to_1(case):
    model, params = case
    assert quadrature(model, params) == pytest.approx(1, abs=2e-3)
    away = model.log_prob(params, X) - DiagNormal(LOC[None], SCALE.log()[None]).log_prob(X[:, None])[:, 0]
    assert away.std() > 0.1  # from the normal that they start at


def test_a_wrong_sign_of_the_log_determinant_does_not(case, monkeypatch):
    model, params = case
    inverse = Coupling.inverse

    def wrong(self, z, context=None):
        found, log_det = inverse(self, z, context)
        return found, -log_det

    monkeypatch.setattr(Coupling, "inverse", wrong)
    assert abs(quadrature(model, params) - 1) > 0.05


def test_both_ways_are_inverse(case):
    model, params = case
    p, z = model.distribution(params, 200), keys.normal(keys.fold_in(KEY, 5), (1, 200, 2), DOUBLE)
    x = p.sample(z)
    for flow in reversed(p.flows):
        x, _ = flow.inverse(x)
    torch.testing.assert_close(x, z, rtol=0, atol=1e-10)


def test_densities_of_samples_are_by_the_jacobian_of_finite_differences(case):
    """log p(T(z)) = log N(z) - log |det dT / dz|."""
    model, params = case
    p, step = model.distribution(params, 20), 1e-5
    z = keys.normal(keys.fold_in(KEY, 6), (1, 20, 2), DOUBLE)
    columns = [(p.sample(z + e) - p.sample(z - e))[0] / (2 * step) for e in step * torch.eye(2, dtype=DOUBLE)]
    expected = DiagNormal(0 * z[0], 0 * z[0]).log_prob(z)[0] - torch.stack(columns, -1).det().abs().log()
    torch.testing.assert_close(model.log_prob(params, p.sample(z)[0]), expected, rtol=0, atol=1e-6)


def test_samples_have_the_moments_of_the_density(case):
    model, params = case
    x = model.sample(params, keys.fold_in(KEY, 7), 20_000)
    for f in (lambda x: x, torch.square):
        exact, error = quadrature(model, params, f), f(x).std(0) / len(x) ** 0.5
        assert ((f(x).mean(0) - exact).abs() < 4 * error + 2e-3 * exact.abs()).all()


def test_training_starts_at_the_datas_means_and_scales(case):
    model, _ = case
    params = model.init(KEY, X)
    start = DiagNormal(X.mean(0)[None], X.std(0, correction=0).log()[None])
    torch.testing.assert_close(model.log_prob(params, X), start.log_prob(X[:, None])[:, 0], rtol=0, atol=1e-10)


def test_tails_beyond_the_box_of_splines_are_normal():
    """There every coupling is the identity: p is a normal of its own mean and scale."""
    model = MODELS["spline"]
    params = moved(model, X)
    to_unit = params["flows"][-1].flow
    z = torch.tensor([[4.0, -5.0], [-30.0, 8.0], [-BOUND, 200.0]], dtype=DOUBLE)
    x = to_unit.inverse(z)[0]
    expected = DiagNormal(0 * z, 0 * z).log_prob(z[None])[0] + to_unit.log_scale.sum()
    torch.testing.assert_close(model.log_prob(params, x), expected, rtol=1e-12, atol=0)
    assert grad(lambda x: model.log_prob(params, x).sum())(x).isfinite().all()


def test_couplings_mix_all_coordinates():
    """d T_i / d z_j != 0 for every two of eight coordinates, halves of which no coupling would mix otherwise."""
    model = normalising.build(8, couplings=4, hidden=(8,))
    x = keys.normal(KEY, (1, 9, 8), DOUBLE)[0]
    p = model.distribution(moved(model, x), 1)
    jacobian = jacrev(lambda z: p.sample(z[None, None])[0, 0])(x[0])
    assert (jacobian.abs() > 1e-6).all()


def test_a_draw_alone_is_that_of_a_batch(case):
    model, params = case
    drawn = model.sample(params, KEY, 5)
    torch.testing.assert_close(model.sample(params, keys.at(KEY, datum=3), 1)[0], drawn[3])


def test_gradients_map(case):
    model, params = case

    def slope(x):
        return grad(lambda p: model.log_prob(p, x).mean())(params)

    halves = torch.stack([X[:4], X[4:8]])
    for both, first in zip(trees.leaves(vmap(slope)(halves)), trees.leaves(slope(X[:4])), strict=True):
        torch.testing.assert_close(both[0], first)
        assert first.any() or not first.numel()  # a network without a context has weights for none


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: normalising.build(1), "expected data, a whole number >= 2, got 1"),
        (lambda: normalising.build(2, Affine), "expected transform, a value such as Affine"),
        (lambda: normalising.build(2, couplings=3), "expected couplings, an even number, got 3"),
        (lambda: normalising.build(2, hidden=()), "expected hidden of one width or more"),
        (lambda: MODELS["spline"].init(KEY, X[:, :1]), r"expected x \(n, 2\), got \(200, 1\)"),
        (lambda: MODELS["spline"].log_prob(moved(MODELS["spline"], X), X.long()), "expected x in floating point"),
        (lambda: MODELS["spline"].log_prob({"flow": ()}, X), "missing 'flows'"),
        (lambda: MODELS["spline"].sample(moved(MODELS["spline"], X), KEY, 0), "expected n, a whole number >= 1"),
    ],
)
def test_refusals(call, message):
    with pytest.raises((TypeError, ValueError, KeyError), match=message):
        call()
