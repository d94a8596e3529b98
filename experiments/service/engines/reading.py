"""An export as an engine's worker holds it: functions that have run once, at the width of batches."""

from collections.abc import Mapping
from pathlib import Path

import torch

from jensen.experiments.deployment import load
from jensen.experiments.deployment.loading import Function
from jensen.experiments.deployment.manifest import MANIFEST
from jensen.experiments.run import files
from jensen.experiments.run.errors import InputError, reason
from jensen.experiments.service.engines.seam import Rows


def read(folder: Path, width: int) -> tuple[str, dict[str, Function]]:
    """The digest of the export in a folder, and its functions. InputError for a folder that is no sound export."""
    path = folder / MANIFEST
    if not path.is_file():
        raise InputError(f"{folder} holds no export: pass the folder that has its {MANIFEST}")
    digest = files.read(path, files.digest, "export the run again")
    functions = dict(load(folder, digest=digest, mapped=False).functions)
    for name, function in functions.items():
        try:
            compute(functions, name, tuple(_example(function, i, width) for i in range(len(function.inputs))))
        except Exception as error:
            raise InputError(f"{folder} cannot compute {name} ({reason(error)}): export the run again") from error
    return digest, functions


def compute(functions: Mapping[str, Function], name: str, inputs: Rows) -> Rows:
    """A batch's outputs, a tuple of one or more."""
    found = functions[name].unchecked(*inputs)
    return found if isinstance(found, tuple) else (found,)


def _example(function: Function, i: int, rows: int) -> torch.Tensor:
    argument = function.inputs[i]
    low = 0 if argument.low is None else argument.low
    return torch.full((rows, *argument.shape), low, dtype=getattr(torch, argument.dtype))
