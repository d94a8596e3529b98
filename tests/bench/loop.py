"""The training loop's own cost: its time per step beside a bare compiled gradient and fused Adam on the same arrays."""

import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from torch.func import grad_and_value

from jensen.core import keys, trees
from jensen.core.models.latent import vae
from jensen.estimators.gradients import analytic_kl
from jensen.experiments.data.batches import Epochs
from jensen.experiments.programs.estimation import Estimation
from jensen.experiments.programs.latent import LatentProgram
from jensen.experiments.run import folder
from jensen.experiments.run.compilation import compiled
from jensen.experiments.run.loop import fit
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.program import Program
from jensen.experiments.run.settings import Run
from tests.bench.race import Race

STEPS, WARM, BATCH, SIZE = 1750, 250, 100, 24_000  # held-out data are scored, and that is compiled, after step 240


def loop(device: str) -> Race:
    """784-200-200-50, batch 100: 1,500 steps a round; with its rows of metrics and scores of held-out data."""
    model = vae.mlp(784, (200, 200), 50)
    grey = (keys.uniform(keys.key(0), (1000, 784)) ** 2).repeat(SIZE // 1000, 1)
    binary = (grey > 0.3).float()

    def loss(params: trees.Params, x: Tensor, key: Tensor) -> Tensor:
        q = model.posterior(params, x)

        def log_likelihood(z: Tensor) -> Tensor:
            return model.likelihood(params, z).log_prob(x)

        return -analytic_kl(log_likelihood, q, q.noise(key, 1), prior=model.prior(params, len(x))).mean()

    gradient = compiled(grad_and_value(loss))

    def bare() -> float:
        """Seconds per step over ready batches and keys."""
        params = model.init(keys.key(0), binary)
        leaves = trees.leaves(params)
        optimizer = torch.optim.Adam(leaves, lr=1e-3, fused=True)
        batches, noise, start = binary.split(BATCH), keys.split(keys.key(2), STEPS), 0.0
        for step in range(STEPS):
            if step == WARM:
                start = time.perf_counter()
            slopes, _ = gradient(params, batches[step % len(batches)], noise[step])
            for leaf, slope in zip(leaves, trees.leaves(slopes), strict=True):
                leaf.grad = slope
            optimizer.step()
        return (time.perf_counter() - start) / (STEPS - WARM)

    def program(dynamic: bool) -> LatentProgram:
        estimation = Estimation()
        name = estimation.chosen(model.posterior(model.init(keys.key(0), binary), binary[:2]))
        return LatentProgram(
            model=model, estimation=estimation, name=name, dynamic=dynamic, batches=Epochs(SIZE, BATCH),
            optimiser=Optimiser(), total=STEPS, evidence_k=2, compile=True, title="",
        )  # fmt: skip

    candidates = {
        "bare gradient + Adam": bare,
        "the training loop": partial(trained, program(dynamic=False), binary, binary[:1000]),
        "the same, pixels drawn anew at each step": partial(trained, program(dynamic=True), grey, binary[:1000]),
    }
    name = "the loop's overhead, 784-200-200-50, batch 100"
    return Race(name, "bare gradient + Adam", candidates, rounds=3, calls=1, warm=0, own_time=True)


def trained(program: LatentProgram, train: Tensor, held_out: Tensor) -> float:
    """Seconds per step of a run in a folder of its own, from the moments at which it asks for batches."""
    ticking = Ticking(program)
    run = Run(steps=STEPS, batch=BATCH, checkpoint_every=STEPS)
    with tempfile.TemporaryDirectory() as path, folder.created(Path(path), run, "") as where:
        fit(cast(Program, ticking), run, train, held_out, where)
    return (ticking.moments[-1] - ticking.moments[WARM]) / (STEPS - 1 - WARM)


class Ticking:
    """A program that notes when it is asked for a batch."""

    def __init__(self, program: LatentProgram):
        self.program = program
        self.moments: list[float] = []

    def batch(self, *args: Any) -> Any:
        self.moments.append(time.perf_counter())
        return self.program.batch(*args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.program, name)
