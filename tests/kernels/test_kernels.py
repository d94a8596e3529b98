"""Kernels against the float64 reference: types, layouts, sizes and extremes, on a GPU or under the interpreter."""

import importlib
import math

import mpmath
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.func import grad

from jensen.core import bounds, keys, ops
from jensen.core.distributions import Bernoulli, DiagNormal
from jensen.estimators.gradients import pathwise
from tests import laws, strategies
from tests.core.test_transforms import DEVICE, module, one_hot

TYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
TOLERANCE = {torch.float16: 2e-3, torch.bfloat16: 1.6e-2, torch.float32: 3e-5, torch.float64: 1e-11}


def noise(seed, *shape):
    return 0.6 * keys.normal(keys.key(seed, DEVICE), shape, torch.float64)


def densities(s, n, d):
    """Each density's arguments (float64)."""
    x = (noise(9, n, d) > 0).double()
    return {
        "normal_log_prob": (noise(1, s, n, d), noise(2, n, d), noise(3, n, d)),
        "normal_kl": (noise(1, s, n, d), noise(2, n, d), noise(3, d), noise(4, d)),
        "bernoulli_log_prob": (x, noise(1, s, n, d)),
        "categorical_log_prob": (x, noise(1, s, n, d)),
    }


def check(name, args, dtype):
    """Values and gradients, under a random upstream one, against the float64 reference of the same rounded inputs."""
    narrow = [a.to(dtype) for a in args]
    wide = [a.double() for a in narrow]
    before = [a.clone() for a in narrow]
    f, reference = getattr(ops, name), module(name).reference
    with ops.use("triton"):
        got = f(*narrow)
        upstream = noise(77, *got.shape) if got.ndim else noise(77, 1)[0]
        slopes = grad(lambda *a: (f(*a) * upstream).sum(), tuple(range(len(args))))(*narrow)
    assert got.dtype == torch.promote_types(dtype, torch.float32)
    scale = max(1, args[0].shape[-1]) ** 0.5
    fine = 1e-11 if dtype == torch.float64 else 3e-6
    torch.testing.assert_close(got.double(), reference(*wide), rtol=fine, atol=fine * scale * 10)
    expected = grad(lambda *a: (reference(*a) * upstream).sum(), tuple(range(len(args))))(*wide)
    for slope, truth, like in zip(slopes, expected, narrow, strict=True):
        assert slope.dtype == dtype
        assert slope.shape == like.shape
        spread = TOLERANCE[dtype] * (1 + truth.abs().max().item() if truth.numel() else 1)
        torch.testing.assert_close(slope.double(), truth, rtol=TOLERANCE[dtype], atol=spread)
    assert all(torch.equal(a, b) for a, b in zip(narrow, before, strict=True)), "an input was written to"


@pytest.fixture(autouse=True)
def poisoned_outputs(monkeypatch):
    """Fresh memory holds NaN: an element that a kernel does not write cannot pass for one that it does."""
    empty, empty_like = torch.empty, torch.empty_like

    def poison(t):
        return t.fill_(math.nan) if t.is_floating_point() else t

    monkeypatch.setattr(torch, "empty", lambda *a, **k: poison(empty(*a, **k)))
    monkeypatch.setattr(torch, "empty_like", lambda *a, **k: poison(empty_like(*a, **k)))


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("name", densities(1, 1, 1))
def test_types(name, dtype):
    check(name, densities(3, 5, 37)[name], dtype)


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 1), (1, 1, 1025), (3, 0, 4), (0, 2, 4), (2, 33, 5)], ids=str)
@pytest.mark.parametrize("name", densities(1, 1, 1))
def test_sizes(name, shape):
    check(name, densities(*shape)[name], torch.float32)


@pytest.mark.parametrize("name", densities(1, 1, 1))
def test_more_rows_than_a_grid_axis_holds(name):
    check(name, densities(1, 65_537, 2)[name], torch.float32)


@pytest.mark.parametrize("name", densities(1, 1, 1))
def test_layouts(name):
    """Transposed, expanded, sliced and stepped arguments."""
    args = densities(4, 6, 8)[name]
    transposed = [a.mT.contiguous().mT for a in args if a.ndim > 1] + [a for a in args if a.ndim < 2]
    check(name, transposed, torch.float32)
    check(name, [a[..., 1:6] for a in args], torch.float32)
    check(name, [a[..., ::2] for a in args], torch.float32)
    check(name, [args[0][:1].expand(*args[0].shape), *args[1:]], torch.float32)
    check(name, [a[..., :1].expand(a.shape) for a in args], torch.float32)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("log_scale", [-100.0, -20.25, 20.25, 100.0])
