"""Latent diffusion: a linear normal model whose evidence under the latents' own distribution is known."""

from dataclasses import dataclass, field

import pytest
import torch
from torch.func import grad

from jensen.core import keys
from jensen.core.distributions import Bernoulli, DiagNormal
from jensen.core.models.transport import diffusion, dit, latent_diffusion, mixed, noise_levels

KEY = keys.key(0)
DOUBLE = torch.float64
LOC, SCALE = torch.tensor([0.7, -0.4], dtype=DOUBLE), torch.tensor([1.5, 0.6], dtype=DOUBLE)  # of the latents
WEIGHT = torch.tensor([[1.0, 1.0], [2.0, -0.5], [0.0, 0.0]], dtype=DOUBLE)  # of orthogonal columns
NOISE = 0.3
LEVELS = noise_levels.linear(150)


@dataclass(frozen=True)
class Best:
    """E[noise | u_t] of u ~ N(loc, scale²)."""

    loc: torch.Tensor
    scale: torch.Tensor
    data: int = 2

    def init(self, key, dtype=torch.float32):
        return {}

    def __call__(self, params, x, t):
        kept = LEVELS.kept()[(t * LEVELS.steps).round().long() - 1][..., None]
        return (1 - kept).sqrt() * (x - kept.sqrt() * self.loc) / (kept * self.scale**2 + 1 - kept)


@dataclass(frozen=True)
class Linear:
    """x ~ N(W z, NOISE²), with the exact posterior under z ~ N(LOC, SCALE²); its own prior is N(0, I)."""

    latents: type = field(default=DiagNormal)

    def init(self, key, x):
        return {}

    def posterior(self, params, x):
        precision = SCALE**-2 + WEIGHT.square().sum(0) / NOISE**2
        loc = (LOC / SCALE**2 + x @ WEIGHT / NOISE**2) / precision
        return self.latents(*((loc, -0.5 * precision.log().expand_as(loc)) if self.latents is DiagNormal else (loc,)))

    def prior(self, params, n):
        zero = torch.zeros(n, 2, dtype=DOUBLE)
        return DiagNormal(zero, zero)

    def likelihood(self, params, z):
        loc = z @ WEIGHT.T
        return DiagNormal(loc, torch.full_like(loc, NOISE).log())

    def log_prior(self, params, z):
        return self.prior(params, z.shape[-2]).log_prob(z)

    def log_joint(self, params, x, z):
        return self.log_prior(params, z) + self.likelihood(params, z).log_prob(x)


MEAN = WEIGHT @ LOC
COVARIANCE = WEIGHT @ torch.diag(SCALE**2) @ WEIGHT.T + NOISE**2 * torch.eye(3, dtype=DOUBLE)
P = torch.distributions.MultivariateNormal(MEAN, COVARIANCE)
X = MEAN + keys.normal(KEY, (1, 1500, 3), DOUBLE)[0] @ torch.linalg.cholesky(COVARIANCE).T
FIRST = latent_diffusion.First(
    {}, torch.tensor([0.2, -1.0], dtype=DOUBLE), torch.tensor([2.0, 1.2], dtype=DOUBLE).log()
)
STANDARD = Best((LOC - FIRST.loc) / FIRST.log_scale.exp(), SCALE / FIRST.log_scale.exp())
MODEL = latent_diffusion.build(Linear(), diffusion.build(STANDARD, LEVELS))


def gap(elbo):
    """The mean of log p(x) - elbo over data, and its standard error."""
    away = P.log_prob(X) - elbo
    return away.mean().item(), away.std().item() / len(away) ** 0.5


def test_the_bound_is_log_p_but_for_the_levels_whatever_latents_are_standardised_by():
    bound = MODEL.bound({}, FIRST, X, KEY)
    mean, error = gap(bound.elbo)
    assert -3 * error < mean < 0.01 + 3 * error
    assert error < 0.05
    torch.testing.assert_close(bound.elbo, bound.reconstruction + bound.entropy + bound.log_prior)
    for planted in (bound.reconstruction + bound.log_prior, bound.elbo + FIRST.log_scale.sum()):
        wrong, error = gap(planted)  # without the entropy, and without the determinant of the standardisation
        assert wrong < -5 * error


