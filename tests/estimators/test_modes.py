"""Modes against closed forms and scipy, from hard starts, and what is said where there is none."""

import io
import math
import sys

import pytest
import torch
from torch.nn import functional as F

from jensen.core import bijections, keys
from jensen.estimators.evidence import find_mode, modes, progress
from tests.estimators.normalisers import F64, KEY, untouched

BOTH = pytest.mark.parametrize("dtype", [F64, torch.float32])


def quadratic(curvature, mode):
    return lambda z: -0.5 * (curvature * (z - mode).square()).sum(-1)


@BOTH
def test_an_ill_conditioned_quadratic_of_many_dimensions(dtype):
    """Condition number 5e5: within a thousandth of a standard deviation in every direction; no (d, d) is stored."""
    d = 5_000
    curvature = torch.tensor([1.0, 30.0, 5e5], dtype=dtype).repeat_interleave(d // 3 + 1)[:d]
    found = find_mode(quadratic(curvature, 2.0), torch.zeros(2, d, dtype=dtype))
    assert ((found.z - 2).abs() * curvature.sqrt() < 1e-3).all()
    assert found.verdict().startswith("at a mode")


@BOTH
def test_rosenbrocks_valley(dtype):
    def log_p(z):
        return -(100 * (z[..., 1:] - z[..., :-1].square()).square() + (1 - z[..., :-1]).square()).sum(-1)

    start = torch.tensor([[-1.2, 1.0, -1.2, 1.0], [3.0, -2.0, 0.5, 0.5]], dtype=dtype)
    found = find_mode(log_p, start)
    torch.testing.assert_close(found.z, torch.ones_like(start), atol=1e-3, rtol=0)


@BOTH
def test_a_regression_with_raw_scales(dtype):
    """Scales of 1 and of 1e4 with a log sigma: least squares is the mode, sigma^2 the mean squared residual."""
    x = keys.normal(KEY, (2, 400), F64)
    score = 100 + 15 * x[0]
    design = torch.stack([torch.ones_like(score), (x[1] > -0.8).double(), score, score * (x[1] > -0.8)], 1)
    y = design @ torch.tensor([10.0, 5, 0.5, 0.1], dtype=F64) + 18 * keys.normal(keys.fold_in(KEY, 1), (400,), F64)
    exact = torch.linalg.lstsq(design, y[:, None]).solution[:, 0]
    sigma = (y - design @ exact).square().mean().sqrt()
    narrow, target = design.to(dtype), y.to(dtype)

    def log_p(z):
        gap = (target - z[..., :4] @ narrow.T) / z[..., 4:].exp()
        return -0.5 * gap.square().sum(-1) - 400 * z[..., 4]

    found = find_mode(log_p, torch.zeros(1, 5, dtype=dtype))
    assert found.climb < 1e-4
    torch.testing.assert_close(found.z[0, 4].double(), sigma.log(), atol=1e-4, rtol=0)
    gap = (
        design @ (found.z[0, :4].double() - exact) / sigma
    )  # in standard deviations of the posterior, squared and summed
    assert gap.square().sum() < 1e-3


@BOTH
def test_logistic_regression_of_fifty_dimensions_against_scipy(dtype):
    from scipy import optimize

    x = keys.normal(KEY, (300, 50), F64) * torch.logspace(0, -2, 50, dtype=F64)
    y = (x[:, 0] + keys.normal(keys.fold_in(KEY, 1), (300,), F64) > 0).double()

    def log_p(z):
        logits = z @ x.T.to(z.dtype)
        return (y.to(z.dtype) * logits - F.softplus(logits)).sum(-1) - 0.005 * z.square().sum(-1)

    def downhill(z):
        point = torch.from_numpy(z)
        return -log_p(point[None, None]).item(), -torch.func.grad(lambda z: log_p(z[None, None]).sum())(point).numpy()

    best = optimize.minimize(
        downhill, torch.zeros(50).double().numpy(), jac=True, method="BFGS", options={"gtol": 1e-9}
    )
    found = find_mode(log_p, torch.zeros(1, 50, dtype=dtype))
    assert found.log_p.item() == pytest.approx(-best.fun, abs=1e-8 if dtype == F64 else 1e-4)


@BOTH
def test_the_neck_of_a_funnel(dtype):
    """v ~ N(0, 3^2), z_i ~ N(0, e^v): the mode is v = -9 d / 2, z = 0, with a curvature of e^(9 d / 2)."""

    def log_p(z):
        v = z[..., 0]
        return -(v.square() / 18) - (0.5 * z[..., 1:].square() * torch.exp(-v)[..., None] + 0.5 * v[..., None]).sum(-1)

    found = find_mode(log_p, torch.full((1, 3), 2.0, dtype=dtype))
    torch.testing.assert_close(found.z, torch.tensor([[-9.0, 0, 0]], dtype=dtype), atol=1e-3, rtol=0)


@pytest.mark.parametrize("h", [4, pytest.param(100, marks=pytest.mark.slow)])
def test_the_weights_of_a_network_from_the_saddle_at_0(h):
    """20 h weights, all hidden units alike at the start, so that the slope is 0: they part. Any mode will do."""
    x = keys.normal(KEY, (min(10 * h, 200), 18), F64)
    y = torch.sin(2 * x[:, 0]) + x[:, 1]

    def log_p(z):
        hidden = torch.tanh(x @ z[..., : 18 * h].unflatten(-1, (18, h)) + z[..., None, 18 * h : 19 * h])
        fit = (hidden * z[..., None, 19 * h :]).sum(-1)
        return -0.5 * ((y - fit) / 0.3).square().sum(-1) - 0.5 * z.square().sum(-1)

    start = torch.zeros(1, 20 * h, dtype=F64)
    found = find_mode(log_p, start, tolerance=1e-6)
    assert found.climb < 1e-5
    assert found.log_p > log_p(start[None])[0] + 10 * h


@BOTH
def test_a_start_at_a_minimum_or_a_saddle_is_left(dtype):
    def log_p(z):  # two modes at (+-3, 0); (0, 0) is a saddle, and in one dimension a minimum
        two = torch.logaddexp(-2 * (z[..., 0] - 3).square(), -2 * (z[..., 0] + 3).square())
        return two - 0.5 * z[..., 1:].square().sum(-1)

    for d in (1, 2):
        found = find_mode(log_p, torch.zeros(2, d, dtype=dtype))
        torch.testing.assert_close(found.z[:, 0].abs(), torch.full((2,), 3.0, dtype=dtype), atol=1e-4, rtol=0)
        assert (found.climb < 1e-6).all()


def student(z):
    """Student's t: convex beyond sqrt(3), where Newton's step leads away from the mode."""
    return -2 * torch.log1p(z.square() / 3).sum(-1)


def test_a_start_where_the_density_is_convex():
    found = find_mode(student, torch.tensor([[30.0, -8.0], [0.1, 400.0]], dtype=F64))
    torch.testing.assert_close(found.z, torch.zeros(2, 2, dtype=F64), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("dtype", "decades"), [(F64, 1.5), (torch.float32, 1.0)])
def test_every_datum_arrives_whatever_its_scales(dtype, decades):
    """300 products of Student's t in 6 dimensions, most convex at the start, of condition numbers up to 1e15 or 1e10.

    Steps that end by Nash and Sofer's test alone left an eighth of them on the way, zigzagging between two scales.
    """
    scale, loc = keys.normal(KEY, (2, 300, 6), F64).to(dtype)
    scale, loc = torch.exp(math.log(10) * decades * scale), 10 * loc
    found = find_mode(lambda z: -2.5 * torch.log1p(((z - loc) / scale).square()).sum(-1), torch.zeros_like(loc))
    assert (((found.z - loc) / scale).abs() < (1e-4 if dtype == F64 else 0.1)).all()
    assert (found.climb < (1e-9 if dtype == F64 else 1e-3)).all()


def test_steps_that_gain_nothing_are_what_is_rejected(monkeypatch):
    """Newton's step from a distance t of -sqrt(1 + t^2)'s mode leads to -t^3: with every step taken it runs away."""
    start = torch.full((1, 1), 3.0, dtype=F64)

    def log_p(z):
        return -torch.sqrt(1 + (z - 0.5).square()).sum(-1)

    torch.testing.assert_close(find_mode(log_p, start).z, torch.full((1, 1), 0.5, dtype=F64), atol=1e-4, rtol=0)
    monkeypatch.setattr(modes, "_share", lambda here, there, move: torch.ones_like(move.gain))
    assert find_mode(log_p, start, steps=50).z.abs() > 1e3


@pytest.mark.parametrize("outside", [-math.inf, math.nan, math.inf])
def test_steps_out_of_the_support_are_rejected(outside):
    """A density cut at 2, beyond which a step lands at first; its mode is the root of z + 0.4 z^3 = 1.99."""

    def log_p(z):
        return torch.where(z[..., 0] < 2, -0.5 * (z[..., 0] - 1.99).square() - 0.1 * z[..., 0] ** 4, outside)

    found = find_mode(log_p, torch.full((1, 1), -5.0, dtype=F64))
    assert found.climb < 1e-9
    assert abs(found.z.item() + 0.4 * found.z.item() ** 3 - 1.99) < 1e-4


def test_each_datum_climbs_by_itself():
    """Of easy, hard and impossible data, each is where it goes alone."""
    scale = torch.tensor([[1.0], [1e3], [1e-2], [math.nan]], dtype=F64)

    def log_p(z, scale=scale):
        return -2 * torch.log1p((z / scale).square()).sum(-1)

    start = torch.tensor([[3.0, 1.0], [5.0, 2.0], [40.0, 0.0], [1.0, 1.0]], dtype=F64)
    together = find_mode(log_p, start)
    for i in range(3):
        alone = find_mode(lambda z, i=i: log_p(z, scale[i : i + 1]), start[i : i + 1])
        torch.testing.assert_close(together.z[i], alone.z[0], rtol=1e-9, atol=1e-12)
    assert torch.equal(together.z[3], start[3])
    assert together.climb[3].isnan()
    assert together.verdict() == (
        "not at a mode (data 3), log_p or a derivative is not finite there: start inside the support"
    )


def test_the_climb_is_what_newtons_step_would_gain():
    """After one step of a radius too small it is slope^2 / (2 curvature), the whole way of a quadratic."""
    curvature = torch.tensor([1.0, 10.0], dtype=F64)
    found = find_mode(quadratic(curvature, 100.0), torch.zeros(1, 2, dtype=F64), steps=1)
    torch.testing.assert_close(found.climb, -found.log_p)
    assert "not at a mode, a step would gain 5.4e+04 nats: climb with find_mode for more" in found.verdict()
    assert find_mode(student, torch.tensor([[300.0, -90.0]], dtype=F64), steps=1).climb == math.inf


def test_the_mode_at_the_edge_of_a_support_is_none_but_in_unconstrained_coordinates():
    """Exponential prior, -1 ~ N(z, 1): uphill to 0 with slope -2. The density of log z has its mode at sqrt(2) - 1."""

    def log_p(z):
        return torch.where(z > 0, -z - 0.5 * (z + 1).square(), -math.inf).sum(-1)

    start = torch.ones(1, 1, dtype=F64)
    edge = find_mode(log_p, start)
    torch.testing.assert_close(edge.climb, torch.full((1,), 2.0, dtype=F64))  # slope^2 / 2
    assert "a step would gain 2 nats" in edge.verdict()
    assert "give the bijection onto it" in edge.verdict()
    inside = find_mode(log_p, start, bijections.Positive())
    assert inside.z.item() == pytest.approx(math.sqrt(2) - 1, abs=1e-5)
    assert inside.verdict().startswith("at a mode")


def test_starts_and_modes_are_in_the_bijections_set():
    """Counts (3, 1, 2) with a Dirichlet(1, 1, 1) prior: under stick-breaking the mode is at the posterior's mean."""
    counts = torch.tensor([3.0, 1.0, 2.0], dtype=F64)
    start = torch.full((1, 3), 1 / 3, dtype=F64)
    found = find_mode(lambda z: (counts * z.log()).sum(-1), start, bijections.Simplex())
    torch.testing.assert_close(found.z, (counts[None] + 1) / 9, atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match="start inside the support of log_p, and inside the bijection's set"):
        find_mode(lambda z: (counts * z.log()).sum(-1), 2 * start, bijections.Simplex())


def test_progress_is_shown_after_a_while(monkeypatch):
    lines = []
    find_mode(student, torch.ones(1, 1), progress=lines.append)
    assert lines == []  # too fast to tell
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    monkeypatch.setattr(progress, "PAUSE", 0.0)
    find_mode(student, torch.ones(3, 1), progress=lines.append)
    assert lines[0].startswith("find_mode: step 0 of 1000 at most, 3 of 3 data still climb, 1 nats")
    for terminal in (True, False):
        stream = io.StringIO()
        stream.isatty = lambda terminal=terminal: terminal
        monkeypatch.setattr(sys, "stderr", stream)
        find_mode(student, torch.ones(1, 1))
        assert bool(stream.getvalue()) == terminal
    assert not stream.getvalue()


def test_bad_arguments_are_named():
    start = torch.ones(1, 1)
    cases = [
        ((start, untouched), {}, TypeError, "expected log_p, a function"),
        ((untouched, start.numpy()), {}, TypeError, r"got a NumPy array .* torch.as_tensor\(z\)"),
        ((untouched, start.long()), {}, TypeError, r"expected z in floating point, got torch.int64: .* z.float\(\)"),
        ((untouched, start.half()), {}, TypeError, "expected z in float32 or float64, got torch.float16"),
        ((untouched, start[None]), {}, ValueError, r"expected z \(n, d\), got \(1, 1, 1\): one point per datum"),
        ((untouched, start, bijections.Positive), {}, TypeError, "expected bijection, a value such as"),
        ((untouched, start), {"steps": 0}, ValueError, "expected steps, a whole number >= 1, got 0"),
        ((untouched, start), {"tolerance": -1.0}, ValueError, r"expected tolerance in \[0, inf\), got -1"),
        ((lambda z: z.sum(), start), {}, ValueError, r"expected log_p\(z\) \(1, 1\)"),
        (
            (lambda z: z[..., 0] * math.nan, start),
            {},
            ValueError,
            "where log_p and its slope are finite, got log_p = nan",
        ),
        ((lambda z: z[..., 0] - math.inf, start), {}, ValueError, "got log_p = -inf: start inside the support"),
    ]
    for arguments, options, error, words in cases:
        with pytest.raises(error, match=words) as caught:
            find_mode(*arguments, **options)
        assert "\n" not in str(caught.value)