def test_extreme_scales_stay_finite_and_point_back(dtype, log_scale):
    z, loc, zero = (torch.tensor([v], dtype=dtype, device=DEVICE) for v in (1.5, 0.5, 0.0))
    at = torch.tensor([log_scale], dtype=dtype, device=DEVICE)
    cases = {
        "log_prob": lambda z, loc, a: ops.normal_log_prob(z, loc, a),
        "minus kl": lambda z, loc, a: -ops.normal_kl(loc, a, zero, zero),
        "minus kl to it": lambda z, loc, a: -ops.normal_kl(z, zero, loc, a),
    }
    with ops.use("triton"):
        for name, f in cases.items():
            assert torch.isfinite(f(z, loc, at)).all(), name
            slopes = grad(lambda *a, f=f: f(*a).sum(), (0, 1, 2))(z, loc, at)
            assert all(torch.isfinite(s).all() for s in slopes), name
            assert slopes[2].item() * log_scale < 0, f"{name} does not point back"
        drawn, log_q = ops.normal_sample(keys.key(0, DEVICE), loc[None], at[None], 3)
        assert torch.isfinite(drawn).all()
        assert torch.isfinite(log_q).all()


@pytest.mark.parametrize("log_scale", [1e-1, 1e-2, 1e-3, 5e-4, -5e-4, 0.2499, 0.2501])
def test_small_kl_is_accurate(log_scale):
    at, zero = torch.tensor([log_scale], device=DEVICE), torch.zeros(1, device=DEVICE)
    with ops.use("triton"):
        got = ops.normal_kl(zero, at, zero, zero).item()
        slope = grad(lambda a: ops.normal_kl(zero, a, zero, zero))(at).item()
    with mpmath.workdps(50):
        t = 2 * mpmath.mpf(at.item())
        exact, exact_slope = float((mpmath.e**t - 1 - t) / 2), float(mpmath.e**t - 1)
    assert abs(got / exact - 1) < 1e-5
    assert abs(slope / exact_slope - 1) < 1e-5


def test_nan_is_not_hidden():
    nan = torch.tensor([[math.nan, 0.0]], device=DEVICE)
    zero = torch.zeros(1, 2, device=DEVICE)
    with ops.use("triton"):
        for value in (
            ops.normal_log_prob(nan, zero, zero),
            ops.normal_log_prob(zero, zero, nan),
            ops.normal_kl(zero, nan, zero, zero),
            ops.bernoulli_log_prob(zero, nan),
            ops.categorical_log_prob(zero + 1, nan),
            ops.importance(nan.T, zero.T)[0],
        ):
            assert value.isnan().all()


def test_samples_are_the_keys_words_on_every_path():
    key, loc, log_scale = keys.at(keys.key(3, DEVICE), particle=2, datum=5), noise(1, 7, 70), noise(2, 7, 70)
    for dtype, tolerance in ((torch.float32, 2e-6), (torch.float64, 1e-12)):
        with ops.use("triton"):
            z, log_q = ops.normal_sample(key, loc.to(dtype), log_scale.to(dtype), 5)
            part, _ = ops.normal_sample(
                keys.at(key, particle=3, datum=2), loc[2:].to(dtype), log_scale[2:].to(dtype), 2
            )
        q = DiagNormal(loc.to(dtype), log_scale.to(dtype))
        expected = q.sample(q.noise(key, 5))
        torch.testing.assert_close(z, expected, rtol=tolerance, atol=tolerance)
        torch.testing.assert_close(log_q, q.log_prob(expected), rtol=1e-5, atol=1e-4)
        assert torch.equal(part, z[3:, 2:])


