"""Kernels against the float64 reference: types, layouts, sizes and extremes, on a GPU or under the interpreter."""

import importlib
import math

import mpmath
import pytest
import torch
from torch.func import grad

from jensen.core import keys, ops
from tests.core.test_transforms import DEVICE, module
from tests.kernels.support import TOLERANCE, TYPES, noise


def densities(s, n, d):
    """Each density's arguments (float64)."""
    x = (noise(9, n, d) > 0).double()
    return {
        "normal_log_prob": (noise(1, s, n, d), noise(2, n, d), noise(3, n, d)),
        "normal_kl": (noise(1, s, n, d), noise(2, n, d), noise(3, d), noise(4, d)),
        "bernoulli_log_prob": (x, noise(1, s, n, d)),
        "categorical_log_prob": (x, noise(1, s, n, d)),
        "indexed_log_prob": (torch.arange(n, device=DEVICE) * 7 % d, noise(1, s, n, d)),
    }


NAMES = list(densities(1, 1, 1))
PUBLIC = {"indexed_log_prob": ops.categorical_log_prob}


def check(name, args, dtype):
    """Values and gradients, under a random upstream one, against the float64 reference of the same rounded inputs."""
    narrow = [a.to(dtype) if a.is_floating_point() else a for a in args]
    wide = [a.double() if a.is_floating_point() else a for a in narrow]
    before = [a.clone() for a in narrow]
    f, reference = PUBLIC.get(name) or getattr(ops, name), module(name).reference
    places = tuple(i for i, a in enumerate(args) if a.is_floating_point())
    with ops.use("triton"):
        got = f(*narrow)
        upstream = noise(77, *got.shape) if got.ndim else noise(77, 1)[0]
        slopes = grad(lambda *a: (f(*a) * upstream).sum(), places)(*narrow)
    assert got.dtype == torch.promote_types(dtype, torch.float32)
    scale = max(1, args[-1].shape[-1]) ** 0.5
    fine = 1e-11 if dtype == torch.float64 else 3e-6
    torch.testing.assert_close(got.double(), reference(*wide), rtol=fine, atol=fine * scale * 10)
    expected = grad(lambda *a: (reference(*a) * upstream).sum(), places)(*wide)
    for slope, truth, like in zip(slopes, expected, (narrow[i] for i in places), strict=True):
        assert slope.dtype == dtype
        assert slope.shape == like.shape
        spread = TOLERANCE[dtype] * (1 + truth.abs().max().item() if truth.numel() else 1)
        torch.testing.assert_close(slope.double(), truth, rtol=TOLERANCE[dtype], atol=spread)
    assert all(torch.equal(a, b) for a, b in zip(narrow, before, strict=True)), "an input was written to"


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_types(name, dtype):
    check(name, densities(3, 5, 37)[name], dtype)


@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (2, 3, 1), (1, 1, 1025), (3, 0, 4), (0, 2, 4), (2, 33, 5), (60, 3, 4), (3, 260, 4)], ids=str
)
@pytest.mark.parametrize("name", NAMES)
def test_sizes(name, shape):
    check(name, densities(*shape)[name], torch.float32)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("shape", [(3, 5, 37), (70, 1, 3), (2, 40, 1), (2, 2, 1030)], ids=str)
def test_samples_that_share_parameters(shape, dtype, monkeypatch):
    """In a kernel of their own, which sums the parameters' gradients."""
    kernel, launched = importlib.import_module("jensen.kernels.shared_normal_log_prob"), []
    monkeypatch.setattr(module("normal_log_prob"), "SHARED", 0)
    backward = kernel.backward
    monkeypatch.setattr(kernel, "backward", lambda *args: launched.append(args) or backward(*args))
    check("normal_log_prob", (noise(1, *shape), noise(2, *shape[1:]), noise(3, *shape[1:])), dtype)
    assert len(launched) == 1


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if DEVICE == "cuda" else pytest.mark.slow) for n in NAMES])
def test_more_rows_than_a_grid_axis_holds(name):
    """The interpreter has no such limit, and takes long."""
    check(name, densities(1, 65_537, 2)[name], torch.float32)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in PUBLIC])
def test_layouts(name):
    """Transposed, expanded, sliced and stepped arguments."""
    args = densities(4, 6, 8)[name]
    transposed = [a.mT.contiguous().mT for a in args if a.ndim > 1] + [a for a in args if a.ndim < 2]
    check(name, transposed, torch.float32)
    check(name, [a[..., 1:6] for a in args], torch.float32)
    check(name, [a[..., ::2] for a in args], torch.float32)
    check(name, [args[0][:1].expand(*args[0].shape), *args[1:]], torch.float32)
    check(name, [a[..., :1].expand(a.shape) for a in args], torch.float32)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32], ids=str)
def test_indices_of_every_type_and_layout(dtype):
    index = torch.arange(12, device=DEVICE).reshape(6, 2).to(dtype) % 5
    for x in (index[:, 0], index[::2, 1], index[:1, 0].expand(4), index.T):
        check("indexed_log_prob", (x, noise(1, 3, *x.shape, 5)), torch.float32)


@pytest.mark.parametrize("name", ["categorical_log_prob", "indexed_log_prob"])
def test_a_large_common_part_of_logits_costs_no_digits(name):
    index, logits = torch.tensor([2, 0], device=DEVICE), (4096 + noise(1, 2, 5)).float()
    x = index if name in PUBLIC else torch.eye(5, device=DEVICE)[index]
    exact = torch.log_softmax(logits.double(), -1)[[0, 1], [2, 0]]
    with ops.use("triton"):
        torch.testing.assert_close(ops.categorical_log_prob(x, logits).double(), exact, rtol=2e-7, atol=1e-6)


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


@pytest.mark.parametrize("path", ["reference", "triton"])
def test_infinite_logits_are_certain_values(path):
    """0 where x agrees with all of a row, else -inf; the other rows' gradients are right."""
    inf = math.inf
    logits = torch.tensor([[inf, 0.5], [-inf, 0.5], [inf, 0.5], [-inf, 0.5], [inf, -inf]], device=DEVICE)
    x = torch.tensor([[1.0, 1.0], [0.0, 1.0], [0.0, 1.0], [1.0, 1.0], [1.0, 0.0]], device=DEVICE)
    likely = -math.log1p(math.exp(-0.5))
    with ops.use(path):
        found = ops.bernoulli_log_prob(x, logits)
        slopes = grad(lambda a: ops.bernoulli_log_prob(x, a).nan_to_num(neginf=0.0).sum())(logits)
    assert found.tolist() == pytest.approx([likely, likely, -inf, -inf, 0.0])
    assert slopes.isfinite().all()
    assert (slopes[[0, 1, 4], 0] == 0).all()
    torch.testing.assert_close(slopes[:2, 1], torch.sigmoid(torch.tensor([-0.5, -0.5], device=DEVICE)))


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
