"""Models of images pixel by pixel: sums over all small images, Jacobians and frequencies as oracles."""

import itertools

import pytest
import torch
from torch.func import grad, jacrev, vmap

from jensen.core import keys, trees
from jensen.core.models.autoregressive import made, pixel_cnn
from jensen.core.nn import masking

KEY = keys.key(0)
DOUBLE = torch.float64
LEVELS, SIDE = 2, 3
EVERY = torch.tensor(list(itertools.product(range(LEVELS), repeat=SIDE * SIDE)))
MODELS = {
    "made": made.build(SIDE * SIDE, LEVELS, (20, 30)),
    "pixel-cnn": pixel_cnn.build((SIDE, SIDE), LEVELS, features=6, layers=2, first=3),
}


def moved(model, x):
    """Parameters far from those of the start, where pixels are independent."""
    seeds = iter(range(99))
    start = model.init(KEY, x, DOUBLE)
    return trees.map(lambda t: t + 0.5 * keys.normal(keys.fold_in(KEY, next(seeds)), t.shape, DOUBLE), start)


@pytest.fixture(scope="module", params=MODELS)
def case(request):
    model = MODELS[request.param]
    return model, moved(model, EVERY)


def jacobian(model, params):
    """|d logits_i / d pixel_j|, the largest over levels and over several images: (D, D)."""
    shades = keys.normal(KEY, (1, 20, model.pixels), DOUBLE)[0]
    slopes = vmap(jacrev(lambda x: model.read(params["network"], x[None])[0]))(shades)
    return slopes.abs().amax((0, 2))


def test_probabilities_of_all_images_sum_to_1(case):
    model, params = case
    log_p = model.log_prob(params, EVERY)
    torch.testing.assert_close(log_p.logsumexp(0), torch.zeros((), dtype=DOUBLE), rtol=0, atol=1e-12)
    assert log_p.std() > 0.1  # far from equal ones


def test_probabilities_of_all_grey_images_sum_to_1():
    every = torch.tensor(list(itertools.product(range(3), repeat=4)))
    for model in (made.build(4, 3, (9,)), pixel_cnn.build((2, 2), 3, 4, 1, first=3)):
        total = model.log_prob(moved(model, every), every).logsumexp(0)
        torch.testing.assert_close(total, torch.zeros((), dtype=DOUBLE), rtol=0, atol=1e-12)


def test_logits_are_functions_of_all_pixels_before_and_of_no_others(case):
    """d logits_i / d pixel_j is 0 for j >= i, and for no other: there is no blind spot."""
    found = jacobian(*case)
    assert found.triu().max() == 0
    assert (found[torch.ones_like(found, dtype=torch.bool).tril(-1)] > 0).all()


def test_a_pixel_cnn_has_no_blind_spot_in_wide_images():
    """Every pixel of 7 x 7 has a part in the logits of the last, those to its upper right among them."""
    model = pixel_cnn.build((7, 7), 2, 4, layers=5, first=3)
    found = jacobian(model, moved(model, torch.zeros(1, 49).long()))
    assert found.triu().max() == 0
    for row in range(1, 7):  # of the pixel at the left, its upper right is all that there is
        assert (found[7 * row, 7 * (row - 1) : 7 * row - 1] > 0).all()


def test_a_first_mask_of_type_b_shows_a_pixel_to_itself(monkeypatch):
    model = MODELS["pixel-cnn"]
    params, before = moved(model, EVERY), masking.before
    monkeypatch.setattr(masking, "before", lambda kernel, centre, device=None: before(kernel, True, device))
    assert (jacobian(model, params).diagonal() > 0).all()
    assert model.log_prob(params, EVERY).logsumexp(0).abs() > 0.01


def test_a_last_mask_of_equal_degrees_shows_a_pixel_to_itself(monkeypatch):
    model = MODELS["made"]
    params, masks = moved(model, EVERY), masking.perceptron

    def wrong(inputs, hidden, each, device=None):
        degrees, seen = torch.arange(1, inputs + 1), torch.arange(hidden[-1]) * inputs // hidden[-1]
        return [*masks(inputs, hidden, each, device)[:-1], degrees.repeat(each)[:, None] >= seen]

    monkeypatch.setattr(masking, "perceptron", wrong)
    assert jacobian(model, params).diagonal().max() > 0
    assert model.log_prob(params, EVERY).logsumexp(0).abs() > 0.01


def test_training_starts_at_independent_pixels(case):
    model, _ = case
    x = EVERY[torch.tensor([0, 3, 7, 7])]
    params = model.init(KEY, x, DOUBLE)
    ones = (x.double().mean(0) * 4 + 0.5) / 5
    expected = torch.where(EVERY == 1, ones, 1 - ones).log().sum(1)
    torch.testing.assert_close(model.log_prob(params, EVERY), expected)


def test_draws_are_as_frequent_as_probable(case):
    """Of 3,000 draws: each image of more than 2 %, within four standard errors."""
    model, params = case
    drawn = model.sample(params, KEY, 3_000)
    place = (drawn * 2 ** torch.arange(SIDE * SIDE - 1, -1, -1)).sum(1)
    share = torch.bincount(place, minlength=len(EVERY)).double() / len(drawn)
    p = model.log_prob(params, EVERY).exp()
    often = p > 0.02
    assert often.sum() > 3
    assert ((share - p)[often].abs() < 4 * (p * (1 - p) / len(drawn)).sqrt()[often]).all()


def test_gradients_map_and_reach_every_parameter(case):
    model, params = case

    def slope(x):
        return grad(lambda p: model.log_prob(p, x).mean())(params)

    halves = torch.stack([EVERY[:9], EVERY[100:109]])
    for both, first in zip(trees.leaves(vmap(slope)(halves)), trees.leaves(slope(EVERY[:9])), strict=True):
        torch.testing.assert_close(both[0], first)
        assert first.any()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: made.build(9, 1), "expected levels, a whole number >= 2, got 1"),
        (lambda: made.build(9, hidden=()), "expected hidden of one width or more"),
        (lambda: pixel_cnn.build((3, 3, 3)), "expected image of 2 whole numbers"),
        (lambda: pixel_cnn.build((3, 3), kernel=2), "expected kernel, an odd number, got 2"),
        (lambda: pixel_cnn.build((3, 3), first=1), "expected first of 3 or more, got 1"),
        (lambda: masking.before(4, True), "expected kernel, an odd number, got 4"),
        (lambda: MODELS["made"].init(KEY, EVERY + 1), "expected x of levels from 0 to 1, got from 1 to 2"),
        (lambda: MODELS["made"].init(KEY, EVERY.float()), "expected x, whole numbers, got torch.float32"),
        (lambda: MODELS["made"].log_prob(moved(MODELS["made"], EVERY), EVERY[0]), r"expected x \(n, 9\), got \(9,\)"),
        (lambda: MODELS["made"].log_prob({"network": {}}, EVERY), "missing 'logits'"),
        (lambda: MODELS["made"].sample(moved(MODELS["made"], EVERY), KEY, 0), "expected n, a whole number >= 1"),
    ],
)
def test_refusals(call, message):
    with pytest.raises((TypeError, ValueError, KeyError), match=message):
        call()
