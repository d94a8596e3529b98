"""Where a run stands: parameters, state, optimisers and their average as tensors, and the rest as JSON.

A checkpoint holds all of it, leaf by leaf, under "params.<path>", "state.<path>", "average.<path>",
"optimiser.<group>.<path>/<what the optimiser keeps>", and "best.params.<path>" and "best.state.<path>".
"""

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from jensen.core import trees
from jensen.core.trees import Params, Tree
from jensen.experiments.run import shards
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.files import Json
from jensen.experiments.run.optimisers import Optimiser, kept, would_keep


@dataclasses.dataclass
class Progress:
    """How far a run is, but for its tensors: everything here is JSON and goes into each checkpoint."""

    step: int = 0
    skipped: int = 0
    sums: dict[str, float] = dataclasses.field(default_factory=dict)  # of the numbers of steps since the last row
    counts: dict[str, int] = dataclasses.field(default_factory=dict)
    best: float | None = None
    stale: int = 0
    stopped: bool = False
    rows: str | None = None  # the digest of the rows so far

    def as_json(self) -> dict[str, Json]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Json]) -> "Progress":
        """InputError for other fields, or fields of other types, than a checkpoint has."""
        like = dataclasses.asdict(cls(best=0.0, rows=""))
        may_be_none = ("best", "rows")
        odd = sorted(values.keys() ^ like.keys())
        for name in sorted(values.keys() & like.keys()):
            if type(values[name]) is not type(like[name]) and not (name in may_be_none and values[name] is None):
                odd.append(name)
        if odd:
            raise InputError(f"where the run stands is not as expected in {', '.join(odd)}")
        return cls(**values)  # pyright: ignore[reportArgumentType]  (checked)


class TrainState(NamedTuple):
    """Everything that training changes. `params` and `average` are updated in place, `state` is replaced."""

    params: Params  # by group
    state: Tree
    optimisers: dict[str, torch.optim.Optimizer]  # by group
    average: Params | None  # of params over steps
    best: "Best | None" = None  # on held-out data, where the run may stop early

    @property
    def now(self) -> "Best":
        """What the run would be judged by if it ended here."""
        return Best(self.params if self.average is None else self.average, self.state)


class Best(NamedTuple):
    """Parameters that a run is judged by, and the state that goes with them."""

    params: Params
    state: Tree


def start(params: Params, state: Tree, settings: Mapping[str, Optimiser], average: bool) -> TrainState:
    """Before the first step. ValueError where groups and optimisers do not go together."""
    if sorted(params) != sorted(settings):
        raise ValueError(f"expected an optimiser per group {sorted(params)}, got {sorted(settings)}")
    params = trees.map(partial(torch.clone, memory_format=torch.contiguous_format), params)  # each in its own memory
    optimisers = {group: settings[group].make(params[group]) for group in params}
    return TrainState(params, state, optimisers, trees.map(torch.clone, params) if average else None)


def tensors(stand: TrainState) -> dict[str, Tensor]:
    """Every tensor by name."""
    named = _named("params", stand.params) | _named("state", stand.state)
    if stand.average is not None:
        named |= _named("average", stand.average)
    if stand.best is not None:
        named |= _named("best", stand.best)
    for group, optimiser in stand.optimisers.items():
        named |= {f"optimiser.{group}.{name}": t for name, t in kept(optimiser, stand.params[group]).items()}
    return named


def expected(stand: TrainState, settings: Mapping[str, Optimiser], stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What a checkpoint of this run must hold, by name.

    That is nothing of optimisers that have not taken a step, and no best before the first score.
    """
    if any(name.startswith("best.") for name in stored):
        stand = stand._replace(best=stand.now)
    named = {name: t for name, t in tensors(stand).items() if not name.startswith("optimiser.")}
    for group, setting in settings.items():
        prefix = f"optimiser.{group}."
        if any(name.startswith(prefix) for name in stored):
            named |= {f"{prefix}{name}": t for name, t in would_keep(setting, stand.params[group]).items()}
    return named


def restore(stand: TrainState, stored: Mapping[str, Tensor], like: Mapping[str, Tensor]) -> TrainState:
    """The state a checkpoint holds, each tensor where its counterpart of `like`, which `expected` gave, is."""
    placed = {name: shards.like(t, stored[name]) for name, t in like.items()}
    fill(stand.params, part(placed, "params", stand.params))
    if stand.average is not None:
        fill(stand.average, part(placed, "average", stand.average))
    for group, optimiser in stand.optimisers.items():
        for path, leaf in trees.paths(stand.params[group]).items():
            prefix = f"optimiser.{group}.{path}/"
            fields = {name.removeprefix(prefix): t for name, t in placed.items() if name.startswith(prefix)}
            if fields:
                optimiser.state[leaf] = fields
    best = None
    if any(name.startswith("best.") for name in placed):
        best = part(placed, "best", stand.now)
    return stand._replace(state=part(placed, "state", stand.state), best=best)


def part(named: Mapping[str, Tensor], of: str, like: Tree) -> Tree:
    """The tree that is stored under a prefix."""
    return trees.from_paths({path: named[f"{of}.{path}"] for path in trees.paths(like)}, like)


def fill(params: Params, values: Params) -> None:
    """Copies values into params, whose tensors stay the same."""
    trees.map(lambda leaf, value: leaf.copy_(value), params, values)


def _named(of: str, tree: Tree) -> dict[str, Tensor]:
    return {f"{of}.{path}": leaf for path, leaf in trees.paths(tree).items()}
