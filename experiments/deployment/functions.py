"""Functions of rows, which a finished run is exported as: pure functions of its parameters and state."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple, get_args

import torch
from torch import Tensor
from torch.func import vmap

from jensen.core.trees import Tree
from jensen.experiments.deployment.manifest import Argument, Dtype, Sequences
from jensen.experiments.run.errors import InputError, shown

KEY = Argument("key", "int64", (3,), "[seed, 0, i] for row i, which keys.at(keys.key(seed), datum=i) is")


@dataclass(frozen=True)
class Rows:
    """A function (tree, *inputs) -> outputs, one row of each per datum; the tree is {"params": ..., "state": ...}."""

    about: str
    call: Callable[..., Any]
    inputs: tuple[Argument, ...]
    outputs: tuple[tuple[str, str], ...]  # the name of each, and what it is


class Functions(NamedTuple):
    """What a run is exported as, and what it is not, with the reason."""

    tree: Tree
    rows: dict[str, Rows]
    left_out: dict[str, str]
    sequences: Sequences | None = None
    files: Mapping[str, str] = MappingProxyType({})  # of text, by name, that travel along

    def only(self, names: tuple[str, ...]) -> "Functions":
        """Those of the names. InputError for one that there is not."""
        for name in names:
            if name not in self.rows:
                why = self.left_out.get(name, f"there are {', '.join(self.rows)}")
                raise InputError(f"expected --only of functions that there are, got {shown(name)}: {why}")
        return self._replace(rows={name: self.rows[name] for name in names})


def by_row(call: Callable[..., Any]) -> Callable[..., Any]:
    """A function of rows, of a function of one row without its axis."""

    def rows(tree: Tree, *inputs: Tensor) -> Any:
        return vmap(lambda *row: call(tree, *row))(*inputs)

    return rows


def dtype_of(x: Tensor) -> Dtype:
    """As a manifest has it. TypeError for one that no export has."""
    for name in get_args(Dtype):
        if x.dtype == getattr(torch, name):
            return name
    raise TypeError(f"expected float32, float64 or int64, got {x.dtype}: convert it")
