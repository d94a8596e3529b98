"""One step: the gradient of a turn's loss in its groups, with the numbers that describe it, as a pure function."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.func import grad_and_value

from jensen.core import keys, trees
from jensen.core.contracts import Key
from jensen.core.trees import Params, Tree
from jensen.experiments.data.batches import chunks, length
from jensen.experiments.run import shards
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.program import Batch, Out, Turn, Weights
from jensen.experiments.run.ranks import Ranks

Found = tuple[Params, Tree, dict[str, Tensor]]
"""gradients by group, new state, loss and terms' means by name"""
Gradient = Callable[..., tuple[Params, Tree, tuple[str, ...], Tensor]]
"""(params, state, batch, key, step, weights) -> gradients by group, new state, names of the numbers, numbers"""


def gradient(turn: Turn, clip: float | None) -> Gradient:
    """Of one batch: numbers are the loss, the terms' means, and the gradient's norm in each group before clipping."""
    raw = unclipped(turn)

    def step(
        params: Params, state: Tree, batch: Batch, key: Key, step: Tensor, weights: Weights
    ) -> tuple[Params, Tree, tuple[str, ...], Tensor]:
        slopes, new, terms, _ = raw(params, state, batch, keys.fold_in(key, step), weights)
        return clipped(slopes, new, terms, clip)

    return step


