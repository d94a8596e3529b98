"""Diffusion posteriors: normal targets, for which the best push and the bound are known, and quadrature, as oracles."""

import math
from dataclasses import dataclass

import pytest
import torch
from torch.func import grad, vmap

from jensen.core import bounds, keys, trees
from jensen.core.distributions import DiagNormal
from jensen.core.models.transport import diffusion_posterior, fields, noise_levels

KEY = keys.key(0)
DOUBLE = torch.float64
LEVELS = noise_levels.linear(3)
LOC, SCALE, START, LOG_Z = torch.tensor([0.8, -1.0], dtype=DOUBLE), torch.tensor([1.0, 0.6], dtype=DOUBLE), 1.5, 2.3


def log_p(z):
    """log Z + log N(z; LOC, SCALE²)."""
    return LOG_Z + DiagNormal(LOC[None], SCALE.log()[None]).log_prob(z)


@dataclass(frozen=True)
class Best:
    """The push of the reversed noise, E[z_(t-1) | z_t] for z_0 ~ N(loc, scale²)."""

    levels: noise_levels.Linear
    loc: torch.Tensor
    scale: torch.Tensor
    data = 2

    def init(self, key, dtype=torch.float32):
        return {}

    def __call__(self, params, z, t):
        now = (t.flatten()[0] * self.levels.steps).round().long()
        kept = torch.cat([torch.ones(1, dtype=DOUBLE), self.levels.kept()])
        before, after = kept[now - 1], kept[now]
        variance = before * self.scale**2 + (1 - before) * START**2
        stay = (after / before).sqrt()
        total = after * self.scale**2 + (1 - after) * START**2
        mean = before.sqrt() * self.loc + variance * stay / total * (z - after.sqrt() * self.loc)
        return (mean - stay * z) / (START * (1 - after / before).sqrt())


def exact_gap(levels, loc, scale):
    """log Z - E log_w of the best push: the start's KL, and at each step that of two variances."""
    kept = torch.cat([torch.ones(1, dtype=DOUBLE), levels.kept()])[:, None]
    variance = kept * scale**2 + (1 - kept) * START**2
    ratio = variance[1:] / variance[:-1]
    steps = 0.5 * (ratio - 1 - ratio.log()).sum()
    start = DiagNormal(torch.zeros(1, 2, dtype=DOUBLE), torch.full((1, 2), math.log(START), dtype=DOUBLE))
    return (steps + start.kl(DiagNormal((kept[-1].sqrt() * loc)[None], 0.5 * variance[-1].log()[None]))).item()


def weights(field, levels, of=log_p, s=4000, **options):
    z, log_q = diffusion_posterior.build(field, levels, START).draw({}, KEY, s, dtype=DOUBLE, **options)
    return of(z) - log_q


@pytest.mark.parametrize("steps", [5, 20, 80])
def test_the_bound_of_the_best_push_has_its_closed_form(steps):
    levels = noise_levels.linear(steps)
    gap = LOG_Z - weights(Best(levels, LOC, SCALE), levels)[:, 0]
    error = gap.std().item() / len(gap) ** 0.5
    assert gap.mean().item() == pytest.approx(exact_gap(levels, LOC, SCALE), abs=4 * error)


def test_the_gap_falls_with_the_levels():
    gaps = [exact_gap(noise_levels.linear(steps), LOC, SCALE) for steps in (5, 20, 80, 320)]
    assert gaps[0] > 2 * gaps[1] > 4 * gaps[2] > 0
    assert gaps[3] < 0.01


def test_of_a_shifted_start_the_weights_are_constant():
    """A target N(m, START²): every step's variance is right, and only what is left of m at the last level is lost."""
    scale, levels = torch.full((2,), START, dtype=DOUBLE), noise_levels.cosine(30)
    shifted = DiagNormal(LOC[None], scale.log()[None])
    log_w = weights(Best(levels, LOC, scale), levels, lambda z: LOG_Z + shifted.log_prob(z), 50)
    torch.testing.assert_close(log_w, torch.full_like(log_w, LOG_Z), atol=2e-2, rtol=0)
    left = levels.kept()[-1]
    assert log_w.std() < 2 * (left * LOC.square().sum()).sqrt() / START


