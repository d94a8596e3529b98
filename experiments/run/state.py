"""Where a run stands: parameters, state, optimisers and their average as tensors, and the rest as JSON.

A checkpoint holds all of it, leaf by leaf, under "params.<path>", "state.<path>", "average.<path>" and
"optimiser.<group>.<path>/<what the optimiser keeps>".
"""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from jensen.core import trees
from jensen.core.trees import Params, Tree
from jensen.experiments.run.optimisers import Optimiser, kept, would_keep


@dataclasses.dataclass
class Progress:
    """How far a run is, but for its tensors: everything here is JSON and goes into each checkpoint."""

    step: int = 0
    skipped: int = 0
    sums: dict[str, float] = dataclasses.field(default_factory=dict)  # of the numbers of steps since the last row
    counts: dict[str, int] = dataclasses.field(default_factory=dict)
    best: float | None = None
    best_step: int = 0
    stale: int = 0
    stopped: bool = False


class TrainState(NamedTuple):
    """Everything that training changes. `params` and `average` are updated in place, `state` is replaced."""

    params: Params  # by group
    state: Tree
    optimisers: dict[str, torch.optim.Optimizer]  # by group
    average: Params | None  # of params over steps

    @property
    def judged(self) -> Params:
        """The parameters that the run is judged by."""
        return self.params if self.average is None else self.average


def start(params: Params, state: Tree, settings: Mapping[str, Optimiser], average: bool) -> TrainState:
    """Before the first step. ValueError where groups and optimisers do not go together."""
    if sorted(params) != sorted(settings):
        raise ValueError(f"expected an optimiser per group {sorted(params)}, got {sorted(settings)}")
    params = trees.map(torch.clone, params)  # no two leaves share memory
    optimisers = {group: settings[group].make(params[group]) for group in params}
    return TrainState(params, state, optimisers, trees.map(torch.clone, params) if average else None)


def tensors(stand: TrainState) -> dict[str, Tensor]:
    """Every tensor by name."""
    named = {f"params.{path}": leaf for path, leaf in trees.paths(stand.params).items()}
    named |= {f"state.{path}": leaf for path, leaf in trees.paths(stand.state).items()}
    if stand.average is not None:
        named |= {f"average.{path}": leaf for path, leaf in trees.paths(stand.average).items()}
    for group, optimiser in stand.optimisers.items():
        named |= {f"optimiser.{group}.{name}": t for name, t in kept(optimiser, stand.params[group]).items()}
    return named


def expected(stand: TrainState, settings: Mapping[str, Optimiser], stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What a checkpoint of this run must hold, by name; of a group that has not taken a step, no optimiser's."""
    named = {name: t for name, t in tensors(stand).items() if not name.startswith("optimiser.")}
    for group, setting in settings.items():
        prefix = f"optimiser.{group}."
        if any(name.startswith(prefix) for name in stored):
            named |= {f"{prefix}{name}": t for name, t in would_keep(setting, stand.params[group]).items()}
    return named


def restore(stand: TrainState, stored: Mapping[str, Tensor], like: Mapping[str, Tensor]) -> TrainState:
    """The state a checkpoint holds, each tensor where its counterpart of `like`, which `expected` gave, is."""

    def part(prefix: str) -> dict[str, Tensor]:
        return {
            name.removeprefix(prefix): stored[name].to(like[name].device) for name in like if name.startswith(prefix)
        }

    fill(stand.params, trees.from_paths(part("params."), stand.params))
    if stand.average is not None:
        fill(stand.average, trees.from_paths(part("average."), stand.average))
    for group, optimiser in stand.optimisers.items():
        for path, leaf in trees.paths(stand.params[group]).items():
            if fields := part(f"optimiser.{group}.{path}/"):
                optimiser.state[leaf] = fields
    return stand._replace(state=trees.from_paths(part("state."), stand.state))


def fill(params: Params, values: Params) -> None:
    """Copies values into params, whose tensors stay the same."""
    trees.map(lambda leaf, value: leaf.copy_(value), params, values)
