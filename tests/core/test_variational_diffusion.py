"""Variational diffusions: data whose every marginal is normal, and pixels of known probabilities, as the oracles."""

import math
from dataclasses import dataclass

import pytest
import torch
from torch.func import grad, vmap

from jensen.core import keys
from jensen.core.distributions import DiagNormal
from jensen.core.models.transport import fields, variational_diffusion

KEY = keys.key(0)
DOUBLE = torch.float64
LOC, SCALE = torch.tensor([0.5, -1.0], dtype=DOUBLE), torch.tensor([1.5, 0.4], dtype=DOUBLE)
P = DiagNormal(LOC[None], SCALE.log()[None])
X = P.sample(P.noise(KEY, 1500))[:, 0]
ENTROPY = 0.5 * (2 * math.log(2 * math.pi * math.e) + (SCALE**2).log().sum()).item()


def ends(start, end):
    """Parameters of these logarithms of the ratio, of a field without any."""
    start = torch.tensor(start, dtype=DOUBLE)
    return {"field": {}, "start": start, "length": (start - end).log()}


@dataclass(frozen=True)
class Best:
    """E[noise | x_t] of data N(LOC, SCALE²) between these ends, times a factor that plants an error."""

    start: float
    end: float
    factor: float = 1.0
    data = 2

    def init(self, key, dtype=torch.float32):
        return {}

    def __call__(self, params, x, t):
        kept = (self.start + (self.end - self.start) * t).sigmoid()[..., None]
        return self.factor * (1 - kept).sqrt() * (x - kept.sqrt() * LOC) / (kept * SCALE**2 + 1 - kept)


def gap(start, end, factor=1.0, draws=60):
    """The mean of log p(x) - elbo over data, and its standard error."""
    model = variational_diffusion.build(Best(start, end, factor))
    away = P.log_prob(X[:, None])[:, 0] - model.bound(ends(start, end), X, keys.fold_in(KEY, 1), draws).elbo
    return away.mean().item(), away.std().item() / len(away) ** 0.5


def exact_gap(start, end):
    """E[-elbo] - entropy by its integral over log snr l: E (noise - best)² = sigmoid(l + log scale²)."""
    log_s2 = 2 * SCALE.log()
    transitions = 0.5 * (torch.nn.functional.softplus(start + log_s2) - torch.nn.functional.softplus(end + log_s2))
    kept, lost = 1 / (1 + math.exp(-end)), 1 / (1 + math.exp(end))
    prior = 0.5 * (kept * (LOC**2 + SCALE**2) + lost - 1 - math.log(lost))
    reconstruction = -0.5 * 2 * (math.log(2 * math.pi) + 1 - start)
    return (transitions + prior).sum().item() - reconstruction - ENTROPY


def test_the_bound_is_the_entropy_of_normal_data_as_noise_leaves_both_ends():
    for start, end in ((2.0, -2.0), (5.0, -4.0), (13.3, -9.0)):
        mean, error = gap(start, end)
        assert mean == pytest.approx(exact_gap(start, end), abs=4 * error)
    assert exact_gap(2.0, -2.0) > 0.3 > exact_gap(5.0, -4.0) > 0.01 > exact_gap(13.3, -9.0) > 0


@pytest.mark.parametrize("planted", [0.9, 1.1])
def test_noise_that_is_off_lowers_the_bound(planted):
    assert gap(13.3, -9.0, planted)[0] > gap(13.3, -9.0)[0] + 0.05


def test_the_loss_is_minus_the_bound_in_the_mean_and_so_is_its_gradient_by_the_ends():
    """At one time a datum: in standard errors over keys, those of the closed form."""
    model, at = variational_diffusion.build(Best(4.0, -3.0)), ends(4.0, -3.0)
    each = vmap(lambda key: model.loss(at, X[:300], key).mean())(keys.split(KEY, 60))
    exact = -model.bound(at, X[:300], keys.key(5), 100).elbo.mean()
    assert abs(each.mean() - exact) < 4 * each.std() / 60**0.5 + 0.01

    def held(p):  # the noise of a field that follows the ends, as a network does
        log_snr = p["start"] - p["length"].exp() * torch.linspace(0, 1, 501, dtype=DOUBLE)[:, None]
        error = (log_snr + 2 * SCALE.log()).sigmoid().mean(0).sum()
        end = p["start"] - p["length"].exp()
        prior = 0.5 * (
            end.sigmoid() * (X[:300] ** 2).mean(0) + (-end).sigmoid() - 1 - torch.nn.functional.logsigmoid(-end)
        )
        return 0.5 * p["length"].exp() * error + prior.sum() + math.log(2 * math.pi) + 1 - p["start"]

    @dataclass(frozen=True)
    class Following:
        data = 2

        def init(self, key, dtype=torch.float32):
            return {}

        def __call__(self, params, x, t):
            kept = (params["start"] - params["length"].exp() * t).sigmoid()[..., None]
            return (1 - kept).sqrt() * (x - kept.sqrt() * LOC) / (kept * SCALE**2 + 1 - kept)

    model = variational_diffusion.build(Following())
    slope = grad(held)({name: at[name] for name in ("start", "length")})
    found = vmap(grad(lambda p, key: model.loss({**p, "field": p}, X[:300], key).mean()), in_dims=(None, 0))(
        {name: at[name] for name in ("start", "length")}, keys.split(KEY, 60)
    )
    for name, each in found.items():
        assert abs(each.mean() - slope[name]) < 4 * each.std() / 60**0.5 + 0.02, name