@pytest.mark.parametrize("planted", ["no ratio", "the ratio twice"])
def test_weights_of_any_push_are_unbiased(planted):
    """E exp log_w = Z of a two-moded target, by quadrature; not without the steps' ratio, or with it twice."""
    axis = torch.linspace(-9, 9, 241, dtype=DOUBLE)
    grid = torch.cartesian_prod(axis, axis)[:, None]

    def two_modes(z):
        return torch.logaddexp(-2 * (z - 1).square().sum(-1), -2 * (z + 1).square().sum(-1))

    exact = torch.logsumexp(two_modes(grid), 0).item() + 2 * math.log(axis[1] - axis[0])
    assert exact == pytest.approx(math.log(math.pi), abs=1e-6)
    levels = noise_levels.linear(6)

    @dataclass(frozen=True)
    class Push:
        data = 2

        def __call__(self, params, z, t):
            return 0.4 * torch.tanh(z) - 0.3

        def init(self, key, dtype=torch.float32):
            return {}

    def known(log_w):
        w = log_w[:, 0].exp() / math.exp(exact)
        return (w.mean().item() - 1) / (w.std().item() / len(w) ** 0.5)

    right = weights(Push(), levels, two_modes, 20_000)
    assert abs(known(right)) < 4
    assert right.mean() < exact
    z, log_q = diffusion_posterior.build(Push(), levels, START).draw({}, KEY, 20_000, dtype=DOUBLE)
    start = DiagNormal(torch.zeros(1, 2, dtype=DOUBLE), torch.full((1, 2), math.log(START), dtype=DOUBLE))
    forgotten = {"no ratio": start.log_prob(z), "the ratio twice": 2 * log_q - start.log_prob(z)}[planted]
    assert abs(known(two_modes(z) - forgotten)) > 6


def test_a_few_steps_raise_the_bound_and_iwae_is_above_it():
    model = diffusion_posterior.build(fields.mlp(2, (16,)), noise_levels.cosine(8), START)
    params = model.init(KEY, DOUBLE)

    def bound(params, key, s=64):
        z, log_q = model.draw(params, key, s, dtype=DOUBLE)
        return bounds.elbo(log_p(z) - log_q).sum()

    before = bound(params, KEY, 2000)
    adam = torch.optim.Adam(trees.leaves(params), 0.01)
    for step in range(40):
        trees.set_grads(params, grad(lambda p, k=step: -bound(p, keys.fold_in(KEY, k)))(params))
        adam.step()
    z, log_q = model.draw(params, KEY, 2000, dtype=DOUBLE)
    log_w = log_p(z) - log_q
    assert bounds.elbo(log_w).item() > before + 0.2
    assert bounds.elbo(log_w) < bounds.iwae(log_w) < LOG_Z + 4 * log_w.exp().std() / math.exp(LOG_Z) / 2000**0.5


def test_context_gives_each_datum_a_posterior_of_its_own():
    """Data alone or in a batch have the same draws, and vmap takes what draws them."""
    model = diffusion_posterior.build(fields.mlp(3, (8,), outputs=2), noise_levels.cosine(5), context=1)
    params = model.init(KEY, DOUBLE)
    params["1"]["weight"] = keys.normal(KEY, params["1"]["weight"].shape, DOUBLE)
    context = torch.tensor([[0.0], [2.0]], dtype=DOUBLE)
    z, log_q = model.draw(params, KEY, 4, context)
    assert z.shape == (4, 2, 2)
    assert log_q.shape == (4, 2)
    alone = model.draw(params, keys.at(KEY, datum=1), 4, context[1:])
    torch.testing.assert_close((z[:, 1:], log_q[:, 1:]), alone)
    again = vmap(lambda c: model.draw(params, KEY, 4, c[None])[0])(context)
    torch.testing.assert_close(again[0, :, 0], z[:, 0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: diffusion_posterior.build(fields.Mlp, LEVELS), "expected field, such as fields.mlp"),
        (lambda: diffusion_posterior.build(fields.mlp(2), 3), "expected levels, such as noise_levels.cosine"),
        (
            lambda: diffusion_posterior.build(fields.mlp(2), LEVELS, 0.0),
            r"expected scale in \(0, inf\)",
        ),
        (lambda: diffusion_posterior.build(fields.mlp(2), LEVELS, context=2), "expected context below"),
        (
            lambda: diffusion_posterior.build(fields.mlp(3, outputs=2), LEVELS, context=1).draw({}, KEY, 2),
            r"expected context \(n, 1\), got None",
        ),
    ],
)
def test_refusals(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()
