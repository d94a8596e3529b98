"""The probability-flow ODE: normal data, for which it is affine, as the oracle."""

from dataclasses import dataclass

import pytest
import torch
from torch.func import grad

from jensen.core import keys
from jensen.core.distributions import DiagNormal
from jensen.core.models.transport import diffusion, fields, noise_levels, probability_flow

KEY = keys.key(0)
DOUBLE = torch.float64
LOC, SCALE = torch.tensor([0.5, -1.0], dtype=DOUBLE), torch.tensor([1.5, 0.4], dtype=DOUBLE)
P = DiagNormal(LOC[None], SCALE.log()[None])
X = P.sample(P.noise(KEY, 200))[:, 0]
Z = keys.normal(keys.fold_in(KEY, 5), (1, 20, 2), DOUBLE)[0]
LEVELS = noise_levels.linear(200)


@dataclass(frozen=True)
class Best:
    """E[noise | x_t] of data N(LOC, SCALE²) at any t, linear in log s between levels; a factor plants an error."""

    levels: noise_levels.Linear
    factor: float = 1.0
    data = 2

    def init(self, key, dtype=torch.float32):
        return {}

    def __call__(self, params, x, t):
        kept, t = self.levels.kept(), t * self.levels.steps
        places = 0.5 * (torch.log1p(-kept) - kept.log())
        first = t.floor().long().clamp(1, len(kept) - 1)
        place = torch.lerp(places[first - 1], places[first], t - first)
        kept = torch.sigmoid(-2 * place)[..., None]
        return self.factor * (1 - kept).sqrt() * (x - kept.sqrt() * LOC) / (kept * SCALE**2 + 1 - kept)


def flow(levels=LEVELS, factor=1.0):
    return probability_flow.build(diffusion.build(Best(levels, factor), levels))


def ends(levels=LEVELS):
    """Variances of s at the first level and at the last, (2,)."""
    kept = levels.kept()[[0, -1]]
    return (1 - kept) / kept, kept


def test_it_is_the_affine_map_of_normal_data():
    """x_0 + s noise keeps its quantile: (x - m) / sqrt(v + s²) is the same at every level."""
    (first, last), (_, kept) = ends()
    exact = kept.sqrt() * (LOC + (X - LOC) * ((SCALE**2 + last) / (SCALE**2 + first)).sqrt())
    errors = [(flow().encoded({}, X, steps) - exact).abs().max().item() for steps in (10, 20)]
    assert errors[1] < 1e-3
    assert errors[0] / errors[1] > 10  # of the fourth order
    torch.testing.assert_close(flow().decoded({}, exact, 40), X, atol=1e-4, rtol=0)
    torch.testing.assert_close(flow().decoded({}, flow().encoded({}, X, 40), 40), X, atol=1e-4, rtol=0)
    assert (flow(factor=1.1).encoded({}, X, 20) - exact).abs().max() > 0.05


def test_densities_are_those_of_the_affine_map():
    """The normal at the last level is wrong by what is left of the data: so is the density, by a known amount."""
    (first, last), (_, kept) = ends()
    spread = ((SCALE**2 + last) / (SCALE**2 + first)).sqrt()  # of what the map multiplies by, but for sqrt(kept)
    scale = 1 / (kept.sqrt() * spread)
    loc = LOC - LOC / spread
    exact = DiagNormal(loc[None], scale.log()[None]).log_prob(X[:, None])[:, 0]
    found = flow().log_prob({}, X, 25)
    torch.testing.assert_close(found, exact, atol=4e-4, rtol=0)
    off = (flow(factor=1.1).log_prob({}, X, 20) - exact).abs().max()
    assert off > 0.1


@pytest.mark.parametrize("build", [noise_levels.linear, noise_levels.cosine])
def test_densities_approach_the_datas_and_are_above_the_bound(build):
    """As the first level's noise and what is left at the last go to 0: a density, where the ELBO is below one."""
    away = []
    for steps in (50, 400):
        levels = build(steps)
        exact, found = P.log_prob(X[:, None])[:, 0], flow(levels).log_prob({}, X, 25)
        away.append((found - exact).abs().mean().item())
        bound = diffusion.build(Best(levels), levels).bound({}, X, keys.fold_in(KEY, 1)).elbo
        lost = found - bound
        assert lost.mean() > -4 * lost.std() / len(X) ** 0.5
    assert away[1] < min(0.01, away[0])


def test_densities_of_any_field_integrate_to_1():
    """By quadrature in the plane: a field that was never trained has a normalised density."""
    field = fields.mlp(2, (16,))
    params = field.init(KEY, DOUBLE)
    params["1"]["weight"] = 0.2 * keys.normal(KEY, params["1"]["weight"].shape, DOUBLE)
    axis = torch.linspace(-9, 9, 73, dtype=DOUBLE)
    grid = torch.cartesian_prod(axis, axis)
    model = probability_flow.build(diffusion.build(field, noise_levels.linear(20, 0.02, 0.05)))
    log_p = model.log_prob(params, grid, 20)
    assert (log_p.exp().sum() * (axis[1] - axis[0]) ** 2).item() == pytest.approx(1, abs=2e-3)


def test_implicit_samples_are_its_euler_steps():
    """DDIM from the same draw ends near `decoded`, nearer with more levels."""
    apart = []
    for steps in (50, 200):
        levels = noise_levels.linear(steps)
        start = keys.normal(keys.fold_in(KEY, 0), (1, 20, 2), DOUBLE)[0]
        implicit = diffusion.build(Best(levels), levels).implicit({}, KEY, 20, steps, dtype=DOUBLE)
        apart.append((flow(levels).decoded({}, start, 40) - implicit).abs().mean().item())
    assert apart[1] < apart[0] / 3
    assert apart[1] < 0.02


def test_a_network_is_differentiable():
    model = probability_flow.build(diffusion.build(fields.mlp(2, (8,)), noise_levels.linear(10)))
    params = model.diffusion.init(KEY, DOUBLE)
    assert grad(lambda p: model.log_prob(p, X[:3], 2).mean())(params)["1"]["weight"].abs().max() > 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: probability_flow.build(fields.mlp(2)), "expected diffusion, such as diffusion.build"),
        (lambda: flow().log_prob({}, X, 0), "expected steps, a whole number >= 1, got 0"),
        (lambda: flow().encoded({}, X[:, :1]), r"expected x \(n, 2\), got \(200, 1\)"),
        (lambda: flow().decoded({}, X[0]), r"expected z \(n, 2\), got \(2,\)"),
    ],
)
def test_refusals(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()
