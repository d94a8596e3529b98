"""Kernels on a GPU at the sizes of real use, against float64 there: an interpreter would take hours."""

import importlib
import math

import pytest
import torch
from torch.func import grad

from jensen.core import keys, ops
from tests.core.test_transforms import DEVICE, module
from tests.kernels.support import check_draws


def noise(seed, *shape, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator(DEVICE).manual_seed(seed), device=DEVICE, dtype=dtype)


def error(found, expected):
    """Of all elements: the norm of the difference, as a part of that of what is expected."""
    assert found.shape == expected.shape
    return ((found.double() - expected).norm() / expected.norm()).item()


def check(name, f, *args, within=2e-6):
    """A density's values and gradients under a random upstream one."""
    reference, wide = module(name).reference, [a.double() if a.is_floating_point() else a for a in args]
    places = tuple(i for i, a in enumerate(args) if a.is_floating_point())
    with ops.use("triton"):
        value = f(*args)
        upstream = noise(9, *value.shape)
        slopes = grad(lambda *a: (f(*a) * upstream).sum(), places)(*args)
    assert error(value, reference(*wide)) < within
    expected = grad(lambda *a: (reference(*a) * upstream).sum(), places)(*wide)
    assert [error(*pair) < within for pair in zip(slopes, expected, strict=True)] == [True] * len(places)


@pytest.mark.parametrize("name", ["bernoulli_log_prob", "categorical_log_prob"])
def test_images_under_samples(name):
    """(50, 128, 784)"""
    x = torch.nn.functional.one_hot(noise(2, 128, 784).argmax(-1), 784).float()
    check(name, getattr(ops, name), x, 3 * noise(1, 50, 128, 784))


def test_indices_under_samples():
    check("indexed_log_prob", ops.categorical_log_prob, noise(2, 128, 784).argmax(-1), 3 * noise(1, 50, 128, 784))


@pytest.mark.parametrize(("s", "n", "d"), [(1, 10_000, 1), (50, 128, 2), (50, 128, 10), (50, 128, 50), (64, 4096, 64)])
@pytest.mark.parametrize("name", ["normal_log_prob", "normal_kl"])
def test_normals(name, s, n, d):
    rest = (noise(i, n, d) for i in range(3 if name == "normal_kl" else 2))
    check(name, getattr(ops, name), noise(7, s, n, d), *rest)


@pytest.mark.parametrize(
    ("s", "n", "d"), [(5000, 128, 2), (5000, 64, 10), (5000, 128, 50), (64, 4096, 64), (1, 10_000, 1)]
)
def test_samples(s, n, d):
    key, loc, log_scale = keys.at(keys.key(3, DEVICE), particle=7, datum=11), noise(1, n, d), 0.3 * noise(2, n, d)
    gz, gq = noise(3, s, n, d), noise(4, s, n)

    def weighted(f, dtype):
        def call(m, a):
            z, log_q = f(key, m, a, s)
            return (z * gz).sum(dtype=dtype) + (log_q * gq).sum(dtype=dtype)

        return call

    reference, wide = module("normal_sample").reference, (loc.double(), log_scale.double())
    with ops.use("triton"):
        found = ops.normal_sample(key, loc, log_scale, s)
        slopes = grad(weighted(ops.normal_sample, torch.float32), (0, 1))(loc, log_scale)
    for value, truth in zip(found, reference(key, *wide, s), strict=True):
        assert error(value, truth) < 2e-6
    same = reference(key, loc, log_scale, s)  # with uniform numbers rounded alike, of each draw, in the tails too
    check_draws(found[0], same[0], log_scale, 1e-6)
    for slope, truth in zip(slopes, grad(weighted(reference, torch.float64), (0, 1))(*wide), strict=True):
        assert error(slope, truth) < 1e-5


@pytest.mark.parametrize(("s", "n"), [(5000, 128), (5000, 1), (64, 100_000), (1, 1000)])
def test_importance(s, n):
    log_p, log_q = 30 * noise(1, s, n), noise(2, s, n)
    log_p[:, -1] = -math.inf
    expected = module("importance").reference(log_p.double(), log_q.double())
    with ops.use("triton"):
        found = ops.importance(log_p, log_q)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("d", [64, 16, 100])
