"""Variational flow matching: flow matching's own loss and velocity, and a small discrete target, as the oracles."""

from dataclasses import dataclass

import pytest
import torch
from torch.func import grad

from jensen.core import keys
from jensen.core.models.transport import fields, flow_matching
from jensen.core.models.transport import variational_flow_matching as variational

KEY = keys.key(0)
DOUBLE = torch.float64
X = keys.normal(KEY, (1, 50, 2), DOUBLE)[0]
LOG_2PI = torch.log(torch.tensor(2 * torch.pi, dtype=DOUBLE))
JOINT = torch.tensor([[0.4, 0.05, 0.05], [0.1, 0.1, 0.3]], dtype=DOUBLE).flatten()  # of PAIRS
PAIRS = torch.tensor([[i, j] for i in (0, 2) for j in range(3)])
ONE_HOT = torch.nn.functional.one_hot(PAIRS, 3).flatten(1).to(DOUBLE)  # (6, 6)


@dataclass(frozen=True)
class Known:
    """Logits of the marginals of p(x_1 | x_t) of JOINT, in closed form, which `mix` draws towards even ones."""

    mix: float = 0.0
    data = 6

    def init(self, key, dtype=torch.float32):
        return {}

    def __call__(self, params, x, t):
        t = t[:, None]
        away = (x[:, None] - t[..., None] * ONE_HOT).square().sum(-1)
        posterior = torch.softmax(JOINT.log() - 0.5 * away / (1 - t).square(), -1)
        means = (1 - self.mix) * (posterior @ ONE_HOT) + self.mix / 3
        return means.clamp_min(1e-30).log()


def test_a_normal_of_fixed_scale_has_flow_matchings_loss():
    """|x_1 - mean| = (1 - t) |x_1 - x_0 - velocity|, datum by datum, of one key."""
    field = fields.mlp(2, (8,))
    params = field.init(KEY, DOUBLE)
    params["1"]["weight"] = keys.normal(KEY, params["1"]["weight"].shape, DOUBLE)
    model = variational.build(field, variational.Normal(0.5))
    t = flow_matching.times_and_starts(X, KEY)[0][:, 0]
    error = flow_matching.build(model.velocity).loss(params, X, KEY)
    expected = (1 - t).square() * error / (2 * 0.25) + LOG_2PI + 2 * torch.tensor(0.5, dtype=DOUBLE).log()
    torch.testing.assert_close(model.loss(params, X, KEY), expected)
    unweighted = error / (2 * 0.25) + expected - expected.mean()
    assert (unweighted - expected).abs().max() > 0.5


def test_the_velocity_of_choices_is_the_mean_over_joint_values():
    """Marginals are enough: E[(x_1 - x) / (1 - t) | x] over the joint posterior, value by value."""
    x, t = keys.normal(KEY, (1, 20, 6), DOUBLE)[0], torch.full((20,), 0.3, dtype=DOUBLE)
    away = (x[:, None] - 0.3 * ONE_HOT).square().sum(-1)
    posterior = torch.softmax(JOINT.log() - 0.5 * away / 0.7**2, -1)
    each = (ONE_HOT - x[:, None]) / 0.7
    exact = (posterior[..., None] * each).sum(1)
    velocity = variational.build(Known(), variational.Choices(3)).velocity
    torch.testing.assert_close(velocity({}, x, t), exact)


def test_choices_are_drawn_with_their_dependence():
    """Each step's q is of independent choices, and what is drawn is the joint."""
    model = variational.build(Known(), variational.Choices(3))
    n = 4000
    drawn = model.sample({}, KEY, n, 100, DOUBLE).unflatten(-1, (2, 3)).argmax(-1)
    shares = (drawn[:, None] == PAIRS).all(-1).double().mean(0)
    error = (JOINT * (1 - JOINT) / n).sqrt()
    assert ((shares - JOINT).abs() < 4 * error + 0.005).all()
    first, second = JOINT.view(2, 3).sum(1), JOINT.view(2, 3).sum(0)
    independent = (first[:, None] * second).flatten()
    assert (independent - JOINT).abs().max() > 0.1


def test_the_loss_of_choices_is_least_at_the_marginals():
    rows = ONE_HOT[torch.multinomial(JOINT, 4000, True, generator=torch.Generator().manual_seed(0))]

    def loss(mix):
        return variational.build(Known(mix), variational.Choices(3)).loss({}, rows, KEY)

    for mix in (0.1, 0.3):
        lost = loss(mix) - loss(0.0)
        assert lost.mean() > 4 * lost.std() / len(rows) ** 0.5


def test_a_network_is_differentiable():
    model = variational.build(fields.mlp(6, (8,)), variational.Choices(3))
    params = model.init(KEY, DOUBLE)
    assert grad(lambda p: model.loss(p, ONE_HOT, KEY).mean())(params)["1"]["weight"].abs().max() > 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: variational.build(fields.Mlp), "expected field, such as fields.mlp"),
        (lambda: variational.build(fields.mlp(2), variational.Normal), "expected ends, such as Choices"),
        (lambda: variational.build(fields.mlp(2), variational.Choices(3)), "expected a field of a multiple of 3"),
        (lambda: variational.Choices(1), "expected classes, a whole number >= 2, got 1"),
        (lambda: variational.Normal(0.0), r"expected scale in \(0, inf\), got 0"),
        (lambda: variational.build(fields.mlp(3)).loss({}, X, KEY), r"expected x \(n, 3\), got \(50, 2\)"),
    ],
)
def test_refusals(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()
