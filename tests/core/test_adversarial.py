"""Adversarial models: slopes by hand and by differences, which network each loss reaches, distances known exactly."""

import math

import pytest
import torch
from torch.func import grad
from torch.utils import _pytree as pytree

from jensen.core import keys
from jensen.core.flows import spectral
from jensen.core.models.adversarial import gan
from jensen.core.models.adversarial.games import GAMES
from jensen.core.models.adversarial.smoothness import R1R2, Clipped, Free, GradientPenalty, Spectral

KEY = keys.key(0)
DOUBLE = torch.float64
X, FAKE = (keys.normal(keys.fold_in(KEY, i), (1, 6, 3), DOUBLE)[0] * (1 + i) for i in range(2))
A = keys.normal(keys.fold_in(KEY, 5), (3, 3), DOUBLE)
A = A + A.T
SMOOTH = (Free(), GradientPenalty(), R1R2(), Clipped(0.1), Spectral())


def quadratic(x):
    """Its slope is A x."""
    return 0.5 * (x @ A * x).sum(-1)


def size(tree):
    return max(t.abs().max().item() for t in pytree.tree_leaves(tree))


def by_hand(weight=3.0):
    """The penalty of a quadratic critic, between X and FAKE."""
    t = keys.uniform(KEY, (1, 6, 1), DOUBLE)[0]
    return weight * (((t * X + (1 - t) * FAKE) @ A).norm(dim=-1) - 1).square()


def test_slopes_of_a_quadratic_critic_by_hand():
    torch.testing.assert_close(GradientPenalty(3.0).penalty(quadratic, X, FAKE, KEY), by_hand())
    ends = (X @ A).square().sum(-1) + (FAKE @ A).square().sum(-1)
    torch.testing.assert_close(R1R2(3.0).penalty(quadratic, X, FAKE, KEY), 1.5 * ends)


@pytest.mark.parametrize(
    ("place", "reduce"),
    [
        (keys.uniform(KEY, (1, 6, 1), DOUBLE)[0], torch.mean),
        (keys.uniform(KEY, (1, 6, 3), DOUBLE)[0], torch.sum),
        (torch.ones(6, 1, dtype=DOUBLE), torch.sum),
    ],
    ids=["slope of the mean", "one t for each pixel", "at the data"],
)
def test_planted_penalties_are_not_those_by_hand(place, reduce):
    slope = grad(lambda x: reduce(quadratic(x)))(place * X + (1 - place) * FAKE)
    assert (3 * (slope.norm(dim=-1) - 1).square() - by_hand()).abs().max() > 0.1


@pytest.mark.parametrize("smooth", [GradientPenalty(), R1R2()])
@pytest.mark.parametrize("compiled", [False, True])
def test_a_penaltys_gradient_is_that_of_differences(smooth, compiled):
    """The second derivative, eager and in a compiled graph."""
    model = gan.mlp(3, 2, (5,), smooth=smooth, activation=torch.tanh)
    params, _ = model.init(KEY, DOUBLE)

    def loss(critic):
        return smooth.penalty(lambda x: model.criticise(critic, x), X, FAKE, KEY).mean()

    slope = grad(loss)
    found = (torch.compile(slope, fullgraph=True, backend="aot_eager") if compiled else slope)(params["critic"])
    for layer in ("0", "1"):
        weight, step = params["critic"][layer]["weight"], 1e-6
        for place in [(0, 0), (0, 2)]:
            moved = [weight.clone(), weight.clone()]
            moved[0][place] += step
            moved[1][place] -= step
            ends = [loss({**params["critic"], layer: {**params["critic"][layer], "weight": w}}) for w in moved]
            assert found[layer]["weight"][place].item() == pytest.approx((ends[0] - ends[1]).item() / 2e-6, rel=1e-5)


