"""What every bound takes and refuses: dtypes, shapes, NaN, many particles, and arguments that make no bound."""

import math

import pytest
import torch
from torch.func import grad, vmap

from jensen.core import bounds, keys
from jensen.core.divergences import generators
from tests.core.test_bounds_family import ALL

INF = math.inf
KEY = keys.key(5)
each = pytest.mark.parametrize("bound", ALL.values(), ids=ALL)


@each
def test_half_precision_is_computed_in_float32(bound):
    log_w = (5 * keys.normal(KEY, (6, 4), torch.float32)).bfloat16()
    assert torch.equal(bound(log_w), bound(log_w.float()))
    assert bound(log_w).dtype == torch.float32


@each
def test_nan_is_not_hidden(bound):
    for other in (0.0, -INF, 5.0):
        for place in range(6):
            log_w = torch.full((6, 2), other)
            log_w[place, 0] = math.nan
            assert bound(log_w)[0].isnan()
            assert not bound(log_w)[1].isnan()


@each
def test_vmap_is_a_loop(bound):
    log_w = keys.normal(KEY, (3, 6, 2), torch.float64)
    log_w[0, 1, 0] = -INF
    both = lambda t: (bound(t), grad(lambda t: bound(t).sum())(t))  # noqa: E731
    for mapped, looped in zip(vmap(both)(log_w), zip(*map(both, log_w), strict=True), strict=True):
        torch.testing.assert_close(mapped, torch.stack(looped))


@each
def test_other_shapes_raise(bound):
    for shape in ((3,), (0, 3), (2, 3, 4)):
        with pytest.raises(ValueError, match="samples come first"):
            bound(torch.zeros(shape))
    for dtype in (torch.int64, torch.bool):
        with pytest.raises(TypeError, match=r"floating point, got .* log_w.float\(\)"):
            bound(torch.zeros(6, 2, dtype=dtype))


def test_one_dominant_weight():
    """1e4 nats above the rest, in float32: what is left is the count."""
    log_w = torch.zeros(6, 1)
    log_w[2] = 1e4
    found = {name: bound(log_w).item() for name, bound in ALL.items()}
    six = math.log(6)
    assert found["vr_max"] == 1e4
    assert found["iwae"] == pytest.approx(1e4 - six, abs=2e-3)
    assert found["Cubo(2)"] == pytest.approx(1e4 - six / 2, abs=2e-3)
    assert found["Renyi(0.4)"] == pytest.approx(1e4 - six / 0.6, abs=2e-3)
    assert found["Renyi(2)"] == pytest.approx(math.log(6 / 5), abs=2e-3)
    assert found["Tvo right"] == 1e4
    assert found["Miwae(2, 3)"] == pytest.approx((1e4 - math.log(3)) / 2, abs=2e-3)
    assert found["elbo"] == pytest.approx(1e4 / 6)