def accumulated(
    turn: Turn, clip: float | None, parts: int, ranks: Ranks, compiled: Callable[[Callable], Callable]
) -> Gradient:
    """The same, by each rank's part of the batch, in `parts` gradients of a part of that: draws are the whole's.

    Data of different parts do not meet. Every part finds the state that the step began with. The new one is what the
    turn's `follow` makes of what all parts have seen; without it, what they leave is averaged: exactly the whole
    batch's state where that is linear in means over data, such as a running average.
    """
    each, finish = compiled(_of_part(turn)), compiled(_joined(turn))
    taken: Counter[int] = Counter()

    def step(
        params: Params, state: Tree, batch: Batch, key: Key, step: Tensor, weights: Weights
    ) -> tuple[Params, Tree, tuple[str, ...], Tensor]:
        key, n = keys.fold_in(key, step), _one_length(batch)
        start, stop = ranks.part(n)
        weight = 1.0 if stop > start else 0.0  # a rank without data computes those of a datum, which count for nothing
        own = trees.map(lambda t: t[start : max(stop, start + 1)], batch)
        plain, every = shards.whole(params, ranks), []
        total: Found | None = None
        for first, part in chunks(own, -(-length(own) // parts)):
            found, seen = each(plain, state, part, keys.at(key, datum=start + first), weights)
            share = trees.map(partial(_share, weight * length(part) / n), found)
            total = share if total is None else trees.map(_sum, total, share)
            every.append(seen)
        seen = trees.map(lambda *rows: torch.cat(rows)[: stop - start], *every)
        assert total is not None
        taken[n] += 1
        if taken[n] <= 2:  # of a size that is new ranks have compiled `each`, and then `finish`
            ranks.meet()
        mean, squares = _summed(total, params, ranks)
        slopes, *rest = finish(mean, state, ranks.gather(seen, n), key, clip, squares)
        if shards.is_cut(params):
            slopes = shards.parts(slopes, {group: params[group] for group in slopes})
        return slopes, *rest

    return step


def unclipped(turn: Turn) -> Callable[..., tuple[Params, Tree, dict[str, Tensor], Tree]]:
    """(params, state, batch, key, weights) -> gradients, new state, loss and terms' means by name, what was seen."""

    def step(
        params: Params, state: Tree, batch: Batch, key: Key, weights: Weights
    ) -> tuple[Params, Tree, dict[str, Tensor], Tree]:
        others = {name: trees.stop(group) for name, group in params.items() if name not in turn.groups}

        def loss(own: Params) -> tuple[Tensor, tuple[dict[str, Tensor], Tree, Tree]]:
            out: Out = turn.loss({**others, **own}, state, batch, key, weights)
            means = {name: term.detach().mean() for name, term in out.terms.items()}
            return out.loss, (means, trees.stop(out.state), trees.stop(out.seen))

        own = {name: params[name] for name in turn.groups}
        slopes, (value, (means, new, seen)) = grad_and_value(loss, has_aux=True)(own)
        return slopes, new, {"loss": value.detach(), **means}, seen

    return step


def clipped(
    slopes: Params, new: Tree, terms: dict[str, Tensor], clip: float | None, squares: dict[str, Tensor] | None = None
) -> tuple[Params, Tree, tuple[str, ...], Tensor]:
    """Gradients scaled down to a norm of `clip` in each group, and the numbers: a state's norm among them.

    `squares`: the groups' squared norms, where these are parts of the gradients.
    """
    if squares is None:
        norms = {group: trees.norm(slope) for group, slope in slopes.items()}
    else:
        norms = {group: square.sqrt() for group, square in squares.items()}
    if clip is not None:
        slopes = {group: _scaled(slope, (clip / norms[group]).clamp_max(1.0)) for group, slope in slopes.items()}
    numbers = {**terms, **{f"norm/{group}": norm for group, norm in norms.items()}}
    moved = [t for t in trees.leaves(new) if t.is_floating_point()]
    if moved:
        numbers["norm/state"] = trees.norm(moved)
    return slopes, new, tuple(numbers), torch.stack([t.to(torch.float64) for t in numbers.values()])


def _of_part(turn: Turn) -> Callable[..., tuple[Found, Tree]]:
    """What parts have a mean of, and what is joined, which a turn without `follow` has none of."""
    raw = unclipped(turn)

    def step(params: Params, state: Tree, part: Batch, key: Key, weights: Weights) -> tuple[Any, Tree]:
        slopes, new, terms, seen = raw(params, state, part, key, weights)
        return ((slopes, new, terms), ()) if turn.follow is None else ((slopes, (), terms), seen)

    return step


def _joined(turn: Turn) -> Callable[..., tuple[Params, Tree, tuple[str, ...], Tensor]]:
    """(the parts' mean, the state they found, what they have seen, key, clip, squares) -> what `clipped` gives."""

    def step(
        mean: Found, state: Tree, seen: Tree, key: Key, clip: float | None, squares: dict[str, Tensor] | None
    ) -> tuple[Params, Tree, tuple[str, ...], Tensor]:
        slopes, new, terms = mean
        if turn.follow is not None:
            new, numbers = turn.follow(state, seen, key)
            terms = {**terms, **numbers}
        return clipped(slopes, new, terms, clip, squares)

    return step


def _summed(total: Found, params: Params, ranks: Ranks) -> tuple[Found, dict[str, Tensor] | None]:
    """All ranks' added up, and the squares of the gradients' norms where ranks have parts of the parameters.

    Of such gradients each rank keeps its own part.
    """
    if not shards.is_cut(params):
        return ranks.sum(total), None
    slopes, *rest = total
    slopes = shards.summed(slopes, {group: params[group] for group in slopes}, ranks)
    new, terms, squares = ranks.sum((*rest, shards.squares(slopes, ranks)))
    return (slopes, new, terms), squares


def _one_length(batch: Batch) -> int:
    """InputError for sources that have not as many data, whose parts would weigh them anew."""
    lengths = sorted({len(t) for t in trees.leaves(batch)})
    if len(lengths) > 1:
        raise InputError(
            f"a batch of sources of {' and '.join(map(str, lengths))} data is not cut into parts: leave out "
            "--accumulate, and train in one process"
        )
    return lengths[0]


def _share(share: float, t: Tensor) -> Tensor:
    return share * t if t.is_floating_point() else t


def _sum(total: Tensor, t: Tensor) -> Tensor:
    return total + t if t.is_floating_point() else t  # of counts there is no mean: they are the last part's


def _scaled(tree: Tree, factor: Tensor) -> Tree:
    return trees.map(lambda t: (t * factor).to(t.dtype), tree)
