"""Guidance: classes of normal points, whose noise with labels and without is known."""

from dataclasses import dataclass

import pytest
import torch
from torch.func import grad

from jensen.core import keys
from jensen.core.models.transport import diffusion, fields, flow_matching, guidance, noise_levels

KEY = keys.key(0)
DOUBLE = torch.float64
LEVELS = noise_levels.linear(100)
LOCS = torch.tensor([[-2.0, 0.0], [1.0, 1.0], [2.0, -1.0]], dtype=DOUBLE)  # of three classes as probable, deviation 1/2
VARIANCE = 0.25


@dataclass(frozen=True)
class Best:
    """E[noise | x_t, label], and E[noise | x_t] where the label is none; it has outputs that nothing reads."""

    data: int = 5

    def init(self, key, dtype=torch.float32):
        return {}

    def __call__(self, params, x, t):
        x, known = x[..., None, :2], x[..., 2:]
        kept = LEVELS.kept()[(t * 100).round().long() - 1][..., None, None]
        spread = kept * VARIANCE + 1 - kept
        each = (1 - kept).sqrt() * (x - kept.sqrt() * LOCS) / spread
        of_class = (-0.5 * (x - kept.sqrt() * LOCS).square().sum(-1) / spread[..., 0]).softmax(-1)
        weights = torch.where(known.sum(-1, keepdim=True) > 0, known, of_class)
        found = (weights[..., None] * each).sum(-2)
        return torch.cat([found, torch.full_like(known, torch.nan)], -1)


GUIDED = guidance.build(Best(), 3)


def drawn(label, scale, n=1500):
    labels = None if label is None else torch.full((n,), label)
    return diffusion.build(GUIDED.of(labels, scale), LEVELS).sample({}, KEY, n, DOUBLE)


def test_draws_of_a_label_have_its_moments_and_those_of_none_have_all():
    x = drawn(1, 0.0)
    assert ((x.mean(0) - LOCS[1]).abs() < 4 * 0.5 / 1500**0.5 + 0.02).all()
    assert ((x.std(0) - 0.5).abs() < 0.04).all()
    shares = torch.cdist(drawn(None, 0.0), LOCS).argmin(1).bincount(minlength=3) / 1500
    assert ((shares - 1 / 3).abs() < 4 * (2 / 9 / 1500) ** 0.5 + 0.02).all()
    minus = diffusion.build(GUIDED.of(torch.full((5,), -1)), LEVELS).sample({}, KEY, 5, DOUBLE)
    torch.testing.assert_close(minus, diffusion.build(GUIDED.of(), LEVELS).sample({}, KEY, 5, DOUBLE))


def test_a_scale_pushes_away_from_other_classes():
    """The guided noise is linear in the scale, by hand; draws leave what the classes share."""
    x, t = keys.normal(KEY, (1, 6, 2), DOUBLE)[0], torch.full((6,), 0.5, dtype=DOUBLE)
    labels = torch.tensor([0, 1, 2, 0, 1, -1])
    known = torch.eye(3, dtype=DOUBLE)[labels] * (labels >= 0)[:, None]
    given, free = (Best()({}, torch.cat([x, c], -1), t)[:, :2] for c in (known, torch.zeros_like(known)))
    torch.testing.assert_close(GUIDED.of(labels, 2.0)({}, x, t), 3 * given - 2 * free)
    torch.testing.assert_close(GUIDED.of(labels)({}, x, t), given)
    far = torch.cdist(LOCS[1:2], LOCS[2:]).item()
    assert torch.cdist(drawn(1, 2.0), LOCS[2:]).mean() > torch.cdist(drawn(1, 0.0), LOCS[2:]).mean() + 0.05 * far


def test_labels_are_dropped_as_often_as_asked_and_each_by_its_own_noise():
    labels = torch.arange(4000) % 3
    found = guidance.dropped(labels, KEY, 0.2)
    assert abs((found < 0).double().mean() - 0.2) < 4 * (0.16 / 4000) ** 0.5
    assert torch.equal(found[found >= 0], labels[found >= 0])
    assert torch.equal(guidance.dropped(labels[100:], keys.at(KEY, datum=100), 0.2), found[100:])
    assert torch.equal(guidance.dropped(labels, KEY, 0.0), labels)


def test_a_network_learns_with_labels_in_any_model_of_a_field():
    guided = guidance.build(fields.mlp(2 + 3, (4,), outputs=2), 3)
    labels, x = torch.tensor([0, 2, -1]), keys.normal(KEY, (1, 3, 2))[0]
    for model in (flow_matching.build(guided.of(labels)), diffusion.build(guided.of(labels), LEVELS)):
        params = model.init(KEY)
        slope = grad(lambda p, model=model: model.loss(p, x, KEY).mean())(params)
        assert slope["1"]["weight"].abs().max() > 0
    bound = diffusion.build(guided.of(labels), LEVELS).bound(params, x, KEY)  # of every step at once
    assert bound.elbo.shape == (3,)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: guidance.build(fields.mlp(3), 3), "expected field of more than the 3 classes, got one of 3"),
        (lambda: guidance.build(3, 3), "expected field, such as fields.mlp"),
        (lambda: guidance.build(fields.mlp(5), 1), "expected classes, a whole number >= 2, got 1"),
        (lambda: GUIDED.of(torch.tensor([0, 3])), "expected labels from 0 to 3, got from 1 to 4"),
        (lambda: GUIDED.of(torch.tensor([0.0])), "expected labels, whole numbers, got torch.float32"),
        (lambda: GUIDED.of(torch.tensor([0]), -1.0), r"expected scale in \[0, inf\), got -1"),
        (lambda: guidance.dropped(torch.tensor([0]), KEY, 1.0), r"expected share in \[0, 1\), got 1"),
    ],
)
def test_refusals(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()
