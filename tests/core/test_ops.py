import importlib

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given
from scipy import stats
from torch.func import grad, jacrev, vmap
from torch.fx.experimental.proxy_tensor import make_fx

from jensen import laws
from jensen.core import keys, numerics, ops
from jensen.core.ops._bernoulli_log_prob import by_products
from jensen.laws import strategies

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


def noise(*shape, seed=0):
    return keys.normal(keys.key(seed), shape, torch.float64)


def test_normal_log_prob_is_scipys():
    z, loc, log_scale = noise(4, 3, 5), noise(3, 5, seed=1), noise(3, 5, seed=2)
    expected = stats.norm.logpdf(z.numpy(), loc.numpy(), np.exp(log_scale.numpy())).sum(-1)
    np.testing.assert_allclose(ops.normal_log_prob(z, loc, log_scale), expected, rtol=1e-12)


def test_bernoulli_log_prob_is_scipys():
    logits = 30 * noise(4, 3, 5)
    x = (noise(3, 5, seed=1) > 0).double()
    expected = np.where(x == 1, -np.logaddexp(0, -logits.numpy()), -np.logaddexp(0, logits.numpy())).sum(-1)
    np.testing.assert_allclose(ops.bernoulli_log_prob(x, logits), expected, rtol=1e-12)


def test_bernoulli_gradient_is_right_at_zero_logits():
    slope = grad(lambda a: ops.bernoulli_log_prob(torch.ones(3), a))(torch.zeros(3))
    assert torch.allclose(slope, torch.full((3,), 0.5))


def test_normal_kl_is_quadratures():
    q_loc, q_log_scale, p_loc, p_log_scale = (0.5 * noise(6, seed=i) for i in range(4))
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    a, b, c, d = (t.numpy() for t in (q_loc, q_log_scale.exp(), p_loc, p_log_scale.exp()))
    z = a + b * nodes[:, None]
    gap = stats.norm.logpdf(z, a, b) - stats.norm.logpdf(z, c, d)
    expected = (weights[:, None] * gap).sum() / weights.sum()
    np.testing.assert_allclose(ops.normal_kl(q_loc, q_log_scale, p_loc, p_log_scale), expected, rtol=1e-10)


@pytest.mark.parametrize("log_scale", [1e-1, 1e-2, 1e-3, 5e-4, -5e-4, 0.24999, 0.25001, 3.0])
@pytest.mark.parametrize("loc", [0.0, 1e-3])
def test_small_kl_is_accurate(log_scale, loc):
    """Down to KL = 5e-7, against 50 digits."""
    q_loc, q_log_scale = torch.tensor([loc]), torch.tensor([log_scale])
    zero = torch.zeros(1)
    with mpmath.workdps(50):
        t = 2 * mpmath.mpf(q_log_scale.item())
        expected = float((mpmath.e**t - 1 - t + mpmath.mpf(q_loc.item()) ** 2) / 2)
    assert abs(ops.normal_kl(q_loc, q_log_scale, zero, zero).item() / expected - 1) < 1e-6
    in_double = ops.normal_kl(q_loc.double(), q_log_scale.double(), zero.double(), zero.double()).item()
    assert abs(in_double / expected - 1) < 1e-13


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("log_scale", [-100.0, -30.0, 0.0, 30.0, 100.0])
def test_extreme_scales_stay_finite_and_point_back(dtype, log_scale):
    """Values and gradients are finite in every dtype; beyond the edge each density's gradient points inside."""
    z, loc, zero = torch.tensor([1.5], dtype=dtype), torch.tensor([0.5], dtype=dtype), torch.zeros(1, dtype=dtype)
    at = torch.tensor([log_scale], dtype=dtype)
    densities = {
        "log_prob": lambda z, loc, a: ops.normal_log_prob(z, loc, a),
        "minus_kl": lambda z, loc, a: -ops.normal_kl(loc, a, zero, zero),
        "minus_kl_prior": lambda z, loc, a: -ops.normal_kl(z, zero, loc, a),
    }
    for name, f in densities.items():
        value, slopes = f(z, loc, at), grad(lambda *a, f=f: f(*a).sum(), (0, 1, 2))(z, loc, at)
        assert torch.isfinite(value).all(), name
        assert all(torch.isfinite(s).all() for s in slopes), name
        if log_scale:
            assert slopes[2].item() * log_scale < 0, f"{name} does not point back"


def test_the_bounded_map_is_the_identity_inside_and_smooth():
    for dtype, edge in ((torch.float16, 4.0), (torch.float32, 20.0), (torch.float64, 20.0)):
        inside = torch.linspace(-edge, edge, 41).to(dtype)
        assert torch.equal(numerics.bounded(inside), inside.to(torch.promote_types(dtype, torch.float32)))
    t = torch.linspace(-100, 100, 20001, dtype=torch.float64)
    mapped, slope = numerics.bounded(t), vmap(grad(numerics.bounded))(t)
    assert mapped.abs().max() < 20.5
    assert (slope > 0).all()
    assert torch.allclose(mapped[1:] - mapped[:-1], 0.005 * (slope[1:] + slope[:-1]), atol=1e-4)