def test_nearest_codes(d):
    """As near as the nearest, to what float32 can tell; nearly all of them the same ones."""
    z, codes = noise(1, 100_000, d), noise(2, 8192, d)
    with ops.use("triton"):
        index, distance = ops.nearest_code(z, codes)
    for rows in torch.arange(len(z), device=DEVICE).split(20_000):
        every = torch.cdist(z[rows].double(), codes.double()).square()
        least, where = every.min(1)
        torch.testing.assert_close(distance[rows].double(), least, rtol=1e-5, atol=1e-5)
        assert (index[rows] == where).double().mean() > 0.9999


@pytest.mark.parametrize("kernel", ["rbf", "imq"])
@pytest.mark.parametrize(("m", "d"), [(2000, 64), (2000, 2), (2001, 20), (500, 512), (500, 600)])
@pytest.mark.parametrize("shift", [0.0, 100.0])
def test_stein_directions(kernel, m, d, shift):
    """Of particles far from the origin as well, whose squared distances are small differences of large squares."""
    x, score = shift + noise(1, m, d), noise(2, m, d)
    h = torch.tensor(2.0 * d, device=DEVICE)
    expected = module("stein_direction").reference(x.double(), score.double(), h.double(), kernel == "imq")
    with ops.use("triton"):
        found = ops.stein_direction(x, score, h, kernel)
    assert error(found, expected) < 2e-5


def test_more_than_two_billion_elements():
    """bfloat16 logits beyond 2^31 elements: offsets of 32 bits would wrap."""
    n, d = 2**21 + 8, 1024 + 16
    logits = torch.empty(n, d, device=DEVICE, dtype=torch.bfloat16).normal_(generator=torch.Generator(DEVICE))
    x = (noise(1, 1, d) > 0).bfloat16()
    assert logits.numel() > 2**31
    with ops.use("triton"):
        value = ops.bernoulli_log_prob(x, logits)
        slope = importlib.import_module("jensen.kernels.bernoulli_log_prob").backward(value, x, logits)
    for rows in (slice(0, 100), slice(n - 100, n)):
        some = logits[rows].double()
        expected = module("bernoulli_log_prob").reference(x.double(), some)
        assert error(value[rows], expected) < 1e-6
        assert error(slope[rows], value[rows, None].double() * (x.double() - some.sigmoid())) < 1e-6


@pytest.mark.parametrize("name", ["bernoulli", "categorical"])
def test_memory_of_a_last_layer_under_many_samples(name):
    """K = 5,000, B = 128, D = 784: logits would take 2 GB; beside a chunk of them there is h's gradient, 0.5 GB."""
    s, n, d, hidden = 5000, 128, 784, 200
    x = torch.nn.functional.one_hot(noise(1, n, d).argmax(-1), d).float()
    h, weight, bias = noise(2, s, n, hidden), noise(3, d, hidden) / 10, noise(4, d)
    f, upstream = getattr(ops, f"linear_{name}_log_prob"), noise(5, s, n)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    slopes = grad(lambda *a: (f(x, *a) * upstream).sum(), (0, 1, 2))(h, weight, bias)
    assert torch.cuda.max_memory_allocated() - before < 1e9
    reference = module(f"{name}_log_prob").reference

    def some(*a):
        return (reference(x.double(), torch.nn.functional.linear(*a)) * upstream[:50]).sum()

    expected = grad(some)(h[:50].double(), weight.double(), bias.double())
    assert error(slopes[0][:50], expected) < 1e-5


def test_a_step_is_captured_as_a_graph():
    """Nothing in the operations waits for the device: a captured step can be replayed on new data."""
    x, h = (noise(1, 8, 20) > 0).float(), noise(2, 4, 8, 5)
    weight, bias, key = noise(3, 20, 5), noise(4, 20), keys.key(0, DEVICE)
    loc, log_scale = noise(5, 8, 5), noise(6, 8, 5)

    def loss(weight, loc, log_scale):
        z, log_q = ops.normal_sample(key, loc, log_scale, 4)
        log_p = ops.linear_bernoulli_log_prob(x, z, weight, bias) + ops.normal_log_prob(z, loc * 0, loc * 0)
        return ops.importance(log_p, log_q)[0].sum() + ops.bernoulli_log_prob(x, h @ weight.T).sum()

    step = grad(loss, (0, 1, 2))
    for path in ("triton", "auto"):
        with ops.use(path):
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                step(weight, loc, log_scale)
            torch.cuda.current_stream().wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                found = step(weight, loc, log_scale)
            h.copy_(noise(7, *h.shape))
            graph.replay()
            for a, b in zip(found, step(weight, loc, log_scale), strict=True):
                torch.testing.assert_close(a, b)
