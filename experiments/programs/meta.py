"""An encoder for tasks as a program: a datum is a task, {"weight", "log_scale", "x"}, and a step many steps in each."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.func import vmap

from jensen.core.contracts import Key
from jensen.core.models.latent.linear_normal import LinearNormal
from jensen.core.models.latent.reptile import Encoder, adapted, pull
from jensen.core.trees import Params, Tree
from jensen.experiments.data.batches import Epochs
from jensen.experiments.programs.one_turn import OneTurn
from jensen.experiments.report.drawing import line, panels
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.program import Batch, Finding, Out, Row, Weights


@dataclass(frozen=True)
class MetaProgram(OneTurn):
    """One turn over the encoder, by Reptile's update; the last data of each task are left to judge by."""

    group = "encoder"

    model: Encoder
    batches: Epochs  # of tasks
    steps: int  # in each task
    step_size: float
    rows: int  # data of each of these steps
    judged: int  # data of each task that no step sees
    judged_after: Sequence[int] = (0, 1, 5, 20)  # steps, in reports
    optimiser: Optimiser = Optimiser()
    title: str = "reptile"  # of the report

    def init(self, key: Key, data: Tree, /) -> tuple[Params, Tree]:
        return {"encoder": self.model.init(key, data["x"].dtype)}, {}

    def loss(self, params: Params, state: Tree, batch: Batch, key: Key, weights: Weights) -> Out:
        """Minus the mean bound after the steps, with Reptile's update, in units of a step, for its gradient."""

        def of_task(task: Tree) -> tuple[Tensor, Tensor, Tensor]:
            found = self.led_to(params["encoder"], task, self.steps)
            before, after = (self.bound(encoder, task).detach() for encoder in (params["encoder"], found))
            return pull(params["encoder"], found) / self.step_size, before, after

        back, before, after = vmap(of_task)(batch["data"])
        return Out(back.mean() - after.mean(), {"objective": after, "bound/before steps": before}, state)

    def led_to(self, encoder: Params, task: Tree, steps: int) -> Params:
        """The encoder after steps on a task, each on the next rows of its data, over and over."""
        taught = task["x"][: -self.judged]
        each, model = taught[: len(taught) // self.rows * self.rows].unflatten(0, (-1, self.rows)), of(task)

        def loss(encoder: Params, step: int) -> Tensor:
            x = each[step % len(each)]
            return -model.elbo(self.model.posterior(encoder, x), x).mean()

        return adapted(loss, encoder, steps, self.step_size)

    def bound(self, encoder: Params, task: Tree) -> Tensor:
        """The mean bound of the data that no step sees, 0-d, in nats per datum."""
        x = task["x"][-self.judged :]
        return of(task).elbo(self.model.posterior(encoder, x), x).mean()

    def score(self, params: Params, state: Tree, batch: Tree, key: Key, /) -> Tensor:
        """The bound after the steps, (T,)."""
        return vmap(lambda task: self.bound(self.led_to(params["encoder"], task, self.steps), task))(batch)

    def figures(self, params: Params, state: Tree, data: Tree, key: Key, /) -> dict[str, Figure]:
        return {}

    @torch.no_grad()
    def report(self, params: Params, state: Tree, data: Tree, key: Key, /) -> list[Finding]:
        """log p(x) less the bound, after steps on new tasks from the learned start, and from one that learned nothing.

        With the standard errors of means over tasks.
        """
        starts = {"learned": params["encoder"], "at the prior": self.model.init(key, data["x"].dtype)}
        rows: list[Row] = []
        lines = [f"{self.title}\n", f"{'nats short of log p(x)':<28}" + "".join(f"{name:>20}" for name in starts)]
        for steps in self.judged_after:
            cells = []
            for start, encoder in starts.items():
                gap = self.gaps(encoder, data, steps).double()
                mean, error = gap.mean().item(), gap.std().item() / len(gap) ** 0.5
                rows.append({"start": start, "steps": steps, "gap": mean, "error": error})
                cells.append(f"{f'{mean:.3f} ± {error:.3f}':>20}")
            lines.append(f"{f'after {steps} steps':<28}{''.join(cells)}")
        return [Finding("tasks", rows, "\n".join(lines) + "\n", drawing(rows))]

    def gaps(self, encoder: Params, data: Tree, steps: int) -> Tensor:
        """log p(x) less the bound after so many steps, of each task, (T,)."""

        def of_task(task: Tree) -> Tensor:
            evidence = of(task).log_evidence(task["x"][-self.judged :]).mean()
            return evidence - self.bound(self.led_to(encoder, task, steps), task)

        return vmap(of_task)(data)


def of(task: Tree) -> LinearNormal:
    """The task's own model."""
    return LinearNormal(task["weight"], task["log_scale"])


def drawing(rows: Sequence[Row]) -> Figure:
    """What is left of log p(x) against steps, by start."""
    figure, axes = panels(1, 1, 5, 3.4)
    for style, start in enumerate(dict.fromkeys(row["start"] for row in rows)):
        found = [(row["steps"], row["gap"], row["error"]) for row in rows if row["start"] == start]
        steps, gaps, errors = ([float(value or 0) for value in each] for each in zip(*found, strict=True))
        line(axes[0, 0], steps, gaps, str(start), style, errors)
    axes[0, 0].set(xlabel="steps on a new task", ylabel="log p(x) − bound, nats", yscale="log")
    axes[0, 0].legend(frameon=False, fontsize=8)
    return figure
