"""Weightings of a diffusion's loss: the ELBO's own, their definitions, and what they are in continuous time."""

import pytest
import torch
from torch.func import vmap

from jensen.core import keys, trees
from jensen.core.models.transport import diffusion, fields, noise_levels, pixel_diffusion, weightings

KEY = keys.key(0)
DOUBLE = torch.float64
LEVELS = noise_levels.cosine(12)
X = 0.5 * keys.normal(KEY, (1, 400, 2), DOUBLE)[0]
FIELD = fields.mlp(2, (4,))
PARAMS = FIELD.init(KEY, DOUBLE)
PARAMS["1"]["weight"] = 0.3 * keys.normal(KEY, tuple(PARAMS["1"]["weight"].shape), DOUBLE)


def of_keys(value, seed, n):
    """Means over data for n keys."""
    return vmap(lambda key: value(key).mean())(keys.split(keys.key(seed), n))


def error_of(*samples):
    """The standard error of a sum of their means."""
    return sum(each.var() / len(each) for each in samples).sqrt()


@pytest.mark.parametrize("variance", ["small", "large"])
def test_the_bounds_own_is_the_elbo_but_for_what_no_parameter_changes(variance):
    model = diffusion.build(FIELD, LEVELS, variance, weightings.BOUND)
    twice = {**PARAMS, "1": {**PARAMS["1"], "weight": 2 * PARAMS["1"]["weight"]}}
    falls = of_keys(lambda key: model.bound(PARAMS, X, key).elbo - model.bound(twice, X, key).elbo, 4, 40)
    losses = of_keys(lambda key: model.loss(twice, X, key) - model.loss(PARAMS, X, key), 5, 200)
    assert abs(falls.mean() - losses.mean()) < 4 * error_of(falls, losses) < 0.2 * abs(falls.mean())


def test_of_pixels_it_has_the_mass_at_the_first_step():
    """Errors at these levels stay within the range of pixels, so that no x̂_0 is cut."""
    x = torch.linspace(-1, 1, 5, dtype=DOUBLE)[keys.bits(KEY, (1, 300, 2))[0] % 5] / 4
    levels = noise_levels.linear(3, 0.01, 0.02)
    exact = {"0": PARAMS["0"], "1": trees.map(torch.zeros_like, PARAMS["1"])}
    model = pixel_diffusion.build(FIELD, levels, 17, "large", weightings.BOUND)
    table = model.table
    ratio = (table.beta * (1 - table.before) / (1 - table.kept) / table.variance)[1:]
    constant = (ratio - 1 - ratio.log()).sum()  # of two coordinates, a half each

    def whole(key):
        bound = model.bound(exact, x, key)
        return bound.transitions.sum(-1) - constant - bound.reconstruction

    bounds, losses = of_keys(whole, 4, 60), of_keys(lambda key: model.loss(exact, x, key), 5, 300)
    assert abs(bounds.mean() - losses.mean()) < 4 * error_of(bounds, losses)
    plain = diffusion.build(FIELD, levels, "large", weightings.BOUND)  # a density's first step, a planted bug
    off = of_keys(lambda key: plain.loss(exact, x, key), 5, 300)
    assert abs(bounds.mean() - off.mean()) > 8 * error_of(bounds, off)


def test_in_many_steps_it_is_half_of_what_log_snr_falls_by():
    levels = noise_levels.cosine(1000)
    table = diffusion.build(fields.mlp(2), levels).table
    found, log_snr = weightings.BOUND(table), torch.logit(table.kept)
    expected = -0.5 * 1000 * log_snr.diff()
    torch.testing.assert_close(found[100:900], expected[99:899], rtol=1e-2, atol=0)


def test_the_others_are_what_their_papers_say():
    table = diffusion.build(fields.mlp(2), LEVELS).table
    snr = table.kept / (1 - table.kept)
    assert torch.equal(weightings.SIMPLE(table), torch.ones(12, dtype=DOUBLE))
    of_clean = weightings.min_snr(5.0)(table) * snr  # |x_0 - x̂_0|² is |noise error|² / snr
    torch.testing.assert_close(of_clean, torch.minimum(snr, torch.tensor(5.0, dtype=DOUBLE)))
    torch.testing.assert_close(weightings.p2(2.0, 0.5)(table), 1 / (0.5 + snr) ** 2)
    assert (weightings.p2(0.0)(table) == 1).all()
    assert set(weightings.WEIGHTINGS) == {"simple", "bound", "min-snr", "p2"}


def test_a_loss_is_its_weights_times_the_simple_one():
    simple, weighted = (
        diffusion.build(fields.mlp(2, (4,)), LEVELS, "large", w) for w in (weightings.SIMPLE, weightings.p2())
    )
    t = 1 + keys.bits(keys.split(KEY)[0], (1, len(X)))[0] % 12
    expected = weightings.p2()(simple.table)[t - 1] * simple.loss(PARAMS, X, KEY)
    torch.testing.assert_close(weighted.loss(PARAMS, X, KEY), expected)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: weightings.min_snr(0.0), r"expected limit in \(0, inf\), got 0"),
        (lambda: weightings.p2(-1.0), r"expected exponent in \[0, inf\), got -1"),
        (lambda: weightings.p2(1.0, 0.0), r"expected offset in \(0, inf\), got 0"),
        (lambda: diffusion.build(fields.mlp(2), LEVELS, "large", "bound"), "expected weighting, a function"),
        (lambda: diffusion.build(fields.mlp(2), LEVELS, "large", weightings.Bound), "expected weighting, a function"),
    ],
)
def test_refusals(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()
