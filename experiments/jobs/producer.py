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
from jensen.experiments.deployment import Argument, Signature
from jensen.experiments.deployment.functions import KEY
from jensen.experiments.deployment.manifest import ROWS
from jensen.experiments.jobs.contract import Job, Queue, check_id
from jensen.experiments.run import files
from jensen.experiments.run.errors import InputError, reason

AGAIN = 0.1  # s until a full queue is asked for room again
CURE = "pass a file of safetensors with the function's inputs, or of numpy with its only one"


def arrays(path: Path, signature: Signature) -> dict[str, Tensor]:
    """Rows by input: of a safetensors file, or of a .npy file for the only input besides keys."""

    def parsed(content: bytes) -> dict[str, Tensor]:
        try:
            return dict(safetensors.torch.load(content))
        except Exception as error:  # of safetensors, whatever the bytes are
            raise ValueError(reason(error)) from error

    if path.suffix != ".npy":
        return files.read(path, parsed, CURE)
    (name, *more) = [each.name for each in signature.inputs if each != KEY] or [""]
    if more or not name:
        raise InputError("the function has several inputs, or none: pass a file of safetensors")
    try:
        return {name: torch.from_numpy(np.load(path, allow_pickle=False))}
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path} cannot be read ({reason(error)}): {CURE}") from error


def jobs(
    function: str,
    signature: Signature,
    rows: Mapping[str, Tensor],
    seed: int = 0,
    n: int | None = None,
    name: str | None = None,
) -> list[Job]:
    """A job per row, NAME-000000000 and so on.

    Keys that the rows lack are [seed, 0, i] for row i, of n rows where the function takes nothing else. Without a name
    it is made of what the jobs are, so that the same rows make the same jobs.

    InputError for rows that the function does not take.
    """
    for each in signature.inputs:
        if each.name in rows:
            _check(each, rows[each.name])
    drawn = KEY in signature.inputs and KEY.name not in rows
    names = [each.name for each in signature.inputs]
    if sorted([*rows, *([KEY.name] if drawn else [])]) != sorted(names):
        got = ", ".join(rows) or "none"
        raise InputError(f"expected rows of {', '.join(names)} for {function}, got {got}: pass those")
    lengths = {name: len(value) for name, value in rows.items()}
    if len(set(lengths.values())) > 1:
        got = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise InputError(f"expected inputs of as many rows, got {got}: pass one row of each for a job")
    count = next(iter(lengths.values()), n)
    if count is None:
        raise InputError(f"{function} takes seeds alone: pass --n, how many")
    made = {KEY.name: keys.at(keys.key(seed), datum=torch.arange(count))} if drawn else {}
    inputs = {name: {**rows, **made}[name] for name in names}
    contents = [
        safetensors.torch.save({each: value[i : i + 1].contiguous() for each, value in inputs.items()})
        for i in range(count)
    ]
    stem = f"{function}-{files.digest(b''.join(contents))[:12]}" if name is None else name
    check_id(f"{stem}-{count - 1:09d}")
    return [Job(f"{stem}-{i:09d}", content) for i, content in enumerate(contents)]


def _check(argument: Argument, value: Tensor) -> None:
    for part in value.split(ROWS) if value.ndim else (value,):
        try:
            argument.check(part)
        except ValueError as error:
            raise InputError(str(error)) from error


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
