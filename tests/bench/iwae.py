"""The gradient of the IWAE bound beside plain torch, other libraries and its own matrix products."""

from functools import partial

import torch
from torch import Tensor
from torch.func import grad_and_value
from torch.nn import functional as F

from jensen.core import bounds, keys, ops, trees
from jensen.core.models.latent import vae
from jensen.core.nn import mlp
from jensen.estimators.gradients import pathwise
from jensen.experiments.run.compilation import compiled
from tests.bench import peers
from tests.bench.race import Call, Race
from tests.bench.steps import products

KEY = keys.key(0)
K, BATCH, HIDDEN, LATENT, PIXELS = 50, 64, 200, 50, 784


def step(device: str) -> Race:
    """K = 50, batch 64, 784-200-200-50, in float32; noise is an argument."""
    x = (keys.uniform(KEY, (BATCH, PIXELS)) < 0.3).float().to(device)
    eps = keys.normal(keys.key(1), (K, BATCH, LATENT)).to(device)
    model = vae.mlp(PIXELS, (HIDDEN, HIDDEN), LATENT)
    params = model.init(KEY.to(device), x)

    def library(params: trees.Params, x: Tensor, eps: Tensor) -> Tensor:
        return -pathwise(partial(model.log_joint, params, x), model.posterior(params, x), eps, bound=bounds.iwae).mean()

    def fused(params: trees.Params, x: Tensor, eps: Tensor) -> Tensor:
        q = model.posterior(params, x)
        z = q.sample(eps)
        h, last = mlp.features(params["decoder"], z), mlp.last(params["decoder"])
        log_p = ops.linear_bernoulli_log_prob(x, h, last["weight"], last["bias"]) + model.log_prior(params, z)
        bound, _, _ = ops.importance(log_p, q.log_prob(z))
        return -bound.mean()

    candidates: dict[str, Call] = {
        "plain torch, compiled": partial(compiled(grad_and_value(plain)), params, x, eps),
        "pathwise of the model, compiled": partial(compiled(grad_and_value(library)), params, x, eps),
        "these operations, compiled": partial(compiled(grad_and_value(fused)), params, x, eps),
        "these operations, eager": partial(grad_and_value(fused), params, x, eps),
        "the matrix products alone": lambda: [
            products(params["encoder"], x),
            products(params["decoder"], eps.flatten(0, 1)),
        ],
    }
    if device == "cpu":
        candidates |= peers.iwae(params, x, eps)
    return Race("gradient of IWAE, K = 50, batch 64, 784-200-200-50", "plain torch, compiled", candidates, 15, 5)


def plain(params: trees.Params, x: Tensor, eps: Tensor) -> Tensor:
    """-IWAE as it is written without a library."""

    def network(layers: trees.Params, h: Tensor) -> Tensor:
        *hidden, last = layers.values()
        for layer in hidden:
            h = torch.tanh(F.linear(h, layer["weight"], layer["bias"]))
        return F.linear(h, last["weight"], last["bias"])

    loc, log_scale = network(params["encoder"], x).chunk(2, -1)
    z = loc + log_scale.exp() * eps
    logits = network(params["decoder"], z)
    log_p = -F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none").sum(-1)
    log_p = log_p - 0.5 * z.square().sum(-1)
    log_q = -(0.5 * eps.square() + log_scale).sum(-1)
    return -(torch.logsumexp(log_p - log_q, 0)).mean()
