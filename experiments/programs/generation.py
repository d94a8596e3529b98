"""Generators of points as programs: a critic's turns and a generator's, or one turn of a regression."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from matplotlib.figure import Figure
from torch import Tensor

from jensen.core import keys, trees
from jensen.core.contracts import Key
from jensen.core.models.adversarial.gan import Gan
from jensen.core.trees import Params, Tree
from jensen.experiments.data.batches import Epochs
from jensen.experiments.data.points import Points
from jensen.experiments.programs.one_turn import OneTurn
from jensen.experiments.report import points as report
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.program import Batch, Finding, Out, Schedule, Turn, Weights


class Transport(Protocol):
    """What a field of noise or of velocities is learned in: `transport.diffusion`, `transport.flow_matching`."""

    def init(self, key: Key, dtype: torch.dtype = torch.float32, /) -> Params: ...
    def loss(self, params: Params, x: Tensor, key: Key) -> Tensor: ...


@dataclass(frozen=True)
class AdversarialProgram:
    """`critics` turns of the critic, then one of the generator, whose average over steps is what is judged."""

    model: Gan
    batches: Epochs
    critics: int
    average: float  # decay of the generator's average, 0 for none
    optimiser: Optimiser
    title: str

    @property
    def turns(self) -> tuple[Turn, ...]:
        return (Turn(self.critic, ("critic",)),) * self.critics + (Turn(self.generator, ("generator",)),)

    @property
    def optimisers(self) -> Mapping[str, Optimiser]:
        return {"critic": self.optimiser, "generator": self.optimiser}

    @property
    def schedules(self) -> Mapping[str, Schedule]:
        return {}

    @property
    def epoch(self) -> int:
        return self.batches.steps

    def init(self, key: Key, data: Tensor, /) -> tuple[Params, Tree]:
        params, constraint = self.model.init(key, data.dtype)
        return params, {"constraint": constraint, "average": trees.map(torch.clone, params["generator"])}

    def batch(self, data: Tensor, key: Key, step: int, /) -> Batch:
        return self.batches.take(data, key, step)

    def critic(self, params: Params, state: Tree, batch: Batch, key: Key, weights: Weights) -> Out:
        """The game's loss of the critic and the penalty."""
        terms, constraint = self.model.critic_loss(params, state["constraint"], batch["data"], key)
        return Out((terms["game"] + terms["penalty"]).mean(), terms, {**state, "constraint": constraint})

    def generator(self, params: Params, state: Tree, batch: Batch, key: Key, weights: Weights) -> Out:
        """The game's loss of the generator; its average follows the parameters before this step."""
        loss = self.model.generator_loss(params, state["constraint"], batch["data"], key)
        average = trees.map(lambda a, p: a.lerp(p.detach(), 1 - self.average), state["average"], params["generator"])
        return Out(loss.mean(), {"generator": loss}, {**state, "average": average})

    def sample(self, params: Params, state: Tree, key: Key, n: int) -> Tensor:
        """(n, D), in the data's own units, of the generator that is judged: its average where there is one."""
        generator = state["average"] if self.average else params["generator"]
        return self.model.sample({**params, "generator": generator}, key, n)

    def score(self, params: Params, state: Tree, batch: Tensor, key: Key, /) -> Tensor:
        return energy_score(self.sample(params, state, key, len(batch)), batch)

    @torch.no_grad()
    def figures(self, params: Params, state: Tree, data: Points, key: Key, /) -> dict[str, Figure]:
        return {"points": report.figure(self.sample(params, state, key, report.COMPARED), data.test)}

    @torch.no_grad()
    def report(self, params: Params, state: Tree, data: Points, key: Key, /) -> list[Finding]:
        drawn = self.sample(params, state, key, report.DRAWN)
        return [
            Finding("what", [], f"{self.title}\n"), report.judged(drawn, data.test, data.centres, keys.fold_in(key, 1))
        ]  # fmt: skip


@dataclass(frozen=True)
class TransportProgram(OneTurn):
    """One turn over the field."""

    model: Transport
    batches: Epochs
    optimiser: Optimiser
    title: str
    draw: Callable[[Params, Key, int], Tensor]
    findings: Callable[[Params, Points, Key], list[Finding]]  # what else the report says

    def init(self, key: Key, data: Tensor, /) -> tuple[Params, Tree]:
        return {"model": self.model.init(key, data.dtype)}, {}

    def loss(self, params: Params, state: Tree, batch: Batch, key: Key, weights: Weights) -> Out:
        """The mean squared error of the field."""
        loss = self.model.loss(params["model"], batch["data"], key)
        return Out(loss.mean(), {"error": loss}, state)

    def sample(self, params: Params, state: Tree, key: Key, n: int) -> Tensor:
        """(n, D), in the data's own units."""
        return self.draw(params["model"], key, n)

    def score(self, params: Params, state: Tree, batch: Tensor, key: Key, /) -> Tensor:
        return -self.model.loss(params["model"], batch, key)

    @torch.no_grad()
    def figures(self, params: Params, state: Tree, data: Points, key: Key, /) -> dict[str, Figure]:
        return {"points": report.figure(self.sample(params, state, key, report.COMPARED), data.test)}

    @torch.no_grad()
    def report(self, params: Params, state: Tree, data: Points, key: Key, /) -> list[Finding]:
        drawn = self.sample(params, state, key, report.DRAWN)
        return [
            Finding("what", [], f"{self.title}\n"), report.judged(drawn, data.test, data.centres, keys.fold_in(key, 1)),
            *self.findings(params["model"], data, keys.fold_in(key, 2)),
        ]  # fmt: skip


def energy_score(drawn: Tensor, x: Tensor) -> Tensor:
    """mean_jk |y_j - y_k| / 2 - mean_j |x - y_j|, (n,): the largest in expectation for draws from x's distribution."""
    return torch.cdist(drawn, drawn).mean() / 2 - torch.cdist(x, drawn).mean(1)
