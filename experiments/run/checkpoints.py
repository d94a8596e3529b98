"""Checkpoints: tensors by name and where the run stands, in one safetensors file that vouches for every bit of itself.

The file's one metadata entry holds a JSON text (state, config, digest of the data) and the sha256 of that text and of
all tensors. Nothing is unpickled, and nothing is used before the checksum is right.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from jensen.core import trees
from jensen.core.trees import Tree
from jensen.experiments.run import files
from jensen.experiments.run.config import differences, from_json
from jensen.experiments.run.errors import InputError, reason, shown
from jensen.experiments.run.files import Json

if TYPE_CHECKING:
    from _typeshed import DataclassInstance as Settings

ENTRY = "checkpoint"
NO_CHECKPOINT = (  # what reading a file of other content raises
    SafetensorError, ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError,
)  # fmt: skip
NOTHING: Mapping[str, Json] = MappingProxyType({})


class Checkpoint(NamedTuple):
    """What a file holds; a file of weights alone has the defaults for the rest."""

    tensors: Mapping[str, Tensor]
    state: Mapping[str, Json] = NOTHING  # where the run stands
    config: Mapping[str, Json] = NOTHING  # what decides its bits: config.decisive
    data: str = ""  # the digest of its data


def save(path: Path, checkpoint: Checkpoint, onwards: str = files.AGAIN) -> None:
    """Writes the file whole or not at all; the same checkpoint gives the same bytes."""
    # Copies: safetensors takes no two tensors of one memory.
    tensors = {name: t.detach().cpu().contiguous().clone() for name, t in checkpoint.tensors.items()}
    rest = {"config": dict(checkpoint.config), "data": checkpoint.data, "state": dict(checkpoint.state)}
    text = json.dumps(
        rest, sort_keys=True
    )  # with NaN and infinity where the state has them: it must come back as it was
    entry = json.dumps({"checksum": checksum(tensors, text), "content": text})
    files.write_atomically(path, safetensors.torch.save(tensors, {ENTRY: entry}), onwards)


def load(
    path: Path,
    *,
    like: Mapping[str, Tensor] | None = None,
    settings: "Settings | None" = None,
    data: str | None = None,
    cure: str = "restore it, or train again",
) -> Checkpoint:
    """The checkpoint in a file, on the CPU, in memory of its own.

    Args:
        path: the file, which is opened once.
        like: tensors whose names, shapes and dtypes the stored ones must have.
        settings: those of this run, which the checkpoint's must equal in all that decides the bits.
        data: the digest that the data must have.
        cure: what to do about a file that is refused.

    Raises:
        InputError: one line that names the file, its fault and the cure.
    """
    checkpoint = files.read(path, _parsed, cure)
    if like is not None:
        check_like(path, checkpoint.tensors, like, cure)
    if settings is not None:
        try:
            other = differences(from_json(type(settings), checkpoint.config), settings)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        if other:
            raise InputError(f"{path} is of another run: it {other}")
    if data is not None and data != checkpoint.data:
        raise InputError(f"{path} is of a run on other data than are here now: give it those, or start anew")
    return checkpoint


def checksum(tensors: Mapping[str, Tensor], text: str = "") -> str:
    """The sha256 of a text, and of each tensor's name, dtype, shape and bytes."""
    total = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        t = tensors[name].detach().cpu().contiguous()
        total.update(json.dumps([name, str(t.dtype), list(t.shape)]).encode())
        total.update(t.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


def digest(data: Tree) -> str:
    """The sha256 of a tree of tensors, by which a run knows its data."""
    return checksum(trees.paths(data))


def _parsed(content: bytes) -> Checkpoint:
    """ValueError for whatever is no checkpoint, or is one that does not have its checksum."""
    try:
        tensors = dict(sorted(safetensors.torch.load(content).items()))  # which gives them in no order
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        entry = json.loads(header["__metadata__"][ENTRY])
        right = checksum(tensors, entry["content"]) == entry["checksum"]
        rest = json.loads(entry["content"])
        found = Checkpoint(tensors, rest["state"], rest["config"], rest["data"])
    except NO_CHECKPOINT as error:
        raise ValueError(f"it is no checkpoint: {reason(error)}") from error
    if not right:
        raise ValueError("its checksum is not that of its content")
    if not (isinstance(found.state, dict) and isinstance(found.config, dict) and isinstance(found.data, str)):
        raise ValueError("its state and config are no objects")
    return found


def check_like(path: Path, stored: Mapping[str, Tensor], like: Mapping[str, Tensor], cure: str) -> None:
    """InputError unless names, shapes and dtypes are those of `like`.

    Before anything is copied: an optimiser that is given moments of another shape writes where it may not.
    """
    problems = _wrong(stored, like)
    first = next(problems, None)
    if first is not None:
        more = sum(1 for _ in problems)
        rest = f", and {more} more" if more else ""
        raise InputError(f"{path} does not fit this run ({first}{rest}): {cure}")


def check_finite(path: Path, tensors: Mapping[str, Tensor], cure: str) -> None:
    """InputError for the first tensor that holds NaN or infinity."""
    for name, t in tensors.items():
        if not t.isfinite().all():
            raise InputError(f"{path}: {name} is not finite: {cure}")


def _wrong(stored: Mapping[str, Tensor], like: Mapping[str, Tensor]) -> Iterator[str]:
    for name, t in like.items():
        if name not in stored:
            yield f"{name} is missing"
        elif (stored[name].shape, stored[name].dtype) != (t.shape, t.dtype):
            yield f"expected {name} {_kind(t)}, got {_kind(stored[name])}"
    yield from (f"{shown(name)} is unknown" for name in stored if name not in like)


def _kind(t: Tensor) -> str:
    return f"{tuple(t.shape)} {str(t.dtype).removeprefix('torch.')}"