@pytest.mark.parametrize("dtype", DTYPES[:2])
def test_half_precision_is_computed_in_float32(dtype):
    args = [noise(5, 300, seed=i).to(dtype) * 0.3 for i in range(4)]
    for f, used in ((ops.normal_log_prob, args[:3]), (ops.normal_kl, args), (ops.bernoulli_log_prob, args[:2])):
        exact = f(*(a.double() for a in used))
        assert f(*used).dtype == torch.float32
        torch.testing.assert_close(f(*used).double(), exact, rtol=2e-6, atol=1e-5)


def densities():
    z, loc, log_scale = noise(4, 3), noise(3, seed=1), 0.3 * noise(3, seed=2)
    return [
        (ops.normal_log_prob, (z, loc, log_scale)),
        (ops.normal_kl, (z, loc.expand_as(z), log_scale, loc)),
        (ops.bernoulli_log_prob, ((z > 0).double(), z)),
    ]


@pytest.mark.parametrize(("f", "args"), densities())
def test_every_transform_agrees_with_plain_differentiation(f, args):
    leaves = [a.clone().requires_grad_() for a in args]
    expected = torch.autograd.grad(f(*leaves).sum(), leaves)
    eager = grad(lambda *a: f(*a).sum(), tuple(range(len(args))))
    compiled = torch.compile(eager, fullgraph=True, backend="aot_eager")
    for got in (eager(*args), compiled(*args)):
        torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)
    assert torch.autograd.gradcheck(f, leaves)
    assert torch.autograd.gradgradcheck(f, leaves)
    assert jacrev(f)(*args).shape == (4, *args[0].shape)


@pytest.mark.slow
def test_inductor_differentiates_all_as_plain_differentiation_does():
    """In one graph: it makes one pass of what the shell's steps are made of."""

    def total(*every):
        parts = iter(every)
        return sum(f(*(next(parts) for _ in args)).sum() for f, args in densities())

    every = tuple(a for _, args in densities() for a in args)
    slopes = grad(total, tuple(range(len(every))))
    torch.testing.assert_close(torch.compile(slopes, fullgraph=True)(*every), slopes(*every), rtol=1e-12, atol=1e-12)


@pytest.mark.law
@given(strategies.pairs("normal"))
def test_kl_law(pair):
    q, p = pair
    laws.kl_is_nonnegative(ops.normal_kl(*q, *p))
    assert (ops.normal_kl(*q, *q) == 0).all()


def test_last_axes_that_differ_raise():
    zero = torch.zeros
    calls = [
        lambda: ops.normal_log_prob(zero(4), zero(4, 1), zero(4, 1)),
        lambda: ops.normal_kl(zero(2, 3), zero(2, 3), zero(1), zero(1)),
        lambda: ops.bernoulli_log_prob(zero(4), zero(4, 1)),
        lambda: ops.categorical_log_prob(zero(2, 1), zero(2, 3)),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="expected last axes that agree"):
            call()


def test_float16_gradients_saturate_within_the_limits():
    at = [torch.tensor([v], dtype=torch.float16) for v in (0.0, 4.0, 0.0, -4.0)]
    slopes = grad(lambda *a: ops.normal_kl(*a).sum(), (0, 1, 2, 3))(*at)
    assert all(torch.isfinite(s).all() for s in slopes)


@pytest.mark.parametrize("d", [16, 784, 2048])
def test_compiled_without_a_gradient_the_bernoulli_takes_few_logarithms_and_says_the_same(d):
    x = (keys.uniform(keys.key(1), (3, d)) < 0.4).double()
    compiled = torch.compile(lambda x, logits: ops.bernoulli_log_prob(x, logits), backend="aot_eager", fullgraph=True)
    for scale in (1e-6, 3.0, 200.0):
        logits = scale * keys.normal(keys.key(0), (5, 3, d), dtype=torch.float64)
        exact = ops.bernoulli_log_prob(x, logits)
        with torch.no_grad():
            torch.testing.assert_close(compiled(x, logits), exact, rtol=1e-13, atol=0)
            narrow = by_products(torch.zeros(3, d), logits.float())
        torch.testing.assert_close(narrow.double(), -torch.logaddexp(logits, 0 * logits).sum(-1), rtol=3e-6, atol=0)


@pytest.mark.parametrize("targets", ["binary", "one-hot", "indices"])
def test_what_is_exported_of_a_layer_with_many_logits_is_plain_torch(targets, monkeypatch):
    monkeypatch.setattr(importlib.import_module("jensen.core.ops.linear_log_prob"), "INLINE", 0)
    index, h, weight, bias = torch.tensor([1, 0]), torch.ones(3, 2, 4), torch.ones(5, 4), torch.arange(5.0)
    x = index if targets == "indices" else torch.nn.functional.one_hot(index, 5).float()
    f = ops.linear_bernoulli_log_prob if targets == "binary" else ops.linear_categorical_log_prob
    graphs = {}
    for path in ("auto", "reference"):
        with ops.use(path):
            graphs[path] = make_fx(f, tracing_mode="fake")(x, h, weight, bias)
    assert {path: "jensen" in graph.code for path, graph in graphs.items()} == {"auto": True, "reference": False}
    torch.testing.assert_close(graphs["reference"](x, h, weight, bias), f(x, h, weight, bias))
