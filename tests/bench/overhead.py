"""The training loop's own cost: its time per step over a bare compiled gradient and fused Adam on the same arrays."""

import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.func import grad_and_value

from jensen.core import keys, trees
from jensen.core.models import vae
from jensen.estimators.gradients import analytic_kl
from jensen.experiments import loop
from jensen.experiments.compilation import compiled
from jensen.experiments.settings import Settings
from tests.bench.timing import table

STEPS, WARM, ROUNDS, BATCH = 1600, 100, 3, 100


def overhead() -> None:
    """784-200-200-50, batch 100, binary pixels: 1,500 steps a round, the two loops in turn."""
    model = vae.mlp(784, (200, 200), 50)
    grey = keys.uniform(keys.key(0), (24_000, 784)) ** 2
    binary = (keys.uniform(keys.key(1), (24_000, 784)) < grey).float()

    def loss(params: trees.Params, x: Tensor, key: Tensor) -> Tensor:
        q = model.posterior(params["encoder"], x)
        log_likelihood = partial(model.log_likelihood, params["decoder"], x)
        return -analytic_kl(log_likelihood, q, model.prior(x), q.noise(key, 1))[0].mean()

    bare = partial(bare_loop, compiled(grad_and_value(loss)), model, binary)
    settings = Settings(batch=BATCH, steps=STEPS, pixels="static", checkpoint_every=STEPS)
    dynamic = Settings(batch=BATCH, steps=STEPS, pixels="dynamic", checkpoint_every=STEPS)
    loops: dict[str, Callable[[], float]] = {
        "bare gradient + Adam": bare,
        "experiments.train's loop": lambda: timed_fit(model, binary, settings),
        "the same, pixels drawn anew at each step": lambda: timed_fit(model, grey, dynamic),
    }
    times = {name: [] for name in loops}
    for _ in range(ROUNDS):
        for name, run in loops.items():
            times[name].append(run())
    rows = {name: statistics.median(each) * 1e3 for name, each in times.items()}
    table("the loop's overhead, 784-200-200-50, batch 100", rows, "bare gradient + Adam")


def bare_loop(gradient: Callable, model: vae.VAE, data: Tensor) -> float:
    """Seconds per step over ready batches and keys."""
    params = model.init(keys.key(0), data.mean(0))
    optimizer = torch.optim.Adam(trees.leaves(params), lr=1e-3, fused=True)
    batches, noise = data.split(BATCH), keys.split(keys.key(2), STEPS)
    leaves = trees.leaves(params)
    start = 0.0
    for step in range(STEPS):
        if step == WARM:
            start = time.perf_counter()
        g, _ = gradient(params, batches[step % len(batches)], noise[step])
        for leaf, slope in zip(leaves, trees.leaves(g), strict=True):
            leaf.grad = slope
        optimizer.step()
    return (time.perf_counter() - start) / (STEPS - WARM)


def timed_fit(model: vae.VAE, data: Tensor, settings: Settings) -> float:
    """Seconds per step of the training loop; its schedule is asked once a step, which tells the time."""
    ticks: list[float] = []
    original = loop.warmup_cosine

    def tick(*args):
        ticks.append(time.perf_counter())
        return original(*args)

    loop.warmup_cosine = tick
    try:
        with tempfile.TemporaryDirectory() as folder:
            loop.fit(model, data, settings, Path(folder))
    finally:
        loop.warmup_cosine = original
    return (ticks[-1] - ticks[WARM]) / (STEPS - 1 - WARM)
