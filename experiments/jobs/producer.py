"""Jobs of rows: of arrays in files, of a run's own data, or of seeds alone; and the queue that pushes back."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import safetensors.numpy
import safetensors.torch
import torch
from torch import Tensor

from jensen.core import keys
from jensen.experiments.deployment import Function
from jensen.experiments.deployment.functions import KEY
from jensen.experiments.deployment.manifest import ROWS
from jensen.experiments.jobs.contract import Job, Queue, check_id
from jensen.experiments.run import files
from jensen.experiments.run.errors import InputError, reason

AGAIN = 0.1  # s until a full queue is asked for room again
CURE = "pass a file of safetensors with the function's inputs, or of numpy with its only one"


def arrays(path: Path, function: Function) -> dict[str, Tensor]:
    """Rows by input: of a safetensors file, or of a .npy file for the only input besides keys."""

    def parsed(content: bytes) -> dict[str, Tensor]:
        try:
            return dict(safetensors.torch.load(content))
        except Exception as error:  # of safetensors, whatever the bytes are
            raise ValueError(reason(error)) from error

    if path.suffix != ".npy":
        return files.read(path, parsed, CURE)
    (name, *more) = [each.name for each in function.inputs if each != KEY] or [""]
    if more or not name:
        raise InputError(f"{function.name} has several inputs, or none: pass a file of safetensors")
    try:
        return {name: torch.from_numpy(np.load(path, allow_pickle=False))}
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path} cannot be read ({reason(error)}): {CURE}") from error


def jobs(function: Function, rows: Mapping[str, Tensor], seed: int, n: int | None, name: str | None) -> list[Job]:
    """A job per row, NAME-000000000 and so on.

    Keys that the rows lack are [seed, 0, i] for row i, of n rows where the function takes nothing else. Without a name
    it is made of what the jobs are, so that the same rows make the same jobs.

    InputError for rows that the function does not take.
    """
    given = dict(rows)
    if KEY in function.inputs and KEY.name not in given:
        count = n if not given else len(next(iter(given.values())))
        if count is None:
            raise InputError(f"{function.name} takes seeds alone: pass --n, how many")
        given[KEY.name] = keys.at(keys.key(seed), datum=torch.arange(count))
    names = [each.name for each in function.inputs]
    if sorted(given) != sorted(names):
        got = ", ".join(given) or "none"
        raise InputError(f"expected rows of {', '.join(names)} for {function.name}, got {got}: pass those")
    inputs = tuple(given[each] for each in names)
    count = len(inputs[0]) if inputs[0].ndim else 0
    for start in range(0, max(count, 1), ROWS):
        try:
            function.check(tuple(value[start : start + ROWS] if value.ndim else value for value in inputs))
        except ValueError as error:
            raise InputError(str(error)) from error
    contents = [
        safetensors.torch.save({each: value[i : i + 1].contiguous() for each, value in zip(names, inputs, strict=True)})
        for i in range(count)
    ]
    stem = f"{function.name}-{files.digest(b''.join(contents))[:12]}" if name is None else name
    check_id(f"{stem}-{count - 1:09d}")
    return [Job(f"{stem}-{i:09d}", content) for i, content in enumerate(contents)]


def put_all(queue: Queue, jobs: Sequence[Job], wait: float = float("inf")) -> None:
    """Every job, as there is room. InputError where there has been none for `wait` seconds."""
    left, since = list(jobs), time.monotonic()
    while rest := queue.put(left):
        if len(rest) < len(left):
            since = time.monotonic()
        elif time.monotonic() - since >= wait:
            raise InputError(f"the queue is full, with {len(rest)} of {len(jobs)} jobs not in it: start workers")
        left = rest
        time.sleep(min(AGAIN, wait))
