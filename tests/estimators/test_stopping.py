"""The stopping rule on traces of which it is known whether they still improve."""

import math

import pytest
import torch
from scipy import stats

from jensen.core import keys
from jensen.estimators.diagnostics import stopping
from jensen.estimators.diagnostics._stopping import gain_of_last
from jensen.estimators.student import student

KEY = keys.key(25)
TRACES, LENGTH, TOLERANCE = 200, 400, 0.5


def noise(phi, traces=TRACES, length=LENGTH, key=KEY):
    """A stationary autoregression of unit variance, (traces, length)."""
    e = keys.normal(key, (traces, length), torch.float64)
    rows = [e[:, 0]]
    for i in range(1, length):
        rows.append(phi * rows[-1] + math.sqrt(1 - phi**2) * e[:, i])
    return torch.stack(rows, 1)


def improving(shape, window):
    """A trace that gains the tolerance, or just above, from each window to the next, and so is never to be stopped."""
    step = torch.arange(LENGTH, dtype=torch.float64)
    if shape == "linear":
        return TOLERANCE / window * step  # at first exactly the tolerance: the worst case
    rise = torch.log1p(step)
    return rise * TOLERANCE / gain_of_last(rise, LENGTH // 6)[0]


@pytest.mark.parametrize(("phi", "window"), [(0.0, 20), (0.5, 20), (0.8, 50), (0.9, 100)])
@pytest.mark.parametrize("shape", ["linear", "logarithmic"])
def test_improving_traces_are_stopped_less_than_one_time_in_twenty(phi, window, shape):
    """All looks of 200 traces together, at a gain of just the tolerance.

    Of 1,000 traces with another key 0 to 2.7 % were stopped; at 2.7 % a run of 200 has 10 or more with 5 %.
    """
    trace = improving(shape, window)
    stopped = sum(stopping(trace + each, TOLERANCE, window=window).stop for each in noise(phi))
    assert stopped < 0.05 * TRACES


@pytest.mark.parametrize(("phi", "size", "typical"), [(0.0, 0.1, 40), (0.0, 0.5, 80), (0.5, 0.1, 40), (0.8, 0.1, 120)])
def test_flat_traces_stop_soon(phi, size, typical):
    seen = torch.tensor([s.seen if s.stop else 10**6 for s in (stopping(size * e, TOLERANCE) for e in noise(phi)[:50])])
    assert seen.median() <= typical


def test_a_plateau_is_found_within_half_as_long_again_and_a_look():
    step = torch.arange(1000, dtype=torch.float64)
    trace = -torch.clamp(200 - step, min=0) + 0.1 * noise(0.3, 1, 1000)[0]
    found = stopping(trace, TOLERANCE)
    assert found.stop
    assert 200 < found.seen < 200 * 1.5 * 1.25 * 1.25


def test_looks_that_are_past_do_not_change():
    trace = noise(0.0, 1, 1000)[0] * 0.5
    found = stopping(trace, TOLERANCE)
    assert found.stop
    for length in (found.seen, found.seen + 1, 700):
        assert stopping(trace[:length], TOLERANCE) == found
    assert not stopping(trace[: found.seen - 1], TOLERANCE).stop


def test_exact_traces_need_no_statistics():
    step = torch.arange(100.0)
    flat, rising, falling = stopping(0 * step, 0.0), stopping(step, 19.0), stopping(-step, 0.0)
    assert flat.stop
    assert not rising.stop
    assert falling.stop
    assert abs(rising.gain - 20) < 1e-9


def test_the_error_is_the_spread_of_gains_or_more():
    for phi in (0.0, 0.5, 0.8):
        found = [gain_of_last(each[-200:], 100) for each in noise(phi)]
        gain, error = (torch.stack([f[i] for f in found]) for i in (0, 1))
        assert 0.9 < error.mean() / gain.std() < 2.0


def test_the_error_includes_slow_noise_under_fast():
    """Half white, half an autoregression of 0.9: its lag-one correlation gives half the error, batch means more."""
    slow, fast = noise(0.9, 100, 1000), noise(0.0, 100, 1000, keys.fold_in(KEY, 1))
    found = [gain_of_last(each, 400) for each in slow + fast]
    gain, error = (torch.stack([f[i] for f in found]) for i in (0, 1))
    assert 0.7 < error.mean() / gain.std() < 1.2


@pytest.mark.parametrize("freedom", [1.0, 2.0, 4.0, 9.0, 19.0, 100.0])
def test_quantiles_are_students_and_for_few_degrees_of_freedom_too_large(freedom):
    for level in (0.1, 0.025, 1e-3, 1e-5, 1e-7):
        ratio = student(level, freedom) / stats.t.isf(level, freedom)
        assert ratio > 1 - 1e-3
        assert ratio < 1.03 or freedom < 9


def test_verdicts_say_which_way_and_why():
    flat = 0.1 * noise(0.0, 1)[0]
    assert stopping(flat, TOLERANCE).verdict().startswith("stop: at 40 values, the last 20 gained")
    assert "above the tolerance" not in stopping(flat, TOLERANCE).verdict()
    assert "a larger gain is not excluded" in stopping(20 * flat, TOLERANCE).verdict()
    assert stopping(torch.arange(100.0), 1.0).verdict().endswith("and the tolerance is 1")
    assert "too short" in stopping(flat[:39], TOLERANCE).verdict()


def test_bad_input_raises():
    with pytest.raises(ValueError, match="finite trace, got NaN or infinite values in rows 1"):
        stopping(torch.tensor([0.0, math.nan]), 0.1)
    with pytest.raises(ValueError, match=r"trace \(t,\), got \(2, 2\)"):
        stopping(torch.zeros(2, 2), 0.1)
    with pytest.raises(TypeError, match="a tensor, got a list: convert it"):
        stopping([0.0] * 50, 0.1)
    with pytest.raises(ValueError, match="window, a whole number >= 10, got 3"):
        stopping(torch.zeros(50), 0.1, window=3)
    with pytest.raises(ValueError, match=r"tolerance in \[0, inf\), got nan"):
        stopping(torch.zeros(50), math.nan)
