"""A bound's weights and path coefficients: closed, differentiated and compiled."""

import pytest
import torch
from hypothesis import given, settings
from torch.func import grad, vmap

from jensen import laws
from jensen.core import bounds, keys
from jensen.core.divergences import generators
from tests.core.test_bounds_family import ALL, finite_weights

INF = float("inf")
KEY = keys.key(5)
COMPILED = {
    "Tvo": bounds.Tvo(bounds.log_betas(3)),
    "Tvo right": bounds.Tvo(bounds.log_betas(3), "right"),
    "Ciwae": bounds.Ciwae(0.3),
    "Csiszar": bounds.Csiszar(generators.chi2),
    "Sumo": bounds.Sumo(),
    "Jackknife(2)": bounds.Jackknife(2),
    "TailAdaptive": bounds.TailAdaptive(),
    "Miwae": bounds.Miwae(2, 2),
}


@pytest.mark.law
@settings(max_examples=2)
@given(finite_weights)
def test_slopes_are_differences(log_w):
    log_w = log_w + 0.1 * torch.arange(12.0, dtype=torch.float64).reshape(6, 2) ** 1.1  # the maximum has no ties
    top = log_w.topk(2, 0).values
    tied = (top[0] - top[1] < 1e-3).any()
    for name, bound in ALL.items():
        if name == "TailAdaptive" or (name == "vr_max" and tied):  # its weights are no derivative; nor has a tie one
            continue
        u, path = bounds.derivatives(bound, log_w)
        laws.weights_are_slopes(bound, u, log_w)
        first = lambda t, f=bound: grad(lambda t: f(t).sum())(t)  # noqa: E731
        for s in range(6):
            move = torch.zeros_like(log_w)
            move[s] = 1e-5
            h = (first(log_w + move)[s] - first(log_w - move)[s]) / 2e-5
            torch.testing.assert_close(u[s] * path[s], torch.where(u[s] == 0, 0.0, u[s] - h), rtol=0, atol=1e-7)


def test_piwae_gives_each_its_own_gradient():
    log_w = keys.normal(KEY, (6, 3), torch.float64)
    log_w[:3, 2] = -INF
    value = bounds.piwae(log_w, log_w, 2, 3)
    assert torch.equal(value, bounds.iwae(log_w))
    theta = grad(lambda t: bounds.piwae(t, log_w, 2, 3).sum())(log_w)
    phi = grad(lambda t: bounds.piwae(log_w, t, 2, 3).sum())(log_w)
    torch.testing.assert_close(theta, torch.softmax(log_w, 0))
    groups = torch.softmax(log_w.unflatten(0, (2, 3)), 1).flatten(0, 1) / 2
    torch.testing.assert_close(phi[:, :2], groups[:, :2])
    torch.testing.assert_close(phi[3:, 2], groups[3:, 2])  # the group inside the support
    assert (phi[:3, 2] == 0).all()
    with pytest.raises(ValueError, match="of one shape"):
        bounds.piwae(log_w, log_w[:4], 2, 2)


@pytest.mark.parametrize(
    "backend", ["eager", *(pytest.param(other, marks=pytest.mark.slow) for other in ("aot_eager", "inductor"))]
)
@pytest.mark.parametrize("bound", COMPILED.values(), ids=COMPILED)
def test_slopes_compile_in_one_graph(bound, backend):
    """The value, its derivatives and a gradient through them, mapped."""
    log_w = keys.normal(KEY, (3, 4, 2), torch.float64)

    def all_of(t):
        return bound(t), *bounds.derivatives(bound, t), grad(lambda t: bounds.derivatives(bound, t)[1].sum())(t)

    torch.compiler.reset()
    compiled = torch.compile(vmap(all_of), fullgraph=True, backend=backend)
    for found, expected in zip(compiled(log_w), vmap(all_of)(log_w), strict=True):
        torch.testing.assert_close(found, expected)


def test_slopes_of_half_precision_are_those_of_float32():
    log_w = (3 * keys.normal(KEY, (6, 4), torch.float32)).half()
    for bound in (bounds.iwae, bounds.Cubo(2.0), bounds.Miwae(3, 2), bounds.Tvo(bounds.log_betas(3))):
        for found, expected in zip(
            bounds.derivatives(bound, log_w), bounds.derivatives(bound, log_w.float()), strict=True
        ):
            assert found.dtype == torch.float32
            assert torch.equal(found, expected)


def test_tail_adaptive_weights_are_the_shares_of_samples_as_heavy():
    """The heaviest of three has a share of 1/3, and beta = -1 its inverse."""
    log_w = torch.tensor([[3.0], [1.0], [2.0]], dtype=torch.float64)
    for beta, expected in ((-1.0, [3, 1, 1.5]), (1.0, [1, 3, 2])):
        u = bounds.derivatives(bounds.TailAdaptive(beta), log_w)[0][:, 0]
        torch.testing.assert_close(u, torch.tensor(expected, dtype=torch.float64) / sum(expected))


def test_slopes_are_finite_where_a_particle_has_no_weight():
    log_w = torch.tensor([[-INF, 0.0], [1.0, -INF], [0.5, 2.0]], dtype=torch.float64)
    for bound in (bounds.Tvo(bounds.log_betas(3), "right"), bounds.Csiszar(generators.chi2)):
        assert all(torch.isfinite(t).all() for t in bounds.derivatives(bound, log_w))
