"""Sampling, importance weights, codes, Stein directions and linear likelihoods against their definitions."""

import importlib
import math

import pytest
import torch
from torch.func import grad

from jensen.core import keys, ops
from jensen.core.distributions import DiagNormal
from tests.core.test_transforms import DEVICE, module, one_hot
from tests.denormals import counted, denormals
from tests.kernels.support import TOLERANCE, TYPES, check_draws, noise


def test_samples_are_the_keys_words_on_every_path():
    key, loc, log_scale = keys.at(keys.key(3, DEVICE), particle=2, datum=5), noise(1, 7, 70), noise(2, 7, 70)
    for dtype, tolerance in ((torch.float32, 1e-6), (torch.float64, 1e-12)):
        with ops.use("triton"):
            z, log_q = ops.normal_sample(key, loc.to(dtype), log_scale.to(dtype), 5)
            part, _ = ops.normal_sample(
                keys.at(key, particle=3, datum=2), loc[2:].to(dtype), log_scale[2:].to(dtype), 2
            )
        q = DiagNormal(loc.to(dtype), log_scale.to(dtype))
        expected = q.sample(q.noise(key, 5))
        check_draws(z, expected, q.log_scale, tolerance)
        torch.testing.assert_close(log_q, q.log_prob(expected), rtol=1e-5, atol=1e-4)
        assert torch.equal(part, z[3:, 2:])


def test_parts_of_several_tiles_of_particles_are_summed(monkeypatch):
    """On a GPU of one program, whose loop has four tiles."""
    monkeypatch.setattr(importlib.import_module("jensen.kernels.launch"), "PROGRAMS", 1)
    key, loc, log_scale = keys.key(6, DEVICE), noise(1, 3, 6).float(), noise(2, 3, 6).float()
    gz, gq = noise(3, 200, 3, 6).float(), noise(4, 200, 3).float()

    def weighted(loc, log_scale):
        z, log_q = ops.normal_sample(key, loc, log_scale, 200)
        return (z * gz).sum() + (log_q * gq).sum()

    expected = grad(weighted, (0, 1))(loc, log_scale)
    with ops.use("triton"):
        found = grad(weighted, (0, 1))(loc, log_scale)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_small_radii_of_draws_keep_their_digits():
    """Of a word near 1, whose logarithm is a series: a wrong third term moves them by 3e-6."""
    key, zero = keys.key(4, DEVICE), torch.zeros(20, 64, device=DEVICE)
    with ops.use("triton"):
        z, _ = ops.normal_sample(key, zero, zero, 200)
    expected = keys.normal(key, (200, 20, 64))
    found, exact = (t.double().unflatten(-1, (32, 2)).norm(dim=-1) for t in (z, expected))
    small = exact < 0.25
    assert small.sum() > 1000
    assert (found - exact)[small].abs().max() < 1e-6


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


@pytest.mark.parametrize("s", [300, 9000])
@pytest.mark.parametrize("way", [1, -1])
def test_importance_of_several_tiles_and_parts_whose_peaks_differ(s, way):
    """Of 9,000 samples each part has two tiles, the later of larger weights or the earlier."""
    log_p = torch.linspace(0, 12.0 * way, s, device=DEVICE)[:, None] + noise(1, s, 3).float()
    log_q = noise(2, s, 3).float()
    expected = module("importance").reference(log_p.double(), log_q.double())
    with ops.use("triton"):
        got = ops.importance(log_p, log_q)
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("path", ["triton", "reference"])
def test_importance_weights_are_normal_numbers_or_0(path):
    log_p = torch.linspace(0, -120, 50, device=DEVICE)[:, None].expand(50, 3).clone()
    log_p[7, 1] = math.nan
    with ops.use(path):
        _, weights, _ = ops.importance(log_p, torch.zeros_like(log_p))
    expected = torch.softmax(log_p.double(), 0)
    kept = expected > 2.0**-63
    torch.testing.assert_close(weights[kept].double(), expected[kept], rtol=1e-4, atol=0)
    assert (weights[:, [0, 2]][~kept[:, [0, 2]]] == 0).all()
    assert weights[:, 1].isnan().all()


@pytest.mark.parametrize("place", [0, 17, 39])
@pytest.mark.parametrize("level", [-300.0, 0.0, 300.0])
@pytest.mark.filterwarnings("ignore:(invalid value|overflow) encountered")  # NumPy's, which interprets the kernel
def test_an_infinite_weight_makes_an_infinite_bound(place, level):
    log_p = (level + noise(1, 40, 3)).float()
    log_p[place, 1] = math.inf
    log_p[:, 2] = -math.inf
    log_p[place, 2] = math.inf
    with ops.use("triton"):
        got = ops.importance(log_p, torch.zeros_like(log_p))
    expected = module("importance").reference(log_p.double(), torch.zeros_like(log_p))
    assert got[0][1:].tolist() == [math.inf, math.inf]
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-5, atol=1e-6, equal_nan=True)


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
@pytest.mark.parametrize(("m", "d"), [(1, 1), (5, 3), (70, 20), (33, 65), (5, 512), (4, 600)])
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


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_particles_too_wide_for_a_tile_take_plain_torch(dtype, monkeypatch):
    """`aot.KERNELS` has the widest tiles, which fit."""
    kernel, launched = importlib.import_module("jensen.kernels.stein_direction"), []
    monkeypatch.setattr(kernel, "forward", lambda x, *rest: launched.append(x.shape[-1]) or x.float().clone())
    with ops.use("triton"):
        for d in (64, 65):
            ops.stein_direction(noise(1, 3, d).to(dtype), noise(2, 3, d).to(dtype))
    assert launched == [64]


@pytest.mark.parametrize("kernel", ["rbf", "imq"])
@pytest.mark.parametrize(("m", "d"), [(40, 3), (20, 70)])
@pytest.mark.parametrize("path", ["triton", "reference"])
def test_stein_directions_do_not_depend_on_the_origin(kernel, m, d, path):
    x, score = noise(1, m, d).float(), noise(2, m, d).float()
    with ops.use(path):
        near, far = (ops.stein_direction(x + shift, score, kernel=kernel) for shift in (0.0, 512.0))
    exact = (x + 512.0).double() - 512.0  # that float32 moves particles is no error of the direction
    expected = module("stein_direction").reference(exact, score.double(), ops.median_bandwidth(exact), kernel == "imq")
    torch.testing.assert_close(far.double(), expected, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(near, far, rtol=1e-2, atol=1e-3)


def test_particles_far_apart_make_no_denormal_numbers():
    x, score = noise(1, 60, 3).float(), noise(2, 60, 3).float()
    x = torch.cat([x, 1.1 * x + torch.linspace(0, 30, 60).to(x)[:, None]])
    score, h = torch.cat([score, -score]), score.new_tensor(5.0)
    operation = module("stein_direction")
    assert denormals(torch.exp(-torch.cdist(x, x).square() / h)) > 0
    for f in (lambda x: operation._rbf(x, score, h, 50), lambda x: operation._rows(x, x, score, h, False)):
        assert not counted(lambda f=f: f(x))
        expected = operation._rows(x.double(), x.double(), score.double(), h.double(), False)
        torch.testing.assert_close(f(x).double(), expected, rtol=1e-4, atol=1e-4)


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
    monkeypatch.setattr(linear, "GPU_CHUNK", 40)
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
