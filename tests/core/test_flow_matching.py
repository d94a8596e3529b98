"""Flow matching: normal data, whose velocity, path and density are known, as the oracle."""

from dataclasses import dataclass

import pytest
import torch
from torch.func import grad, vmap

from jensen.core import keys
from jensen.core.distributions import DiagNormal
from jensen.core.models.transport import fields, flow_matching

KEY = keys.key(0)
DOUBLE = torch.float64
LOC, SCALE = torch.tensor([0.5, -1.0], dtype=DOUBLE), torch.tensor([1.5, 0.4], dtype=DOUBLE)
P = DiagNormal(LOC[None], SCALE.log()[None])
X = P.sample(P.noise(KEY, 4000))[:, 0]
START = keys.normal(keys.fold_in(KEY, 9), (1, 50, 2), DOUBLE)[0]


@dataclass(frozen=True)
class Best:
    """E[x_1 - x_0 | x_t] of data N(LOC, SCALE²) and independent x_0, times a factor that plants an error."""

    factor: float = 1.0
    data = 2

    def init(self, key, dtype=torch.float32):
        return {}

    def __call__(self, params, x, t):
        t = t[..., None]
        variance = (1 - t) ** 2 + t**2 * SCALE**2
        return self.factor * (LOC + (t * SCALE**2 - (1 - t)) / variance * (x - t * LOC))


MODEL = flow_matching.build(Best())


def test_paths_end_where_the_normal_map_takes_them():
    """x_1 = LOC + SCALE x_0: the flow of the best velocity keeps each coordinate's quantile."""
    errors = [(MODEL.transported({}, START, steps) - (LOC + SCALE * START)).abs().max().item() for steps in (20, 40)]
    assert errors[1] < 2e-5
    assert errors[0] / errors[1] > 12  # of the fourth order
    euler = [(MODEL.transported({}, START, n, "euler") - (LOC + SCALE * START)).abs().max().item() for n in (40, 80)]
    assert 1.7 < euler[0] / euler[1] < 2.3  # of the first


def test_densities_are_the_datas():
    exact = P.log_prob(X[:20, None])[:, 0]
    torch.testing.assert_close(MODEL.log_prob({}, X[:20], 60), exact, rtol=0, atol=2e-5)
    wrong = flow_matching.build(Best(1.1)).log_prob({}, X[:20], 60)
    assert (wrong - exact).abs().max() > 0.05


def test_densities_of_any_field_integrate_to_1():
    """By quadrature in the plane: a field that was never trained, far from 0, has a normalised density."""
    field = fields.mlp(2, (16,))
    params = field.init(KEY, DOUBLE)
    params["1"]["weight"] = 0.3 * keys.normal(KEY, params["1"]["weight"].shape, DOUBLE)
    axis = torch.linspace(-9, 9, 91, dtype=DOUBLE)
    grid = torch.cartesian_prod(axis, axis)
    log_p = flow_matching.build(field).log_prob(params, grid, 20)
    assert (log_p.exp().sum() * (axis[1] - axis[0]) ** 2).item() == pytest.approx(1, abs=2e-3)
    assert (log_p - DiagNormal(0 * grid, 0 * grid).log_prob(grid)).abs().max() > 0.5


def test_the_loss_is_least_at_the_best_velocity_and_has_its_variance_there():
    """E |x_1 - x_0 - E[.|x_t]|² is the mean conditional variance, SCALE² / variance(t), by quadrature over t."""
    t = (torch.arange(20_000, dtype=DOUBLE) + 0.5)[:, None] / 20_000
    exact = (SCALE**2 / ((1 - t) ** 2 + t**2 * SCALE**2)).mean(0).sum().item()
    loss = MODEL.loss({}, X, KEY)
    assert loss.mean().item() == pytest.approx(exact, abs=4 * loss.std().item() / len(X) ** 0.5)
    assert loss.mean() < min(flow_matching.build(Best(f)).loss({}, X, KEY).mean() for f in (0.9, 1.1))


@pytest.mark.parametrize("factor", [1.0, 1.2])
def test_no_other_velocity_is_better_than_the_known_one(factor):
    """The loss's slope along any function of x and t is 0 at E[x_1 - x_0 | x_t], and at a planted one it is not."""

    @dataclass(frozen=True)
    class Moved:
        data = 2

        def __call__(self, params, x, t):
            t = t[..., None]
            features = torch.stack([torch.ones_like(x), x, t * x, torch.sin(2 * x), x.flip(-1)], -1)
            return Best(factor)({}, x, t[..., 0]) + (features * params["weights"]).sum(-1)

        def init(self, key, dtype=torch.float32):
            return {}

    model = flow_matching.build(Moved())

    def loss(params, x, key):
        return model.loss(params, x[None], key)[0]

    each = keys.split(keys.fold_in(KEY, 3), len(X))
    slopes = vmap(grad(loss), (None, 0, 0))({"weights": torch.zeros(2, 5, dtype=DOUBLE)}, X, each)["weights"]
    worst = (slopes.mean(0) / (slopes.std(0) / len(X) ** 0.5)).abs().max()
    assert worst < 4 if factor == 1 else worst > 6


def test_reflow_of_pairs_has_no_variance_left():
    """Of pairs (x_0, LOC + SCALE x_0) the straight path's velocity is a function of where it is."""

    @dataclass(frozen=True)
    class Straight:
        data = 2

        def init(self, key, dtype=torch.float32):
            return {}

        def __call__(self, params, x, t):
            t = t[..., None]
            return LOC + (SCALE - 1) * (x - t * LOC) / (1 - t + t * SCALE)

    model = flow_matching.build(Straight())
    ends = LOC + SCALE * START
    assert model.loss({}, ends, KEY, START).max() < 1e-20
    assert model.loss({}, ends, KEY).mean() > 0.1  # of other starts
    torch.testing.assert_close(model.transported({}, START, 1, "euler"), ends)
    assert model.straightness({}, START).max() < 1e-8
    assert MODEL.straightness({}, START).mean() > 0.05


def test_a_network_is_differentiable():
    model = flow_matching.build(fields.mlp(2, (8,)))
    params = model.init(KEY, DOUBLE)
    assert grad(lambda p: model.loss(p, X[:3], KEY).mean())(params)["1"]["weight"].abs().max() > 0
    assert grad(lambda p: model.log_prob(p, X[:3], 2).mean())(params)["1"]["weight"].abs().max() > 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: flow_matching.build(fields.Mlp), "expected field, such as fields.mlp"),
        (lambda: MODEL.transported({}, X, 0), "expected steps, a whole number >= 1, got 0"),
        (lambda: MODEL.transported({}, X, 2, "heun"), 'expected method "rk4" or "euler"'),
        (lambda: MODEL.loss({}, X, KEY, X[:2]), r"expected start \(4000, 2\), got \(2, 2\)"),
        (lambda: MODEL.log_prob({}, X[:, :1]), r"expected x \(n, 2\), got \(4000, 1\)"),
    ],
)
def test_refusals(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()
