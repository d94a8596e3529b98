"""The VAE of grey pixels and cross-entropy as it is written without this library: in torch.nn, and in JAX."""

import importlib
import math
import time
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

LR = 1e-3


class Whole(NamedTuple):
    """A whole training run: wall-clock seconds, and losses in nats per datum."""

    seconds: float
    first: float  # of the first batch, at the start
    losses: list[float]  # means over each epoch


class Module(nn.Module):
    """D - hidden - latent and back, ReLU, Gaussian latents, logits out; weights as torch.nn starts them."""

    def __init__(self, data: int, hidden: int, latent: int):
        super().__init__()
        self.features, self.loc, self.log_variance = (
            nn.Linear(data, hidden), nn.Linear(hidden, latent), nn.Linear(hidden, latent)
        )  # fmt: skip
        self.decoder = nn.Sequential(nn.Linear(latent, hidden), nn.ReLU(), nn.Linear(hidden, data))

    def loss(self, x: Tensor) -> Tensor:
        """Cross-entropy + KL(q || N(0, I)) in nats, the mean over data, with one draw."""
        h = F.relu(self.features(x))
        loc, log_variance = self.loc(h), self.log_variance(h)
        z = loc + torch.exp(0.5 * log_variance) * torch.randn_like(loc)
        cross_entropy = F.binary_cross_entropy_with_logits(self.decoder(z), x, reduction="sum")
        kl = -0.5 * torch.sum(1 + log_variance - loc.square() - log_variance.exp())
        return (cross_entropy + kl) / len(x)


def by_module(x: Tensor, hidden: int, latent: int, epochs: int, batch: int, seed: int = 0) -> Whole:
    """torch.nn and torch.optim.Adam, eager; the last incomplete batch is taken too."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        start = time.perf_counter()
        module = Module(x.shape[1], hidden, latent)
        adam, each = torch.optim.Adam(module.parameters(), LR), []
        for _ in range(epochs):
            for rows in torch.randperm(len(x)).split(batch):
                adam.zero_grad()
                loss = module.loss(x[rows])
                loss.backward()
                adam.step()
                each.append((loss.item(), len(rows)))
        return Whole(time.perf_counter() - start, each[0][0], by_epoch(each, epochs))


def by_jax(x: Tensor, hidden: int, latent: int, epochs: int, batch: int, seed: int = 0) -> Whole | None:
    """The same in JAX with Adam by hand, the step compiled; None where JAX is not installed."""
    try:
        jax: Any = importlib.import_module("jax")
    except ImportError:
        return None
    jnp, start = jax.numpy, time.perf_counter()

    def linear(key: Any, inputs: int, outputs: int) -> tuple[Any, Any]:
        bound = 1 / math.sqrt(inputs)
        return jax.random.uniform(key, (inputs, outputs), minval=-bound, maxval=bound), jnp.zeros(outputs)

    def loss(params: list[tuple[Any, Any]], x: Any, key: Any) -> Any:
        first, second, third, fourth = (lambda h, w=w, b=b: h @ w + b for w, b in params)
        loc, log_variance = jnp.split(second(jax.nn.relu(first(x))), 2, -1)
        z = loc + jnp.exp(0.5 * log_variance) * jax.random.normal(key, loc.shape)
        logits = fourth(jax.nn.relu(third(z)))
        cross_entropy = jnp.sum(jax.nn.softplus(logits) - x * logits)
        kl = -0.5 * jnp.sum(1 + log_variance - loc**2 - jnp.exp(log_variance))
        return (cross_entropy + kl) / len(x)

    @jax.jit
    def step(params: Any, moments: Any, squares: Any, t: Any, rows: Any) -> Any:
        value, slope = jax.value_and_grad(loss)(params, data[rows], jax.random.fold_in(key, t))
        moments = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, moments, slope)
        squares = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g**2, squares, slope)
        rate = LR * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        params = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) + 1e-8), params, moments, squares)
        return params, moments, squares, value

    sizes = ((x.shape[1], hidden), (hidden, 2 * latent), (latent, hidden), (hidden, x.shape[1]))
    key, *own = jax.random.split(jax.random.key(seed), len(sizes) + 1)
    params = [linear(each, *size) for each, size in zip(own, sizes, strict=True)]
    moments = squares = jax.tree.map(jnp.zeros_like, params)
    data, order, each = jnp.asarray(x.numpy()), np.random.default_rng(seed), []
    for _ in range(epochs):
        shuffled = order.permutation(len(x))
        for i in range(0, len(x), batch):
            rows = shuffled[i : i + batch]
            params, moments, squares, value = step(params, moments, squares, len(each) + 1, rows)
            each.append((value, len(rows)))
    each = [(float(value), size) for value, size in each]
    return Whole(time.perf_counter() - start, each[0][0], by_epoch(each, epochs))


def by_epoch(each: list[tuple[float, int]], epochs: int) -> list[float]:
    """Means over the data of each epoch, of (mean loss, data) of every batch."""
    steps = len(each) // epochs
    parts = [each[i : i + steps] for i in range(0, len(each), steps)]
    return [sum(loss * size for loss, size in part) / sum(size for _, size in part) for part in parts]
