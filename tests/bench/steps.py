"""The ELBO's arithmetic and the VAE's training step, in the forms that users choose between."""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import grad_and_value
from torch.nn import functional as F

from jensen.core import keys, trees
from jensen.core.distributions import Bernoulli, DiagNormal
from jensen.core.models.latent import vae
from jensen.estimators.gradients import analytic_kl
from jensen.experiments.run.compilation import compiled
from tests.bench.race import Call, Race

KEY = keys.key(0)


def elbo(device: str) -> Race:
    """Reconstruction less KL, (128,), from logits (128, 784) and a posterior (128, 20)."""
    n, pixels, latent = 128, 784, 20
    logits, x = keys.normal(KEY, (n, pixels)), (keys.uniform(keys.key(1), (n, pixels)) < 0.3).float()
    loc, log_scale = keys.normal(keys.key(2), (n, latent)), 0.3 * keys.normal(keys.key(3), (n, latent))
    arrays = [t.double().numpy() for t in (logits, x, loc, log_scale)]

    def in_numpy() -> np.ndarray:
        a, b, m, s = arrays
        kl = 0.5 * (np.exp(2 * s) + m**2 - 1 - 2 * s).sum(-1)
        return (b * a - np.logaddexp(0, a)).sum(-1) - kl

    zero = torch.zeros(latent, device=device)

    def functional(logits: Tensor, x: Tensor, loc: Tensor, log_scale: Tensor) -> Tensor:
        return Bernoulli(logits).log_prob(x) - DiagNormal(loc, log_scale).kl(DiagNormal(zero, zero))

    tensors = [t.to(device) for t in (logits, x, loc, log_scale)]
    np.testing.assert_allclose(functional(*tensors).cpu(), in_numpy(), rtol=1e-5)
    candidates: dict[str, Call] = {
        "compiled": partial(compiled(functional), *tensors),
        "eager": partial(functional, *tensors),
        "NumPy float64": in_numpy,
    }
    return Race(f"ELBO of ({n}, {pixels}, {latent})", "compiled", candidates)


class Module(nn.Module):
    """The same VAE as people write it today."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.heads = nn.Linear(784, 400), nn.Linear(400, 40)
        self.expand, self.out = nn.Linear(20, 400), nn.Linear(400, 784)

    def forward(self, x: Tensor) -> Tensor:
        loc, log_variance = self.heads(torch.tanh(self.hidden(x))).chunk(2, -1)
        z = loc + torch.exp(0.5 * log_variance) * torch.randn_like(loc)  # the ambient generator is its users' habit
        logits = self.out(torch.tanh(self.expand(z)))
        kl = -0.5 * (1 + log_variance - loc.square() - log_variance.exp()).sum(-1)
        return (F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1) + kl).mean()


def vae_step(device: str) -> Race:
    """A step of the 784-400-20 VAE at batch 128, with fused Adam, beside the matrix products of its gradient."""
    x = (keys.uniform(KEY, (128, 784)) < 0.3).float().to(device)

    def of_module(compiled: bool) -> Call:
        module = Module().to(device)
        adam = torch.optim.Adam(module.parameters(), lr=1e-3, fused=True)
        loss = torch.compile(module) if compiled else module

        def call() -> None:
            adam.zero_grad()
            loss(x).backward()
            adam.step()

        return call

    model, key = vae.mlp(784, (400,), 20), KEY.to(device)

    def loss(params: trees.Params, x: Tensor, key: Tensor) -> Tensor:
        q = model.posterior(params, x)

        def log_likelihood(z: Tensor) -> Tensor:
            return model.likelihood(params, z).log_prob(x)

        return -analytic_kl(log_likelihood, q, q.noise(key, 1), prior=model.prior(params, len(x))).mean()

    def step(gradient: Callable, params: trees.Params, optimizer: torch.optim.Optimizer) -> None:
        slopes, _ = gradient(params, x, key)
        for leaf, slope in zip(trees.leaves(params), trees.leaves(slopes), strict=True):
            leaf.grad = slope
        optimizer.step()

    def candidate(gradient: Callable) -> Call:
        params = model.init(key, x)
        return partial(step, gradient, params, torch.optim.Adam(trees.leaves(params), lr=1e-3, fused=True))

    params = model.init(key, x)
    z = keys.normal(keys.key(1), (len(x), 20)).to(device)
    candidates: dict[str, Call] = {
        "the matrix products alone": lambda: [
            products(params["encoder"], x, inputs=False),
            products(params["decoder"], z),
        ],
        "functional, compiled": candidate(compiled(grad_and_value(loss))),
        "functional, eager": candidate(grad_and_value(loss)),
        "nn.Module, compiled": of_module(compiled=True),
        "nn.Module, eager": of_module(compiled=False),
    }
    return Race("training step, 784-400-20, batch 128", "the matrix products alone", candidates)


def products(layers: trees.Params, h: Tensor, inputs: bool = True) -> None:
    """A perceptron's products (rows, in) @ (in, out), and those of its gradient, that of its inputs by choice."""
    for i, layer in enumerate(layers.values()):
        out = h @ layer["weight"].T
        if i > 0 or inputs:
            out @ layer["weight"]
        out.T @ h
        h = out
