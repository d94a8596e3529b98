"""A critic's difference approaches the exact Wasserstein distance from below, and passes it where its slope is free."""

import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch.func import grad
from torch.utils import _pytree as pytree

from jensen.core import keys
from jensen.core.models.adversarial import duality, gan
from jensen.core.models.adversarial.smoothness import Free, GradientPenalty, Spectral

KEY = keys.key(3)
DOUBLE = torch.float64
N, STEPS = 48, 200


def samples(d):
    """Two that differ in place and in spread."""
    x, y = (keys.normal(keys.fold_in(KEY, i), (1, N, d), DOUBLE)[0] for i in range(2))
    return x + 1.5, 0.5 * y


def exact(x, y):
    """In one dimension by pairing in order, otherwise by the assignment problem."""
    if x.shape[1] == 1:
        return (x.sort(0).values - y.sort(0).values).abs().mean().item()
    distance = torch.cdist(x, y)
    return distance[linear_sum_assignment(distance.numpy())].mean().item()


def trained(smooth, x, y, steps):
    """The critic of x and y before, in the middle and after so many steps of Wasserstein's game."""
    model = gan.mlp(x.shape[1], 1, (32, 32), smooth=smooth)
    params, state = model.init(KEY, DOUBLE)
    critic, leaves, found = params["critic"], pytree.tree_leaves(params["critic"]), []

    def loss(critic, state, key):
        constrained, after = smooth.constrained(critic, state)
        value = lambda x: model.criticise(constrained, x)  # noqa: E731
        return (value(y) - value(x) + smooth.penalty(value, x, y, key)).mean(), after

    optimiser = torch.optim.Adam(leaves, lr=1e-2)
    for step in range(steps + 1):
        if step in (0, steps // 2, steps):
            kept = pytree.tree_map(torch.clone, smooth.constrained(critic, state)[0])
            found.append(lambda x, kept=kept: model.criticise(kept, x))
        slopes, state = grad(loss, has_aux=True)(critic, state, keys.fold_in(KEY, step))
        for leaf, slope in zip(leaves, pytree.tree_leaves(slopes), strict=True):
            leaf.grad = slope
        optimiser.step()
    return found


@pytest.mark.parametrize("d", [1, 2])
def test_a_trained_critic_approaches_the_exact_distance_from_below(d):
    x, y = samples(d)
    bounds = [duality.lower_bound(value, x, y).item() for value in trained(GradientPenalty(), x, y, STEPS)]
    assert bounds == sorted(bounds)
    assert 0.8 * exact(x, y) < bounds[-1] <= exact(x, y)


def test_a_critic_of_spectral_norm_1_needs_no_division_and_a_free_one_does():
    x, y = samples(2)
    for value in trained(Spectral(), x, y, 60):
        assert duality.steepest(value, torch.cat([x, y])) <= 1 + 1e-2  # the power iteration lags behind the steps
        assert duality.difference(value, x, y) <= exact(x, y)
    free = trained(Free(), x, y, 60)[-1]  # a planted bug: no constraint
    assert duality.difference(free, x, y) > 3 * exact(x, y)
    assert duality.lower_bound(free, x, y) <= exact(x, y)


def test_linear_critics_by_hand():
    x, y = torch.tensor([[0.0, 0.0], [4.0, 0.0]], dtype=DOUBLE), torch.tensor([[3.0, 4.0]], dtype=DOUBLE)
    line = lambda x: -2 * x[:, 1]  # noqa: E731
    assert duality.difference(line, x, y).item() == pytest.approx(8)
    steepest = max(8 / 5, 8 / 17**0.5)  # of (0, 0) and (3, 4), of (4, 0) and (3, 4)
    assert duality.steepest(line, torch.cat([x, y])).item() == pytest.approx(steepest)
    assert duality.lower_bound(line, x, y).item() == pytest.approx(8 / steepest)
    flat = lambda x: 0 * x[:, 0]  # noqa: E731
    assert duality.lower_bound(flat, x, y) == 0
    assert duality.steepest(line, x[[0, 0]]) == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, y: duality.difference(lambda x: x[:, 0], x, y[:, :1]), r"expected y \(m, 2\), got \(48, 1\)"),
        (lambda x, y: duality.lower_bound(3, x, y), "expected value, a function such as a critic, got 3"),
        (lambda x, y: duality.steepest(lambda x: x[:, 0], x[0]), r"expected x \(n, d\), got \(2,\)"),
    ],
)
def test_refusals(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call(*samples(2))