def test_it_gains_what_the_models_own_prior_lacks():
    """E log p(z) less log N(z; 0, I) is the KL of the latents' distribution from N(0, I)."""
    bound = MODEL.bound({}, FIRST, X, KEY)
    gained = bound.elbo - bound.own_elbo
    exact = (0.5 * (LOC**2 + SCALE**2 - 1) - SCALE.log()).sum().item()
    assert gained.mean().item() == pytest.approx(exact, abs=3 * gained.std().item() / len(X) ** 0.5 + 0.01)


def test_samples_are_the_latents():
    z = MODEL.sample({}, FIRST, KEY, 4000)
    assert z.dtype is DOUBLE
    assert ((z.mean(0) - LOC).abs() < 4 * SCALE / len(z) ** 0.5 + 0.03).all()
    assert ((z.std(0) / SCALE - 1).abs() < 4 / (2 * len(z)) ** 0.5 + 0.03).all()


def test_the_first_stage_is_left_by_the_moments_of_draws():
    """Of means alone the deviation would lack q's own spread."""
    first = MODEL.first({}, X, keys.fold_in(KEY, 1))
    n = len(X)
    assert ((first.loc - LOC).abs() < 4 * SCALE / n**0.5).all()
    assert ((first.log_scale.exp() / SCALE - 1).abs() < 4 / (2 * n) ** 0.5).all()
    collapsed = latent_diffusion.build(Linear(), diffusion.build(STANDARD, LEVELS)).first({}, X[:1].expand(5, 3), KEY)
    assert collapsed.log_scale.isfinite().all()


def test_the_loss_is_the_diffusions_at_draws():
    z_key, loss_key = keys.split(KEY)
    z = MODEL._drawn({}, X, z_key)[0]
    own = MODEL.prior.loss({}, (z - FIRST.loc) / FIRST.log_scale.exp(), loss_key)
    torch.testing.assert_close(MODEL.loss({}, FIRST, X, KEY), own)


def test_a_mixed_field_of_0_is_the_diffusion_of_the_normal():
    levels = noise_levels.linear(60)
    model = diffusion.build(mixed.build(dit.vector(2, 2, 8, 1, 2), levels), levels)
    params, u = model.init(KEY, DOUBLE), keys.normal(KEY, (1, 500, 2), DOUBLE)[0]
    zero = torch.zeros_like(u)
    away = DiagNormal(zero, zero).log_prob(u) - model.bound(params, u, KEY).elbo
    assert -3 * away.std().item() / 500**0.5 < away.mean().item() < 0.02
    drawn = model.sample(params, KEY, 1000, DOUBLE)
    assert ((drawn.std(0) - 1).abs() < 4 / 2000**0.5 + 0.01).all()
    t = torch.tensor([1, 30, 60])
    noise = (1 - levels.kept()[t - 1]).sqrt()[:, None] * u[:3]
    torch.testing.assert_close(model.predicted(params, u[:3], t), noise)
    slope = grad(lambda p: model.loss(p, u[:50], KEY).mean())(params)
    assert slope["tokens"]["outputs"]["weight"].abs().max() > 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: latent_diffusion.build(Linear, MODEL.prior), "expected model, such as vae.mlp"),
        (lambda: latent_diffusion.build(Linear(), STANDARD), "expected prior, such as diffusion.build"),
        (
            lambda: latent_diffusion.build(Linear(Bernoulli), MODEL.prior).loss({}, FIRST, X, KEY),
            "expected a model of real latents, got q a Bernoulli",
        ),
        (
            lambda: latent_diffusion.build(Linear(), diffusion.build(dit.vector(3, 3), LEVELS)).loss({}, FIRST, X, KEY),
            r"expected z \(1, n, 3\), got \(1, 1500, 2\)",
        ),
        (lambda: mixed.build(dit.Dit, LEVELS), "expected field, such as fields.mlp"),
        (lambda: mixed.build(STANDARD, 100), "expected levels, such as noise_levels.linear"),
    ],
)
def test_refusals(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()