@pytest.mark.parametrize(("s", "n"), [(1, 1), (5, 3), (17, 65), (40, 130)])
@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_importance(s, n, dtype):
    log_p, log_q = (10 * noise(1, s, n)).to(dtype), noise(2, s, n).to(dtype)
    log_p[0, 0] = -math.inf
    expected = module("importance").reference(log_p.double(), log_q.double())
    with ops.use("triton"):
        got = ops.importance(log_p, log_q)
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("n", "c", "d"), [(1, 1, 1), (7, 5, 3), (65, 70, 17), (3, 200, 64)])
@pytest.mark.parametrize("path", ["triton", "reference"])
def test_nearest_code(n, c, d, path):
    z, codes = noise(1, n, d).float(), noise(2, c, d).float()
    codes[-1] = codes[0]  # of equals the first is taken
    with ops.use(path):
        index, distance = ops.nearest_code(z, codes)
    every = torch.cdist(z.double(), codes.double()).square()
    torch.testing.assert_close(distance.double(), every.min(1).values, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(every.gather(1, index[:, None])[:, 0], every.min(1).values, rtol=1e-5, atol=1e-5)
    assert (index < max(c - 1, 1)).all()


@pytest.mark.parametrize("kernel", ["rbf", "imq"])
@pytest.mark.parametrize(("m", "d"), [(1, 1), (5, 3), (70, 20), (33, 65)])
@pytest.mark.parametrize("path", ["triton", "reference"])
def test_stein_direction_is_its_definition(kernel, m, d, path):
    """phi_i = mean_j k(x_j, x_i) s_j + grad_{x_j} k(x_j, x_i), the gradient by automatic differentiation."""
    x, score = noise(1, m, d), noise(2, m, d)
    h = ops.median_bandwidth(x)

    def k(a, b):
        ratio = (a - b).square().sum() / h
        return torch.exp(-ratio) if kernel == "rbf" else (1 + ratio) ** -0.5

    pairs = torch.func.vmap(torch.func.vmap(k, (0, None)), (None, 0))(x, x)  # [i, j]
    pulls = torch.func.vmap(torch.func.vmap(grad(k), (0, None)), (None, 0))(x, x)
    expected = (pairs @ score + pulls.sum(1)) / m
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 2e-5)):
        with ops.use(path):
            got = ops.stein_direction(x.to(dtype), score.to(dtype), kernel=kernel)
        torch.testing.assert_close(got.double(), expected, rtol=tolerance, atol=tolerance)


def test_the_median_bandwidth_is_the_median():
    x = noise(1, 9, 2)
    squares = torch.stack([(x[i] - x[j]).square().sum() for i in range(9) for j in range(i)])
    torch.testing.assert_close(ops.median_bandwidth(x), squares.median() / math.log(9))
    assert ops.median_bandwidth(x[:1]) == 1
    many = noise(2, 5000, 2)
    some = ops.median_bandwidth(many) * math.log(5000)
    exact = torch.pdist(many).square().median()
    assert abs(some / exact - 1) < 0.05


@pytest.mark.parametrize("name", ["bernoulli", "categorical"])
@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_linear_likelihoods(name, dtype, monkeypatch):
    linear = importlib.import_module("jensen.core.ops.linear_log_prob")
    monkeypatch.setattr(linear, "CHUNK", 40)
    s, n, d, hidden = 5, 3, 11, 7
    x = (noise(9, n, d) > 0).double() if name == "bernoulli" else one_hot(d)
    args = [a.to(dtype) for a in (x, noise(1, s, n, hidden), noise(2, d, hidden), noise(3, d))]
    reference = getattr(linear, f"_{name}").reference
    wide = [a.double() for a in args]
    upstream = noise(4, s, n)
    expected = grad(lambda *a: (reference(*a) * upstream).sum(), (0, 1, 2, 3))(*wide)
    f = getattr(ops, f"linear_{name}_log_prob")
    with ops.use("triton"):
        torch.testing.assert_close(f(*args).double(), reference(*wide), rtol=1e-5, atol=1e-5)
        slopes = grad(lambda *a: (f(*a) * upstream).sum(), (0, 1, 2, 3))(*args)
    for slope, truth in zip(slopes, expected, strict=True):
        torch.testing.assert_close(slope.double(), truth, rtol=TOLERANCE[dtype], atol=5 * TOLERANCE[dtype])


@pytest.mark.law
@settings(max_examples=25)
@given(strategies.pairs("normal"))
def test_kl_law(pair):
    q, p = (DiagNormal(*(t.to(DEVICE) for t in each)) for each in pair)
    with ops.use("triton"):
        laws.kl_is_nonnegative(ops.normal_kl(*q, *p))
        assert (ops.normal_kl(*q, *q) == 0).all()