def test_times_are_spread_over_any_run_of_data_and_each_is_uniform():
    t = variational_diffusion.spread(KEY, 256)
    for part in (t, t[100:132]):
        n = len(part)
        worst = (part.sort().values - (torch.arange(n) + 0.5) / n).abs().max()
        assert worst < 2 / n  # of independent times about n^(-1/2)
    torch.testing.assert_close(variational_diffusion.spread(keys.at(KEY, datum=100), 32), t[100:132])
    firsts = torch.stack([variational_diffusion.spread(key, 1)[0] for key in keys.split(KEY, 400)])
    assert abs(firsts.mean() - 0.5) < 4 / (12 * 400) ** 0.5


def test_samples_have_the_datas_moments():
    model = variational_diffusion.build(Best(9.0, -9.0))
    drawn = model.sample(ends(9.0, -9.0), KEY, 6_000, 150, DOUBLE)
    assert ((drawn.mean(0) - LOC).abs() < 4 * SCALE / 6_000**0.5 + 0.03 * SCALE).all()
    assert ((drawn.std(0) / SCALE - 1).abs() < 4 / 12_000**0.5 + 0.03).all()


WEIGHTS = torch.tensor([0.5, 0.1, 0.1, 0.05, 0.25], dtype=DOUBLE)


@dataclass(frozen=True)
class Frequencies:
    """Logits of pixels with these probabilities of their shades, which a choice makes exact at every level."""

    data: int = 2

    def init(self, key, dtype=torch.float32):
        return {}

    def __call__(self, params, x, t):
        return WEIGHTS.log().repeat(self.data).expand(*x.shape[:-1], -1)


def test_bits_of_pixels_are_the_entropy_and_draws_have_its_shades():
    """In continuous time nothing is lost but at the ends; a density in place of the reconstruction's masses is off."""
    model, at = variational_diffusion.build(Frequencies(), 5), ends(9.0, -9.0)
    shades = torch.linspace(-1, 1, 5, dtype=DOUBLE)
    x = shades[torch.searchsorted(WEIGHTS.cumsum(0), keys.uniform(KEY, (1, 1000, 2), DOUBLE)[0])]
    place = ((x + 1) * 2).round().long()
    bound = model.bound(at, x, keys.fold_in(KEY, 1), 60)
    away = WEIGHTS.log()[place].sum(-1) - bound.elbo
    assert abs(away.mean()) < 4 * away.std() / 1000**0.5 + 1e-3
    density = away + bound.reconstruction + 0.5 * 2 * (math.log(2 * math.pi) + 1 - 9.0)  # a planted bug
    assert density.abs().mean() > 1
    drawn = model.sample(at, KEY, 3_000, 100, DOUBLE)
    counts = torch.bincount(((drawn + 1) * 2).round().long().flatten(), minlength=5) / 6_000
    assert torch.isin(drawn, shades).all()
    assert ((counts - WEIGHTS).abs() < 4 * (WEIGHTS * (1 - WEIGHTS) / 6_000).sqrt() + 0.01).all()


def test_a_network_of_logits_starts_at_uniform_shades():
    """log2 of the number of shades, in bits of each pixel."""
    model = variational_diffusion.build(fields.mlp(3, (4,), outputs=15), 5)
    params, x = model.init(KEY, DOUBLE), torch.tensor([[0.0, 1.0, -0.5]], dtype=DOUBLE).expand(300, -1)
    bits = -model.bound(params, x, KEY, 200).elbo / 3 / math.log(2)
    assert abs(bits.mean() - math.log2(5)) < 4 * bits.std() / 300**0.5 + 0.01
    slope = grad(lambda p: model.loss(p, x, KEY).mean())(params)
    assert all(slope[name].abs() > 0 for name in ("start", "length"))
    assert slope["field"]["1"]["weight"].abs().max() > 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: variational_diffusion.build(fields.Mlp), "expected field, such as fields.mlp"),
        (lambda: variational_diffusion.build(fields.mlp(2), 1), "expected shades, a whole number >= 2, got 1"),
        (lambda: of_pixels(fields.mlp(2), X.clamp(-1, 1).round()), r"expected logits \(\.\.\., 6\), got"),
        (lambda: of_pixels(fields.mlp(2, outputs=6), X), "expected x at 3 equally spaced shades"),
        (lambda: of_pixels(fields.mlp(2, outputs=6), X[:, :1]), r"expected x \(n, 2\), got"),
    ],
)
def test_refusals(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()


def of_pixels(field, x):
    model = variational_diffusion.build(field, 3)
    return model.loss(model.init(KEY, DOUBLE), x, KEY)
