"""Laws of training programs: pure losses, state of one structure, batches of a key and a step, resuming bit for bit.

The shell, its plotting and its optimisers are imported by the laws that need them: other kinds go without.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from jensen.core import keys, trees
from jensen.core.trees import Params, Tree
from jensen.laws._law import Subject, law, spoiled

if TYPE_CHECKING:
    from jensen.experiments.run.program import Program

KEY = keys.key(26)


@dataclass(frozen=True)
class Location:
    """Fits the mean of data (n, 2), counting its steps in `state`: a program for planted bugs."""

    schedules: dict[str, Any] = field(default_factory=dict)
    epoch: int = 2

    @property
    def turns(self) -> tuple[Any, ...]:
        from jensen.experiments.run.program import Turn

        return (Turn(self.loss, ("location",)),)

    @property
    def optimisers(self) -> dict[str, Any]:
        from jensen.experiments.run.optimisers import Optimiser

        return {"location": Optimiser(lr=0.1)}

    def init(self, key: Tensor, data: Tensor) -> tuple[Params, Tree]:
        return {"location": {"mean": keys.normal(key, (2,))}}, {"steps": torch.zeros(())}

    def batch(self, data: Tensor, key: Tensor, step: int) -> Tree:
        rows = keys.bits(keys.fold_in(key, step), (4,)) % len(data)
        return {"datum": rows, "data": data[rows]}

    def loss(self, params: Params, state: Tree, batch: Tree, key: Tensor, weights: dict[str, Tensor]) -> Any:
        from jensen.experiments.run.program import Out

        error = (batch["data"] - params["location"]["mean"] - 0.1 * keys.normal(key, (2,))).square().sum(-1)
        return Out(error.mean(), {"error": error}, {"steps": state["steps"] + 1})

    def score(self, params: Params, state: Tree, batch: Tensor, key: Tensor) -> Tensor:
        return -(batch - params["location"]["mean"]).square().sum(-1)

    def figures(self, params: Params, state: Tree, data: Tensor, key: Tensor) -> dict[str, Any]:
        return {}

    def report(self, params: Params, state: Tree, data: Tensor, key: Tensor) -> list[Any]:
        return []


DATA = keys.normal(keys.key(27), (10, 2))


def of(**methods: Any) -> list[Subject]:
    return [Subject(spoiled(Location(), **methods), DATA)]


def out_of(program: "Program", data: Tree, turn: int = 0) -> tuple[Any, Params, Tree]:
    """A turn's loss at step 0, the parameters and the state."""
    params, state = program.init(KEY, data)
    weights = {name: torch.tensor(f(0)) for name, f in program.schedules.items()}
    batch = program.batch(data, KEY, 0)
    return program.turns[turn].loss(params, state, batch, keys.fold_in(KEY, 1), weights), params, state


def same(one: Tree, other: Tree) -> bool:
    return all(torch.equal(a, b) for a, b in zip(trees.leaves(one), trees.leaves(other), strict=True))


@law("program", planted=lambda: of(turns=property(lambda p: (Location().turns[0]._replace(groups=("scale",)),))))
def groups_are_the_parameters(program: "Program", data: Tree) -> None:
    """The turns' groups are the top-level keys of params, and each has an optimiser."""
    params, _ = program.init(KEY, data)
    groups = {group for turn in program.turns for group in turn.groups}
    assert groups == set(params), f"the turns follow {sorted(groups)}, the parameters are {sorted(params)}"
    assert set(program.optimisers) == set(params), (
        f"optimisers of {sorted(program.optimisers)}, expected of {sorted(params)}"
    )


def _summed(program: Location, *given: Any) -> Any:
    out = Location.loss(program, *given)
    return out._replace(terms={"error": out.terms["error"].mean()})


def _infinite(program: Location, *given: Any) -> Any:
    out = Location.loss(program, *given)
    return out._replace(terms={"error": out.terms["error"] / 0})


@law("program", planted=lambda: [*of(loss=_summed), *of(loss=_infinite)])
def losses_are_scalars_of_terms_per_datum(program: "Program", data: Tree) -> None:
    """Each turn's loss is 0-d and finite, its terms (n,) and finite, for n data of the batch."""
    n = len(trees.leaves(program.batch(data, KEY, 0))[0])
    for i in range(len(program.turns)):
        out, _, _ = out_of(program, data, i)
        assert out.loss.shape == (), f"expected a loss (), got {tuple(out.loss.shape)}"
        assert torch.isfinite(out.loss), f"the loss is {out.loss}"
        for name, term in out.terms.items():
            assert term.shape == (n,), f"expected {name} ({n},), a number per datum, got {tuple(term.shape)}"
            assert torch.isfinite(term).all(), f"{name} is not finite"


