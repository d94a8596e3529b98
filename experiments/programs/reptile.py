"""An encoder that learns where to start on new tasks, as the command line has it."""

import math
from dataclasses import dataclass
from typing import Literal

from torch.nn import functional as F

from jensen.core import keys, trees
from jensen.core.models.latent import reptile
from jensen.core.trees import Tree
from jensen.experiments.data.batches import Epochs
from jensen.experiments.data.images import on_device
from jensen.experiments.data.sinusoids import TIMES, sinusoids
from jensen.experiments.programs.images import Flat
from jensen.experiments.programs.meta import MetaProgram
from jensen.experiments.run.errors import InputError, option
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.program import Prepared
from jensen.experiments.run.settings import HUGE, Run

TASKS, TEST_TASKS = 1000, 200
TAUGHT, JUDGED = 100, 50  # data of each task, that steps may see and that judge them


@dataclass(frozen=True)
class Reptile:
    """Train an encoder's start by Reptile over tasks of sinusoids, and report bounds after steps on new tasks."""

    inner_steps: int = 5
    """Of gradient descent on each task's bound; with 1 the start is that of joint training, which knows of no steps."""
    inner_lr: float = 0.01
    """Their size."""
    inner_batch: int = 20
    """Data of each, of the 100 that a task has for them."""
    noise: float = 1.0
    """Standard deviation of x around its sinusoid."""
    hidden: tuple[int, ...] = (32,)
    """Widths of the encoder's hidden layers; none makes it linear."""
    activation: Literal["relu", "sigmoid", "tanh", "leaky_relu", "gelu"] = "tanh"
    """Between layers."""
    optimiser: Flat[Optimiser] = Optimiser(lr=3e-3)
    run: Flat[Run] = Run(epochs=30, batch=20, compile=False)  # compiling as many steps takes minutes

    def check(self) -> None:
        """Raises an InputError for the first setting that cannot work."""
        self.run.check()
        self.optimiser.check()
        for name in ("inner_lr", "noise"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f"expected a positive {option(name)}, got {getattr(self, name)}")
        if not 1 <= self.inner_steps < HUGE:
            raise InputError(f"expected --inner-steps of at least 1, got {self.inner_steps}")
        if not 1 <= self.inner_batch <= TAUGHT:
            raise InputError(f"expected --inner-batch from 1 to {TAUGHT}, got {self.inner_batch}")
        if any(size < 1 for size in self.hidden):
            raise InputError(f"expected --hidden of at least 1, got {self.hidden}: leave it out")

    def prepare(self) -> Prepared[MetaProgram, Tree, Tree]:
        """Draws the tasks and builds the program. InputError for what does not go together."""
        train, test = (
            trees.map(lambda leaf: on_device(leaf, self.run), tasks.tree())
            for tasks in (
                sinusoids(keys.key(seed), count, TAUGHT + JUDGED, self.noise)
                for seed, count in enumerate((TASKS, TEST_TASKS))
            )
        )
        size = TASKS - int(self.run.share_held_out * TASKS)
        held_out = trees.map(lambda leaf: leaf[size:], train) if size < TASKS else test
        if size < self.run.batch:
            raise InputError(f"--batch {self.run.batch} exceeds the {size} training tasks: pass at most that many")
        batches = Epochs(size, self.run.batch, self.run.keep_last)
        model = reptile.build(TIMES, self.hidden, 2, getattr(F, self.activation))
        title = (
            f"reptile on {size} tasks of sinusoids, {self.inner_steps} steps of {self.inner_lr:g} in each, "
            f"{self.run.total(batches.steps)} updates: {TEST_TASKS} new tasks"
        )
        program = MetaProgram(
            model=model, batches=batches, steps=self.inner_steps, step_size=self.inner_lr, rows=self.inner_batch,
            judged=JUDGED, optimiser=self.optimiser, title=title,
        )  # fmt: skip
        return Prepared(program, trees.map(lambda leaf: leaf[:size], train), held_out, test)
