"""Diffusions, flows along a velocity, and what learns a score alone."""

import torch

from jensen.core import keys
from jensen.core.models.latent import vae
from jensen.core.models.transport import (
    choices,
    diffusion,
    diffusion_posterior,
    dit,
    energies,
    fields,
    flow_matching,
    guidance,
    langevin,
    latent_diffusion,
    mixed,
    noise_levels,
    pixel_diffusion,
    probability_flow,
    score_matching,
    variational_diffusion,
    weightings,
)
from jensen.core.models.transport import variational_flow_matching as variational

KEY = keys.key(0)
X = keys.normal(KEY, (1, 5, 2))[0]
FIELD, LEVELS = fields.mlp(2, (4,)), noise_levels.cosine(3)
PARAMS = FIELD.init(KEY)


def diffusions():
    model = diffusion.build(FIELD, LEVELS)
    model.bound(PARAMS, X, KEY).elbo, model.loss(PARAMS, X, KEY), model.sample(PARAMS, KEY, 3)
    probability_flow.build(model).log_prob(PARAMS, X, 2)
    for field in (dit.vector(2, 3, 4, 1, 2), dit.image((1, 1, 2), 1, 4, 1, 2), mixed.build(FIELD, LEVELS)):
        model = diffusion.build(field, LEVELS)
        params = model.init(KEY)
        model.loss(params, X, KEY), model.bound(params, X, KEY), model.sample(params, KEY, 4)


def flows():
    model = flow_matching.build(FIELD)
    model.loss(PARAMS, X, KEY, X), model.log_prob(PARAMS, X, 2), model.straightness(PARAMS, X, 2)
    variational.build(FIELD).loss(PARAMS, X, KEY)
    choosing, hot = variational.build(fields.mlp(4, (4,)), variational.Choices(2)), torch.eye(4)
    choosing.loss(choosing.init(KEY), torch.cat([hot[:, :2], 1 - hot[:, :2]], 1)[:2], KEY)


def latent_diffusions():
    x = (keys.uniform(KEY, (5, 64)) < 0.5).float()
    first_stage = vae.mlp(64, (6,), 2)
    model = latent_diffusion.build(first_stage, diffusion.build(FIELD, LEVELS))
    first = model.first(first_stage.init(KEY, x), x, KEY)
    model.loss(PARAMS, first, x, KEY), model.bound(PARAMS, first, x, KEY), model.sample(PARAMS, first, KEY, 3)


def pixels():
    model = pixel_diffusion.build(FIELD, LEVELS, 3)
    model.bound(PARAMS, X.sign(), KEY), pixel_diffusion.log_mass(X.sign(), X, 0.5, 3)
    chosen = choices.build(choices.mlp(2, 3, (4,)), LEVELS, 3)
    model = pixel_diffusion.build(chosen, LEVELS, 3, "small", weightings.BOUND)
    model.loss(model.init(KEY), X.sign(), KEY), weightings.min_snr(4.0), weightings.p2(1.0, 2.0)


def in_continuous_time():
    for model in (variational_diffusion.build(FIELD), variational_diffusion.build(choices.mlp(2, 3, (4,)), 3)):
        params, x = model.init(KEY), X.sign()
        model.loss(params, x, KEY), model.bound(params, x, KEY, 3), model.sample(params, KEY, 2, 3)


def guided():
    model, labels = guidance.build(fields.mlp(5, (4,), outputs=2), 3), torch.tensor([0, 2, -1, 1, 0])
    of_labels = diffusion.build(model.of(guidance.dropped(labels, KEY, 0.5), 2.0), LEVELS)
    of_labels.loss(of_labels.init(KEY), X, KEY), of_labels.bound(of_labels.init(KEY), X, KEY)


def posteriors():
    model = diffusion_posterior.build(fields.mlp(2, (4,), outputs=1), LEVELS, context=1)
    model.draw(model.init(KEY), KEY, 4, X[:, :1])


def scores():
    score_matching.implicit(torch.neg, X), score_matching.sliced(torch.neg, X, KEY, 3)
    score_matching.denoising(torch.neg, X, KEY, 0.5)
    gradient = energies.mlp(2, (4,))
    gradient(gradient.init(KEY), X, X[:, 0])
    langevin.unadjusted(torch.neg, X, KEY, 2, 0.1), langevin.adjusted(lambda x: x.square().sum(-1), X, KEY, 2, 0.1)