def _random(program: Location, *given: Any) -> Any:
    out = Location.loss(program, *given)
    return out._replace(loss=out.loss + torch.rand(()))


def _in_place(program: Location, params: Params, state: Tree, *given: Any) -> Any:
    state["steps"] += 1
    return Location.loss(program, params, state, *given)


@law("program", planted=lambda: [*of(loss=_random), *of(loss=_in_place)])
def losses_are_pure(program: "Program", data: Tree) -> None:
    """The same arguments give the same bits, and are not written to."""
    for i in range(len(program.turns)):
        (one, params, state), (other, _, _) = out_of(program, data, i), out_of(program, data, i)
        assert same((one.loss, one.terms, one.state), (other.loss, other.terms, other.state)), (
            "a loss is not repeatable"
        )
        assert same((params, state), program.init(KEY, data)), "a loss writes to its parameters or its state"


def _grows(program: Location, *given: Any) -> Any:
    out = Location.loss(program, *given)
    return out._replace(state={**out.state, "last": out.loss})


@law("program", planted=lambda: of(loss=_grows))
def state_keeps_its_structure(program: "Program", data: Tree) -> None:
    """The new state has the old one's paths, shapes and types: what a checkpoint holds does not change."""
    for i in range(len(program.turns)):
        out, _, state = out_of(program, data, i)
        before, after = ({p: (t.shape, t.dtype) for p, t in trees.paths(s).items()} for s in (state, out.state))
        assert before == after, f"the state was {before}, and is {after}"


def _shuffled(program: Location, data: Tensor, key: Tensor, step: int) -> Tree:
    rows = torch.randperm(len(data))[:4]
    return {"datum": rows, "data": data[rows]}


def _first_rows(program: Location, data: Tensor, key: Tensor, step: int) -> Tree:
    return {"datum": torch.arange(4), "data": data[:4]}


@law("program", planted=lambda: [*of(batch=_shuffled), *of(batch=_first_rows)])
def batches_are_of_key_and_step(program: "Program", data: Tree) -> None:
    """batch(data, key, step) is the same twice, and another at another step where data are more than a batch."""
    batch = program.batch(data, KEY, 0)
    assert same(batch, program.batch(data, KEY, 0)), "the same key and step give another batch"
    if len(trees.leaves(data)[0]) > len(trees.leaves(batch)[0]):
        assert not all(same(batch, program.batch(data, KEY, step)) for step in (1, 2)), "every step has the same batch"


@law("program", planted=lambda: of(score=lambda program, params, state, batch, key: batch.sum()))
def scores_are_per_datum(program: "Program", data: Tree) -> None:
    """score of n data is (n,), finite."""
    params, state = program.init(KEY, data)
    score, n = program.score(params, state, data, KEY), len(trees.leaves(data)[0])
    assert score.shape == (n,), f"expected a score ({n},), got {tuple(score.shape)}"
    assert torch.isfinite(score).all(), score


class Remembers(Location):
    """Counts its batches outside of `state`."""

    seen: list[int] = []  # noqa: RUF012

    def batch(self, data: Tensor, key: Tensor, step: int) -> Tree:
        self.seen.append(step)
        return super().batch(data, key, len(self.seen) // 2)


@law("program", planted=lambda: [Subject(Remembers(), DATA)])
def resumed_runs_have_the_same_bits(program: "Program", data: Tree) -> None:
    """3 steps, and 3 more from their checkpoint, give the parameters, state and progress of 6."""
    from jensen.experiments.run.checkpoints import digest
    from jensen.experiments.run.folder import created, resumed
    from jensen.experiments.run.loop import fit
    from jensen.experiments.run.settings import Run

    n, known = len(trees.leaves(program.batch(data, KEY, 0))[0]), digest(data)

    def run(steps: int, path: Path, entered: Callable[..., Any] = created) -> Any:
        settings = Run(steps=steps, batch=n, lr_final=1.0, compile=False, log_every=2, checkpoint_every=3)
        with entered(path, settings, known) as folder:
            return fit(program, settings, data, data, folder)

    with tempfile.TemporaryDirectory() as place:
        whole = run(6, Path(place, "whole"))
        run(3, Path(place, "halves"))
        halves = run(6, Path(place, "halves"), resumed)
    assert same((whole.params, whole.state), (halves.params, halves.state)), "3 + 3 steps are not 6"
