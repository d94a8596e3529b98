"""Quantisers, and models of codes."""

import torch

from jensen.core import keys
from jensen.core.models import quantised
from jensen.core.models.adversarial.patches import Patches
from jensen.core.models.autoregressive import codes as code_priors
from jensen.core.models.autoregressive import sampling

KEY = keys.key(0)
X = (keys.uniform(KEY, (5, 64)) < 0.5).float()


def quantisers():
    vectors = keys.normal(KEY, (5, 4, 3))
    for quantiser in (
        quantised.Vq(6), quantised.Vq(6, path="rotation", start="draw"), quantised.GradientVq(6),
        quantised.Fsq((4, 3, 2)), quantised.ResidualVq(quantised.Vq(6), 2), quantised.Lfq(3), quantised.SoftVq(6, 0.5),
        quantised.GumbelVq(6), quantised.Projected(quantised.Fsq((4, 3)), 2),
    ):  # fmt: skip
        params, state = quantiser.init(KEY, vectors)
        quantiser.quantise(params, state, vectors, KEY).objective(torch.zeros(5))
        codes = quantiser.encode(params, state, vectors)
        assert quantiser.decode(params, state, codes).shape == vectors.shape
        quantised.usage.perplexity(codes, quantiser.size), quantised.usage.used(codes, quantiser.size)


def coded_models():
    for model in (
        quantised.autoencoder.mlp(64, (6,), 2, 3, quantised.ResidualVq(quantised.Vq(4), 2)),
        quantised.autoencoder.conv((1, 8, 8), (2,), 3, quantised.Fsq((4, 3, 2))),
        quantised.two_maps.conv((1, 8, 8), (2,), (2,), 3, quantised.Vq(4), quantised.Lfq(3)),
    ):
        params, state = model.init(KEY, X)
        model.step(params, state, X, KEY)
        codes = model.codes(params, state, X)
        model.decode_codes(params, state, codes), model.independent(X)
        for of, own in zip(model.maps, codes if isinstance(codes, tuple) else (codes,), strict=True):
            quantised.usage.follow(quantised.usage.start(of), of, own, 5).used(5)
        prior = code_priors.build(model.maps, 4, 1, 2)
        params = prior.init(KEY)
        assert prior.log_prob(params, prior.sequences(codes), KEY).shape == (5,)
        prior.sequences(prior.sample(params, KEY, 2, sampling.Choice(temperature=0.5)))


def adversarial_codes():
    coder, critic = quantised.autoencoder.conv((1, 8, 8), (2,), 3, quantised.Vq(4)), Patches((1, 8, 8), (2,))
    model = quantised.VqGan(coder, critic, lambda x: x[:, :3])
    params, state = model.init(KEY, X)
    step = model.coder_step(params, state, X, KEY, torch.ones(()))
    assert step.loss.shape == model.critic_loss(params, state, X).shape == (5,)
