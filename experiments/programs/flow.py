"""Flow matching of points, and rectified flow on its own pairs, as the command line has them."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from jensen.core import keys
from jensen.core.contracts import Key
from jensen.core.models.transport import flow_matching
from jensen.core.models.transport.flow_matching import FlowMatching
from jensen.core.trees import Params
from jensen.experiments.data.batches import Epochs
from jensen.experiments.data.points import PointData, Points
from jensen.experiments.programs.generation import TransportProgram
from jensen.experiments.programs.generators import PointSettings, perceptron
from jensen.experiments.programs.images import Flat
from jensen.experiments.report.series import means
from jensen.experiments.run.config import FREE
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.program import Finding, Prepared
from jensen.experiments.run.settings import Run

SCORED = 200  # test points whose density is followed back
PAIRED = 20_000  # starts of a finished flow that another is trained on, with their ends


@dataclass(frozen=True)
class Pairs:
    """Flow matching of given starts: rows are x_1 beside x_0, (n, 2 d)."""

    model: FlowMatching

    def init(self, key: Key, dtype: torch.dtype = torch.float32, /) -> Params:
        """The model's parameters."""
        return self.model.init(key, dtype)

    def loss(self, params: Params, x: Tensor, key: Key) -> Tensor:
        """Squared errors of the velocity, (n,)."""
        end, start = x.chunk(2, -1)
        return self.model.loss(params, end, key, start)


@dataclass(frozen=True)
class Flow(PointSettings):
    """Train a flow by matching velocities, and report the density of test data and what it draws."""

    points: Flat[PointData] = PointData(data="moons")
    straighten: Path | None = field(default=None, metadata=FREE)
    """Folder of a finished run of flow, on whose pairs of starts and ends this one is trained (rectified flow). A run
    that goes on may find it elsewhere, but not another in its place."""
    draw_steps: int = 20
    """Steps of the solver."""
    method: Literal["rk4", "euler"] = "rk4"
    """Of the solver."""
    hidden: tuple[int, ...] = (128, 128, 128)
    """Widths of the hidden layers of the field of velocities."""
    optimiser: Flat[Optimiser] = Optimiser(lr=5e-3)
    run: Flat[Run] = Run(steps=6000, batch=256, average=0.999, lr_final=0.01)

    def check(self) -> None:
        """Raises an InputError for the first setting that cannot work."""
        super().check()
        self.check_positive(("--draw-steps", self.draw_steps))

    def prepare(self) -> Prepared[Any, Tensor, Points]:
        """Loads the points, or pairs of the run to straighten, and builds the program.

        InputError for what does not go together.
        """
        prepared = super().prepare()
        return prepared if self.straighten is None else self._paired(prepared, self.straighten)

    def _paired(self, prepared: Prepared[Any, Tensor, Points], folder: Path) -> Prepared[Any, Tensor, Points]:
        from jensen.experiments.programs.finished import read_run  # which reads every kind, this one too

        done = read_run(folder, self.run.device)
        if not isinstance(done.settings, Flow):
            raise InputError(f"--straighten {folder} holds a {done.kind}: pass a run of flow")
        of = done.settings.points.data
        if of != self.points.data:
            raise InputError(f"--straighten {folder} is of --data {of}, not of {self.points.data}: pass --data {of}")
        d, key = prepared.train.shape[1], keys.fold_in(keys.key(self.run.seed, prepared.train.device), 4)
        start = keys.normal(key, (1, PAIRED, d), prepared.train.dtype)[0]
        with torch.no_grad():
            end = done.settings.model(d).transported(done.params["model"], start, done.settings.draw_steps)
        pairs, size = torch.cat([end, start], 1), PAIRED - int((self.run.share_held_out or 0.1) * PAIRED)
        batches = Epochs(size, self.run.batch, self.run.keep_last)
        program = dataclasses.replace(
            prepared.program, model=Pairs(prepared.program.model), batches=batches,
            title=f"{prepared.program.title}, on pairs of another flow",
        )  # fmt: skip
        return Prepared(program, pairs[:size], pairs[size:], prepared.data)

    def model(self, data: int) -> FlowMatching:
        return flow_matching.build(perceptron(self.points, data, self.hidden))

    def program(self, batches: Epochs, data: int, steps: int) -> TransportProgram:
        model, dtype = self.model(data), getattr(torch, self.run.dtype)

        def draw(params: Params, key: Key, n: int) -> Tensor:
            return model.sample(params, key, n, self.draw_steps, self.method, dtype)

        def densities(params: Params, points: Points, key: Key) -> list[Finding]:
            x = points.test[:SCORED]
            found = {"log p": model.log_prob(params, x, self.draw_steps), "bend": model.straightness(params, x)}
            return [means("density", found, "nats, and squared distances")]

        title = f"flow matching on {self.points.data}, {steps} steps, drawn by {self.draw_steps} of {self.method}"
        return TransportProgram(
            model=model, batches=batches, optimiser=self.optimiser, title=title, draw=draw, findings=densities
        )