@pytest.mark.law
@settings(max_examples=25)
@given(strategies.log_weights())
def test_leave_one_out_law(log_w):
    def bound(w):
        with ops.use("triton"):
            return ops.importance(w.to(DEVICE), torch.zeros_like(w, device=DEVICE))[0].cpu()

    laws.leave_one_out(bound, log_w)


@pytest.mark.law
@settings(max_examples=25)
@given(strategies.sigmoid_beliefs())
def test_bounds_of_kernel_densities_rise_below_the_evidence(case):
    """Both densities of the weights, and the bound, come from kernels."""
    oracle, logits = case

    def log_joint(z):
        prior = Bernoulli(oracle.prior.expand(z.shape[-2:])).log_prob(z)
        return prior + Bernoulli(z @ oracle.weight.T + oracle.bias).log_prob(oracle.x)

    q = Bernoulli(logits)
    z = q.support()
    with ops.use("triton"):
        log_q, log_p = q.log_prob(z), log_joint(z)
        exact = []
        for k in (1, 2, 3):
            tuples = torch.cartesian_prod(*[torch.arange(len(z))] * k).reshape(-1, k)
            values = torch.stack([ops.importance(log_p[t], log_q[t])[0] for t in tuples])
            exact.append((log_q[tuples].sum(1).exp() * values).sum(0))
    laws.rises(exact)
    laws.below(exact[-1], oracle.log_evidence())


@pytest.mark.law
@settings(max_examples=25)
@given(strategies.linear_gaussians(), st.data())
def test_elbo_of_kernel_densities_is_below_the_evidence(oracle, data):
    """The exact ELBO: a quadratic integrand has its mean over the corners loc ± scale."""
    n, d = len(oracle.x), oracle.weight.shape[1]
    loc, log_scale = (data.draw(strategies.tensors((n, d), st.floats(-2, 2))) for _ in range(2))
    corners = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=torch.float64)] * d).reshape(-1, 1, d)
    zero = torch.zeros(d, dtype=torch.float64)
    sigma = oracle.log_sigma.expand(oracle.x.shape)

    def log_joint(z):
        mean = z @ oracle.weight.T + oracle.bias
        return ops.normal_log_prob(z, zero, zero) + ops.normal_log_prob(oracle.x, mean, sigma)

    with ops.use("triton"):
        value = pathwise(log_joint, DiagNormal(loc, log_scale), corners.expand(-1, n, d), bounds.elbo)
    torch.testing.assert_close(value, oracle.elbo(loc, log_scale), rtol=1e-8, atol=1e-8)
    laws.below(value, oracle.log_evidence(), 1e-8)


def test_without_triton_the_reference_still_works_and_kernels_say_so(monkeypatch):
    import builtins
    import sys

    real = builtins.__import__

    def refuse(name, *rest):
        if name.split(".")[0] == "triton":
            raise ImportError("No module named 'triton'")
        return real(name, *rest)

    for name in [m for m in sys.modules if m.startswith(("jensen.kernels", "triton"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", refuse)
    zero = torch.zeros(2, 3)
    assert ops.normal_log_prob(zero, zero, zero).shape == (2,)
    with ops.use("triton"), pytest.raises(RuntimeError, match=r"needs Triton .* install it"):
        ops.normal_log_prob(zero, zero, zero)
    with pytest.raises(ValueError, match='"reference", "triton" or "auto"'), ops.use("cuda"):
        pass


def test_wrong_shapes_raise():
    zero = torch.zeros
    calls = [
        lambda: ops.linear_bernoulli_log_prob(zero(3, 5), zero(2, 4, 7), zero(5, 7), zero(5)),
        lambda: ops.linear_categorical_log_prob(zero(3, 5), zero(2, 3, 7), zero(5, 6), zero(5)),
        lambda: ops.importance(zero(3), zero(3)),
        lambda: ops.importance(zero(0, 3), zero(0, 3)),
        lambda: ops.nearest_code(zero(3, 2), zero(0, 2)),
        lambda: ops.nearest_code(zero(3, 2), zero(4, 3)),
        lambda: ops.stein_direction(zero(3, 2), zero(4, 2)),
        lambda: ops.stein_direction(zero(3, 2), zero(3, 2), kernel="laplace"),
        lambda: ops.normal_sample(keys.key(0), zero(3), zero(3), 2),
        lambda: ops.normal_sample(keys.key(0), zero(3, 2), zero(3, 2), 0),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="expected"):
            call()
