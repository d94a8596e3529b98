"""Where a step went wrong: the first batch, parameter, term, datum or gradient that is not finite."""

import torch
from torch import Tensor

from jensen.core import keys, trees
from jensen.core.contracts import Key
from jensen.core.trees import Params, Tree
from jensen.experiments.run.program import Batch, Turn, Weights
from jensen.experiments.run.step import unclipped


def explain(turn: Turn, params: Params, state: Tree, batch: Batch, key: Key, step: int, weights: Weights) -> str:
    """One line on the step, computed again eagerly and term by term."""
    return f"step {step}: {_found(turn, params, state, batch, keys.fold_in(key, step), weights)}"


def _found(turn: Turn, params: Params, state: Tree, batch: Batch, key: Key, weights: Weights) -> str:
    out = turn.loss(params, state, batch, key, weights)
    lines = (_term(out.terms, batch), not_finite("parameter", params), not_finite("state", state))
    if any(lines):
        return "; ".join(filter(None, lines))
    slopes, new, *_ = unclipped(turn)(params, state, batch, key, weights)
    for what, tree in (("gradient of", slopes), ("new state", new)):
        if line := not_finite(what, tree):
            return line
    return "the loss, or the norm of a gradient or of the state, overflows"


def _term(terms: dict[str, Tensor], batch: Batch) -> str:
    """The first term that is not finite, and the place of its first such datum in the training data."""
    places = batch.get("datum") if isinstance(batch, dict) else None
    for name, term in terms.items():
        bad = ~torch.isfinite(term)
        if bad.any():
            row = int(bad.nonzero()[0, 0])
            where = f"row {row} of the batch"
            if isinstance(places, Tensor) and len(places) == len(term):
                where = f"datum {int(places[row])} ({where}"
                return f"the term {name} is {term[row].item()} at {where}, {int(bad.sum())} of {len(bad)} data)"
            return f"the term {name} is {term[row].item()} at {where} ({int(bad.sum())} of {len(bad)} data)"
    return ""


def not_finite(what: str, tree: Tree) -> str:
    """The first leaf of a tree that is not finite, in words; "" where all are."""
    for path, leaf in trees.paths(tree).items():
        if leaf.is_floating_point() and not leaf.isfinite().all():
            return f"the {what} {path} is not finite"
    return ""