def test_a_slope_of_0_has_a_finite_gradient(monkeypatch):
    """Of |slope|, whose own slope is infinite there; without what is added under the root it is not finite."""

    def loss(a):
        return GradientPenalty().penalty(lambda x: (a * x).sum(-1), X, FAKE, KEY).mean()

    flat = torch.zeros(3, dtype=DOUBLE)
    assert grad(loss)(flat).isfinite().all()
    monkeypatch.setattr("jensen.core.models.adversarial.smoothness.TINY", 0.0)
    assert not grad(loss)(flat).isfinite().all()


@pytest.mark.slow
@pytest.mark.parametrize("smooth", SMOOTH, ids=lambda s: type(s).__name__)
def test_a_critics_gradient_compiled_is_the_eager_one(smooth):
    """Derivatives of second order among it, as the trainer compiles them."""
    model = gan.mlp(3, 2, (5,), smooth=smooth)
    params, state = model.init(KEY, DOUBLE)

    def loss(critic, x, key):
        terms, _ = model.critic_loss({**params, "critic": critic}, state, x, key)
        return sum(term.mean() for term in terms.values())

    found = torch.compile(grad(loss), fullgraph=True, dynamic=False)(params["critic"], X, KEY)
    expected = grad(loss)(params["critic"], X, KEY)
    for ours, theirs in zip(pytree.tree_leaves(found), pytree.tree_leaves(expected), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("game", GAMES)
@pytest.mark.parametrize("smooth", SMOOTH, ids=lambda s: type(s).__name__)
def test_each_loss_reaches_its_own_network(game, smooth):
    model = gan.mlp(3, 2, (5,), game, smooth)
    params, state = model.init(KEY, DOUBLE)
    by_critic = grad(lambda p: sum(t.mean() for t in model.critic_loss(p, state, X, KEY)[0].values()))(params)
    assert size(by_critic["generator"]) == 0
    assert size(by_critic["critic"]) > 1e-4
    by_generator = grad(lambda p: model.generator_loss(p, state, X, KEY).mean())(params)
    assert size(by_generator["generator"]) > 1e-8


def test_a_forgotten_detach_is_seen(monkeypatch):
    model = gan.mlp(3, 2, (5,), smooth=Free())
    params, state = model.init(KEY, DOUBLE)
    monkeypatch.setattr(torch.Tensor, "detach", lambda t: t)
    by_critic = grad(lambda p: model.critic_loss(p, state, X, KEY)[0]["game"].mean())(params)
    assert size(by_critic["generator"]) > 1e-4


def test_games_by_hand():
    a, b = torch.tensor([2.0], dtype=DOUBLE), torch.tensor([-1.0], dtype=DOUBLE)

    def sigmoid(t):
        return 1 / (1 + math.exp(-t))

    expected = {
        "minimax": (-math.log(sigmoid(2)) - math.log(1 - sigmoid(-1)), math.log(1 - sigmoid(-1))),
        "non-saturating": (-math.log(sigmoid(2)) - math.log(1 - sigmoid(-1)), -math.log(sigmoid(-1))),
        "wasserstein": (-3.0, 1.0),
        "relativistic": (-math.log(sigmoid(3)), -math.log(sigmoid(-3))),
    }
    assert set(expected) == set(GAMES)
    for name, game in GAMES.items():
        assert (game.critic(a, b).item(), game.generator(a, b).item()) == pytest.approx(expected[name])


def test_spectral_norms_are_1_once_the_iteration_has_converged_and_the_state_goes_on():
    model = gan.mlp(3, 2, (7, 5), smooth=Spectral())
    params, state = model.init(KEY, DOUBLE)
    for _ in range(60):
        critic, after = Spectral().constrained(params["critic"], state)
        assert set(after) == set(state)
        state = after
    for layer in critic.values():
        assert torch.linalg.matrix_norm(layer["weight"], 2).item() == pytest.approx(1, abs=1e-6)
    ends = torch.stack([X[0], X[0] + 1e-3])
    slope = (model.value(params, state, ends).diff() / (ends[1] - ends[0]).norm()).abs()
    assert slope.item() <= 1 + 1e-6


def test_a_loss_of_normalised_weights_does_not_change_along_them(monkeypatch):
    """<gradient, W> = 0, since W / sigma is the same for every multiple of W; not with sigma detached."""
    model = gan.mlp(3, 2, (7, 5), smooth=Spectral())
    params, state = model.init(KEY, DOUBLE)

    def along():
        slopes = grad(lambda p: model.value({**params, "critic": p}, state, X).sum())(params["critic"])
        return max((slopes[layer]["weight"] * params["critic"][layer]["weight"]).sum().abs() for layer in slopes)

    assert along() < 1e-12
    norm = spectral.norm
    planted = lambda w, u: (norm(w, u)[0].detach(), norm(w, u)[1])  # noqa: E731
    monkeypatch.setattr("jensen.core.models.adversarial.smoothness.spectral.norm", planted)
    assert along() > 0.1


def test_clipped_weights_are_clipped_and_followed():
    model = gan.mlp(3, 2, (5,), smooth=Clipped(0.1))
    params, state = model.init(KEY, DOUBLE)
    critic, _ = Clipped(0.1).constrained(params["critic"], state)
    assert size(critic) == pytest.approx(0.1)
    free = grad(lambda p: model.criticise(p, X).sum())(critic)
    through = grad(lambda p: model.value({**params, "critic": p}, state, X).sum())(params["critic"])
    for ours, theirs in zip(pytree.tree_leaves(through), pytree.tree_leaves(free), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_the_best_critic_of_two_points_has_the_slope_that_the_penalty_leaves_it():
    """Data at 2, all that is generated at -1: -3 slope + 10 (slope - 1)² is least at 1 + 3 / 20."""
    x = torch.full((64, 1), 2.0)
    model = gan.mlp(1, 1, (16,), smooth=GradientPenalty(10.0))
    params, state = model.init(KEY)
    params["generator"] = pytree.tree_map(torch.zeros_like, params["generator"])
    params["generator"]["1"]["bias"] -= 1

    def loss(critic, key):
        terms, _ = model.critic_loss({**params, "critic": critic}, state, x, key)
        return terms["game"].mean() + terms["penalty"].mean()

    leaves = pytree.tree_leaves(params["critic"])
    optimiser = torch.optim.Adam(leaves, lr=1e-2)
    for step in range(300):
        slopes = grad(loss)(params["critic"], keys.fold_in(KEY, step))
        for leaf, slope in zip(leaves, pytree.tree_leaves(slopes), strict=True):
            leaf.grad = slope
        optimiser.step()
    line = torch.linspace(-1, 2, 50)[:, None]
    value = model.value(params, state, line)
    assert (value[-1] - value[0]).item() / 3 == pytest.approx(1.15, abs=0.01)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gan.mlp(2, 2, game="hinge"), 'expected game "minimax"'),
        (lambda: gan.mlp(2, 2, smooth=R1R2), "expected smooth, such as GradientPenalty"),
        (lambda: GradientPenalty(0.0), r"expected weight in \(0, inf\), got 0.0"),
        (lambda: Clipped(-1.0), r"expected limit in \(0, inf\), got -1.0"),
        (lambda: gan.mlp(2, 0), "expected latent, a whole number >= 1, got 0"),
        (lambda: gan.mlp(2, 2).sample({"generator": {}}, KEY, 3), "parameters do not fit: missing 'critic'"),
        (lambda: (m := gan.mlp(2, 2)).value(*m.init(KEY), X), r"expected x \(n, 2\), got \(6, 3\)"),
        (
            lambda: (m := gan.mlp(3, 2, bounded=True)).value(*m.init(KEY, DOUBLE), 255 * X.abs() / X.abs().max()),
            r"expected x in \[-1, 1\], as what is generated is, got [0-9.]+ to 255: rescale it",
        ),
    ],
)
def test_refusals(call, message):
    with pytest.raises((TypeError, ValueError, KeyError), match=message):
        call()
