"""Arithmetic on trees: nested dicts, tuples and NamedTuples of tensors. Parameters and distributions are trees."""

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from jensen.core.checks import check_floating, check_function, described

Tree: TypeAlias = Any
Params: TypeAlias = dict[str, Tree]  # nested dicts of tensors
T = TypeVar("T")

SHOWN = 5  # keys in one message


@dataclass(frozen=True)
class Static(Generic[T]):
    """A non-tensor part of a tree, such as a function or a size: no leaf, and unchanged by `map`."""

    value: T


pytree.register_pytree_node(
    Static,
    lambda static: ([], static.value),
    lambda _, value: Static(value),
    flatten_with_keys_fn=lambda static: ([], static.value),
)


def map(f: Callable[..., Any], tree: Tree, *rest: Tree) -> Tree:
    """f at every leaf; trees beyond the first must have its structure."""
    check_function("f", f, "torch.neg")
    return pytree.tree_map(f, tree, *rest)


def stop(tree: Tree) -> Tree:
    """Every tensor detached; other leaves unchanged."""
    return map(lambda leaf: leaf.detach() if isinstance(leaf, Tensor) else leaf, tree)


def leaves(tree: Tree) -> list[Tensor]:
    """The tensors of a tree, in the order of its structure."""
    return pytree.tree_leaves(tree)


def set_grads(params: Tree, grads: Tree) -> None:
    """leaf.grad = its gradient, for every leaf of params, as an optimiser over `leaves(params)` expects it.

        optimiser = torch.optim.Adam(trees.leaves(params))
        trees.set_grads(params, torch.func.grad(loss)(params))
        optimiser.step()

    Gradients are detached. Missing, unknown and misshapen ones raise, as in `from_paths`.
    """
    for leaf, gradient in zip(leaves(params), leaves(from_paths(paths(grads), params, "gradients")), strict=True):
        leaf.grad = torch.empty_like(leaf).copy_(gradient.detach())  # a fused optimiser pairs places in memory


def norm(tree: Tree) -> Tensor:
    """The Euclidean norm of all leaves together, a 0-d tensor."""
    rows = [torch.linalg.vector_norm(torch.atleast_1d(t), dim=-1).reshape(-1) for t in _tensors(leaves(tree))]
    return torch.linalg.vector_norm(torch.cat(rows))  # by rows: cores share them


def ravel(tree: Tree) -> tuple[Tensor, Callable[[Tensor], Tree]]:
    """All leaves as one vector (p,), and the function that puts such a vector back into the tree's shape."""
    flat, spec = pytree.tree_flatten(tree)
    shapes, sizes = [t.shape for t in _tensors(flat)], [t.numel() for t in flat]

    def unravel(vector: Tensor) -> Tree:
        check_floating("vector", vector, str(sum(sizes)), "one number for each of the tree's")
        parts = vector.split(sizes)
        return pytree.tree_unflatten([v.reshape(s) for v, s in zip(parts, shapes, strict=True)], spec)

    return torch.cat([t.reshape(-1) for t in flat]), unravel


def paths(tree: Tree) -> dict[str, Tensor]:
    """Each leaf under its dotted path, as in ``{"encoder.0.weight": ...}``."""
    flat, _ = pytree.tree_flatten_with_path(tree)
    return {".".join(_name(step) for step in path): leaf for path, leaf in flat}


def from_paths(named: Mapping[str, Tensor], like: Tree, what: str = "parameters") -> Tree:
    """The inverse of `paths`, with the structure of `like`; missing, unknown and misshapen leaves raise."""
    expected = paths(like)
    check_keys(named, expected, what)
    for path, leaf in expected.items():
        if named[path].shape != leaf.shape:
            raise ValueError(
                f"expected {path} {tuple(leaf.shape)}, got {tuple(named[path].shape)}: "
                f"the {what} are those of a model of another size"
            )
    return pytree.tree_unflatten([named[path] for path in expected], pytree.tree_structure(like))


def check_keys(params: Mapping[str, Any], expected: Iterable[str], what: str = "parameters") -> None:
    """Raises a KeyError that names missing and unknown keys, some of many, and for each the nearest of the others."""
    if not isinstance(params, Mapping):
        raise TypeError(
            f"expected {what}, a dict with the keys {', '.join(expected)}, got {described(params)}: pass what init gave"
        )
    expected = list(expected)
    missing = [k for k in expected if k not in params]
    unknown = [k for k in params if k not in expected]
    if not missing and not unknown:
        return
    parts = [f"missing {k!r}{_nearest(k, unknown, 'did you write')}" for k in missing[:SHOWN]]
    parts += [f"{len(missing) - SHOWN} more are missing"] if len(missing) > SHOWN else []
    parts += [f"unknown {k!r}{_nearest(k, expected, 'the nearest is')}" for k in unknown[:SHOWN]]
    parts += [f"{len(unknown) - SHOWN} more are unknown"] if len(unknown) > SHOWN else []
    raise KeyError(f"{what} do not fit: {'; '.join(parts)}")


def _tensors(flat: list[Any]) -> list[Tensor]:
    for leaf in flat:
        if not isinstance(leaf, Tensor):
            raise TypeError(f"expected tree, of tensors, got {described(leaf)} in it: wrap what is no tensor in Static")
    if not flat:
        raise ValueError("expected tree, of one tensor or more, got none: an empty tree has no numbers")
    return flat


def _nearest(key: str, candidates: list[str], phrase: str) -> str:
    close = difflib.get_close_matches(key, candidates, n=1)
    return f" ({phrase} {close[0]!r}?)" if close else ""


def _name(step: Any) -> str:
    for attribute in ("key", "idx", "name"):
        if hasattr(step, attribute):
            return str(getattr(step, attribute))
    return str(step)
