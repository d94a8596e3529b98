"""Parameters of which each rank keeps a part: DTensors, which are whole for a step alone.

    params = cut(params, ranks)           # each leaf along its longest axis
    plain = whole(params, ranks)          # by one gather; a tree of plain tensors is whole as it is
    slopes = summed(slopes, params, ranks)  # of what the ranks' gradients come to, this rank's parts, by one reduction

An optimiser's moments, and averages, are elementwise functions of parameters, and so are cut as these are. Of R ranks
each has at most ceil(l / R) / l of a leaf whose longest axis is l; a number alone is every rank's.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple, TypeGuard

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F

from jensen.core import trees
from jensen.core.trees import Params, Tree
from jensen.experiments.run.ranks import Ranks, widest

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor


class Bytes(NamedTuple):
    """Of tensors: how many this rank keeps, and how many there are."""

    own: int
    all: int


def cut(tree: Tree, ranks: Ranks) -> Tree:
    """A tree that every rank has whole, in parts; of one process it stays as it is."""
    if ranks.size == 1:
        return tree
    from torch.distributed.device_mesh import DeviceMesh
    from torch.distributed.tensor import Replicate, Shard, distribute_tensor

    assert ranks.group is not None
    mesh = DeviceMesh.from_group(ranks.group, trees.leaves(tree)[0].device.type)

    def part(t: Tensor) -> Tensor:
        placement = Shard(_longest(t)) if t.ndim else Replicate()
        return distribute_tensor(t, mesh, [placement], src_data_rank=None)

    return trees.map(part, tree)


def like(t: Tensor, plain: Tensor) -> Tensor:
    """Of a tensor that every rank has whole, what t is of its own: this rank's part, or all of it; on t's device."""
    plain = plain.to(t.device)
    if not _is_part(t):
        return plain
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(plain, t.device_mesh, t.placements, src_data_rank=None)


def is_cut(tree: Tree) -> bool:
    """Whether ranks have parts of it."""
    return any(map(_is_part, trees.leaves(tree)))


def whole(tree: Tree, ranks: Ranks) -> Tree:
    """Plain tensors, of the same bits at every rank."""
    if not is_cut(tree):
        return tree
    leaves = list(filter(_is_part, trees.leaves(tree)))
    rows, wide = [_row(t, ranks.size) for t in leaves], widest(leaves, leaves[0].dtype)
    own = torch.cat([row.to(wide) for row in rows])
    every = own.new_empty(ranks.size, len(own))
    ranks.met(lambda: dist.all_gather([*every.unbind()], own, ranks.group))
    found = iter(every.split([*map(len, rows)], 1))
    return trees.map(lambda t: _joined(next(found), t.shape, _longest(t)).to(t.dtype) if _is_part(t) else t, tree)


def summed(slopes: Tree, params: Tree, ranks: Ranks) -> Tree:
    """The ranks' gradients added up, in float32 at least: of each leaf this rank's part, as a plain tensor."""
    leaves = trees.leaves(slopes)
    blocks, wide = [_blocks(t, ranks.size) for t in leaves], widest(leaves)
    every = torch.cat([block.to(wide) for block in blocks], 1)
    own = torch.empty_like(every[0])
    ranks.met(lambda: dist.reduce_scatter(own, [*every.unbind()], group=ranks.group))
    found = iter(own.split([block.shape[1] for block in blocks]))
    return trees.map(lambda t, p: _joined(next(found), p.to_local().shape, _longest(p)).to(t.dtype), slopes, params)


def squares(slopes: Params, ranks: Ranks) -> dict[str, Tensor]:
    """Of each group's parts the squared norm, whose sum over ranks is that of the whole."""

    def once(t: Tensor) -> Tensor:
        return t if t.ndim or ranks.first else torch.zeros_like(t)

    return {group: trees.norm(trees.map(once, slope)).square() for group, slope in slopes.items()}


def parts(own: Tree, params: Tree) -> Tree:
    """This rank's parts, which `summed` gives, as the parameters are kept."""
    from torch.distributed.tensor import DTensor

    def part(t: Tensor, p: "DTensor") -> Tensor:
        return DTensor.from_local(t, p.device_mesh, p.placements, run_check=False, shape=p.shape, stride=p.stride())

    return trees.map(part, own, params)


def filed(named: Mapping[str, Tensor], ranks: Ranks) -> dict[str, Tensor]:
    """Every tensor whole, on the CPU of the first rank; one after another, for a device may not have room for all."""
    each = ((name, whole(t, ranks)) for name, t in named.items())
    return {name: t.cpu() for name, t in each if ranks.first}


def kept(tensors: Iterable[Tensor]) -> Bytes:
    """What they take of memory."""
    own = total = 0
    for t in tensors:
        own += (t.to_local() if _is_part(t) else t).untyped_storage().nbytes()
        total += t.numel() * t.element_size()
    return Bytes(own, total)


def _is_part(t: Tensor) -> "TypeGuard[DTensor]":
    return hasattr(t, "placements")


def _longest(t: Tensor) -> int:
    return max(range(t.ndim), key=lambda axis: t.shape[axis], default=0)


def _rows(t: Tensor, axis: int) -> Tensor:
    """(l, m): of an axis its places, with the others' numbers."""
    return torch.atleast_1d(t).movedim(axis, 0).unsqueeze(-1).flatten(1)


def _blocks(t: Tensor, size: int) -> Tensor:
    """(size, m): the parts of a whole leaf, filled up with zeros to one length."""
    if t.ndim == 0:
        return t.expand(size, 1)
    rows = _rows(t, _longest(t))
    return F.pad(rows, (0, 0, 0, -len(rows) % size)).reshape(size, -1)


def _row(t: "DTensor", size: int) -> Tensor:
    """(m,): this rank's of the same."""
    axis = _longest(t)
    rows, most = _rows(t.to_local(), axis), -(-t.shape[axis] // size) if t.ndim else 1
    return F.pad(rows, (0, 0, 0, most - len(rows))).reshape(-1)


def _joined(rows: Tensor, shape: torch.Size, axis: int) -> Tensor:
    """A tensor of this shape from its numbers in the order of that axis, with more behind them."""
    first = (*shape[axis : axis + 1], *shape[:axis], *shape[axis + 1 :])
    own = rows.reshape(-1)[: shape.numel()].reshape(first).movedim(0, axis)
    return own.clone(memory_format=torch.contiguous_format)  # in memory of its own