def test_a_million_particles_in_chunks_are_all_at_once():
    log_w = 4 * keys.normal(KEY, (1_000_000, 2), torch.float32)
    log_w[123_456, 0], log_w[7, 1] = 1e3, -INF
    for bound in (bounds.elbo, bounds.iwae, bounds.vr_max, bounds.Cubo(2.0), bounds.Renyi(2.0)):
        whole = bound(log_w)
        parts = bound(torch.stack([bound(part) for part in log_w.split(8_000)]))
        torch.testing.assert_close(whole, parts, rtol=3e-6, atol=1e-5)
        torch.testing.assert_close(whole.double(), bound(log_w.double()), rtol=3e-6, atol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda w: bounds.Cubo(0.5), r"n in \[1, inf\)"),
        (lambda w: bounds.Miwae(2, 2)(w), "expected log_w of m k = 2 x 2 samples, got 6"),
        (lambda w: bounds.Ciwae(1.5), r"expected beta in \[0, 1\]"),
        (lambda w: bounds.Tvo((0.0, 0.5)), "rise from 0 to 1"),
        (lambda w: bounds.Tvo((0.0, 0.5, 0.5, 1.0)), "rise from 0 to 1"),
        (lambda w: bounds.Tvo((0.0, 1.0), "middle"), "expected side"),
        (lambda w: bounds.linear_betas(0), "expected intervals, a whole number >= 1"),
        (lambda w: bounds.log_betas(3, 1.0), r"first in \(0, 1\)"),
        (lambda w: bounds.Jackknife(6)(w), "0 <= m < s, got m = 6 for log_w of s = 6"),
        (lambda w: bounds.Jackknife(1.0), "expected m, a whole number >= 0, got 1.0"),
        (lambda w: bounds.Jackknife(8)(w.repeat(10, 1)), "at most 65536 subsets, got 487635 that leave 4 of 60"),
        (lambda w: bounds.Jackknife(19)(w[:1].repeat(20, 1)), "at most 65536 subsets, got 77520 that leave 7 of 20"),
        (lambda w: bounds.Sumo(7)(w), "log_w of at least first = 7 samples"),
        (lambda w: bounds.Sumo()(w, torch.ones(3, dtype=torch.int64)), r"expected terms \(2,\)"),
        (lambda w: bounds.Sumo()(w, torch.ones(2)), r"an integer per datum, got \(2,\) of torch.float32"),
        (lambda w: bounds.Sumo()(w, torch.tensor([1, 0])), "terms of at least 1, got 0"),
        (lambda w: bounds.Renyi(math.nan), r"alpha in \[-inf, inf\), got nan"),
        (lambda w: bounds.Renyi(INF), r"alpha in \[-inf, inf\), got inf: .* no estimate"),
        (lambda w: bounds.Renyi("half"), "expected alpha, a number in .*, got 'half'"),
        (lambda w: bounds.Cubo(math.nan), r"n in \[1, inf\), got nan"),
        (lambda w: bounds.Cubo(INF), r"n in \[1, inf\), got inf: .* vr_max"),
        (lambda w: bounds.TailAdaptive(math.nan), r"beta in \(-inf, inf\), got nan"),
        (lambda w: bounds.Miwae(2.0, 3.0), "expected m, a whole number >= 1, got 2.0"),
        (lambda w: bounds.linear_betas(2.5), "expected intervals, a whole number >= 1, got 2.5"),
        (lambda w: bounds.log_betas(2.5), "expected intervals, a whole number >= 1, got 2.5"),
        (lambda w: bounds.derivatives(bounds.iwae, w.long()), "floating point, got torch.int64"),
        (lambda w: bounds.free_bits(w, math.nan), r"floor in \[0, inf\), got nan"),
        (lambda w: bounds.free_bits(w, -0.1), r"floor in \[0, inf\), got -0.1"),
        (lambda w: bounds.free_bits(w[0], 0.1), r"expected kl \(n, d\), got \(2,\)"),
        (lambda w: bounds.free_bits(w[None], 0.1), r"expected kl \(n, d\), got \(1, 6, 2\)"),
        (lambda w: bounds.free_bits(w, torch.ones(6, 1)), r"floor \(\) or \(2,\), one per group, got \(6, 1\)"),
        (lambda w: bounds.free_bits(w, torch.ones(6, 2)), r"floor \(\) or \(2,\), one per group"),
        (lambda w: bounds.free_bits(w, torch.ones(2), (2,)), r"floor \(\) or \(1,\), one per group"),
    ],
)
def test_what_does_not_fit_raises(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call(torch.zeros(6, 2))


@pytest.mark.parametrize(
    "arguments", [(0,), (1.0,), (1, 0), (1, 2.5), *((1, 2, decay) for decay in (0.0, 1.0, -0.5, math.nan))]
)
def test_a_roulette_that_cannot_be_raises(arguments):
    with pytest.raises((TypeError, ValueError), match=r"first, a whole|tail, a whole|decay in \(0, 1\)"):
        bounds.Sumo(*arguments)


def test_a_divergence_that_overflows_has_no_gradient():
    log_w = torch.tensor([[0.0, 0.0, -INF], [1e4, 1.0, 1e4]])
    bound = bounds.Csiszar(generators.Alpha(-1.0))
    slope = grad(lambda t: bound(t).sum())(log_w)
    assert (bound(log_w)[[0, 2]] == -INF).all()
    assert torch.equal(slope[:, 0], torch.zeros(2))
    assert torch.isfinite(slope).all()
    assert (slope[:, 1] != 0).all()
    assert bound(torch.tensor([[0.0], [math.nan], [1e4]])).isnan().all()


def test_a_particle_of_no_weight_costs_what_f_is_at_zero():
    """Ratios 0, 3/2 and 3/2: their chi^2 is (1 + 1/4 + 1/4) / 3."""
    log_w = torch.tensor([[-INF], [0.0], [0.0]], dtype=torch.float64)
    value = bounds.Csiszar(generators.chi2)(log_w).item()
    assert value == pytest.approx(math.log(2 / 3) - 0.5)
