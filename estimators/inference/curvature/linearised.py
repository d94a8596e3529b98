"""A network near its parameters: outputs and their Jacobian in those of its parameters that are random."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import jacrev, vmap

from jensen.core import trees
from jensen.core.checks import check_dtype, check_floating, check_function, check_tensor, described
from jensen.core.trees import Params, Static, Tree

Network: TypeAlias = Callable[[Tree, Tensor], Tensor]  # (parameters, x (n, ...)) -> (n, c), each datum by itself
ELEMENTS = 2**24  # of Jacobians in memory at a time
SAME = 1e-3  # how far an output may be off, as a share of the largest
TOGETHER = 256  # data, where each takes little


class Part(NamedTuple):
    """A tensor's path and shape."""

    path: str
    shape: tuple[int, ...]

    @property
    def rows(self) -> int:
        return (*self.shape, 1)[0]

    @property
    def columns(self) -> int:
        return math.prod(self.shape[1:])


@dataclass(frozen=True)
class Layout:
    """Named tensors as one vector: groups of them one after another, those of a group side by side in columns.

    A layer's weight (o, i) and bias (o,) are one matrix (o, i + 1).
    """

    groups: tuple[tuple[Part, ...], ...]

    def flat(self, named: dict[str, Tensor]) -> Float[Tensor, "... p"]:
        """Of tensors (..., *shape)."""
        return torch.cat([self._matrix(group, named).flatten(-2) for group in self.groups], -1)

    def matrices(self, vector: Float[Tensor, "... p"]) -> list[Float[Tensor, "... o i"]]:
        """One of each group."""
        sizes = [sum(part.rows * part.columns for part in group) for group in self.groups]
        parts = zip(self.groups, vector.split(sizes, -1), strict=True)
        return [each.unflatten(-1, (group[0].rows, -1)) for group, each in parts]

    def named(self, vector: Float[Tensor, "... p"]) -> dict[str, Tensor]:
        """The inverse of `flat`."""
        found, lead = {}, vector.shape[:-1]
        for group, matrix in zip(self.groups, self.matrices(vector), strict=True):
            sides = matrix.split([part.columns for part in group], -1)
            found |= {part.path: t.reshape(*lead, *part.shape) for part, t in zip(group, sides, strict=True)}
        return found

    def _matrix(self, group: tuple[Part, ...], named: dict[str, Tensor]) -> Float[Tensor, "... o i"]:
        lead = named[group[0].path].shape[: named[group[0].path].ndim - len(group[0].shape)]
        return torch.cat([named[part.path].reshape(*lead, part.rows, part.columns) for part in group], -1)


class Linearised(NamedTuple):
    """A network at its parameters, of which those in the layout are random, by their dotted paths."""

    network: Static[Network]
    parameters: Params
    layout: Static[Layout]

    @classmethod
    def of(cls, network: Network, parameters: Params, only: Sequence[str] = ()) -> "Linearised":
        """All parameters, or only those whose path is one of these or begins with it, such as ("2",) for a layer."""
        check_function("network", network, "mlp.apply")
        if isinstance(network, torch.nn.Module):
            raise TypeError(
                "expected network, a function of (parameters, x), got a torch.nn.Module: pass "
                "lambda p, x: torch.func.functional_call(module, p, (x,)) and dict(module.named_parameters())"
            )
        if not isinstance(parameters, dict) or not parameters:
            raise TypeError(
                f"expected parameters, a dict of tensors, got {described(parameters)}: pass what init gave, trained"
            )
        every = trees.paths(parameters)
        for path, leaf in every.items():
            check_floating(f"parameters {path}", leaf)
            if leaf.dtype not in (torch.float32, torch.float64):
                raise TypeError(f"expected parameters {path} in float32 or float64, got {leaf.dtype}: convert them")
            check_dtype(f"parameters {path}", leaf, next(iter(every.values())), "the first of them")
            if not leaf.isfinite().all():
                raise ValueError(f"expected parameters finite, got NaN or inf in {path}: train again")
        groups = tuple((Part(path, tuple(every[path].shape)),) for path in _chosen(every, only))
        return cls(Static(network), trees.stop(parameters), Static(Layout(groups)))

    def random(self) -> dict[str, Tensor]:
        """The random parameters by path."""
        every = trees.paths(self.parameters)
        return {part.path: every[part.path] for group in self.layout.value.groups for part in group}

    def vector(self) -> Float[Tensor, " p"]:
        """The same in the layout's order."""
        return self.layout.value.flat(self.random())

    def outputs(self, named: dict[str, Tensor], x: Tensor) -> Float[Tensor, "n c"]:
        """Of parameters that are these where named."""
        filled = trees.from_paths({**trees.paths(self.parameters), **named}, self.parameters)
        found = self.network.value(filled, x)
        check_floating("network(parameters, x)", found, "n c", "one row per datum, and a column for each output")
        if len(found) != len(x):
            raise ValueError(
                f"expected network(parameters, x) ({len(x)}, c), got {tuple(found.shape)}: one row per datum"
            )
        return found

    def check_alone(self, x: Tensor) -> None:
        """ValueError where a datum's outputs change with another beside it, as in batch normalisation by the batch."""
        alone, beside = self.outputs({}, x[:1])[0], self.outputs({}, x[:2])[0]
        if (alone - beside).abs().amax() > SAME * (alone.abs().amax() + SAME):
            raise ValueError(
                "expected a network of each datum by itself, got outputs of the first that change with the second, or "
                "from call to call: normalise by running averages, and leave out dropout"
            )

    def jacobian(self, x: Tensor) -> Float[Tensor, "n c p"]:
        """df / d parameters of each datum, in the layout's order."""

        def one(named: dict[str, Tensor], x: Tensor) -> Tensor:
            return self.outputs(named, x[None])[0]

        return self.layout.value.flat(vmap(jacrev(one), (None, 0))(self.random(), x))


def _chosen(every: dict[str, Tensor], only: Sequence[str]) -> list[str]:
    """The paths that are one of these or begin with one. ValueError for one that no path begins with."""
    if isinstance(only, str) or not isinstance(only, Sequence):
        raise TypeError(f'expected only, a tuple of paths, got {described(only)}: pass ("2",) for a layer, () for all')
    found = []
    for start in only:
        mine = [path for path in every if begins(path, start)]
        if not mine:
            raise ValueError(
                f"expected only of paths {', '.join(every)} or how they begin, got {start!r}: name a layer"
            )
        found += mine
    return [path for path in every if path in found or not only]


def begins(path: str, start: str) -> bool:
    """Whether a dotted path is one, or begins with it."""
    return path == start or path.startswith(f"{start}.")


def check_data(x: Tensor) -> None:
    """TypeError and ValueError for no data."""
    check_tensor("x", x, "n ...", "a row for each datum")
    if not len(x):
        raise ValueError(f"expected x of one datum or more, got {tuple(x.shape)}: add data")


def chunks(n: int, elements: int) -> Iterator[slice]:
    """Of n data, so many that what each has of elements fits in memory."""
    step = max(1, ELEMENTS // max(elements, 1))
    return (slice(low, low + step) for low in range(0, n, step))
