"""Jobs computed together, each with the bytes that it has alone: every batch is padded to one width."""

from collections.abc import Sequence

import numpy as np
import safetensors.numpy
import safetensors.torch

from jensen.experiments.deployment import Function
from jensen.experiments.deployment.padding import Array, Arrays, padded, split, width_of
from jensen.experiments.run.errors import reason


def computed(function: Function, contents: Sequence[bytes], batch: int) -> list[bytes]:
    """The results of jobs, at most `batch`: files of safetensors with a row of each output.

    ValueError for content that is no row of the function's inputs, and for outputs that are NaN or infinite.
    """
    rows = [_row(function, content) for content in contents]
    found = function.unchecked(*padded(rows, width_of(batch)))
    outputs = split(found if isinstance(found, tuple) else (found,), [1] * len(rows))
    names = [each.name for each in function.outputs]
    return [_result(dict(zip(names, values, strict=True))) for values in outputs]


def _row(function: Function, content: bytes) -> Arrays:
    try:
        given = safetensors.torch.load(content)
    except Exception as error:  # of safetensors, whatever the bytes are
        raise ValueError(f"the job is no file of safetensors ({reason(error)})") from error
    names = [each.name for each in function.inputs]
    if sorted(given) != sorted(names):
        raise ValueError(f"expected inputs {', '.join(names)} of {function.name}, got {', '.join(given) or 'none'}")
    inputs = tuple(given[name] for name in names)
    function.check(inputs)
    if len(inputs[0]) != 1:
        raise ValueError(f"expected one row in a job, got {len(inputs[0])}")
    return tuple(each.numpy() for each in inputs)


def _result(outputs: dict[str, Array]) -> bytes:
    for name, value in outputs.items():
        if not np.isfinite(value).all():
            raise ValueError(f"{name} is NaN or infinite")
    return safetensors.numpy.save({name: np.ascontiguousarray(value) for name, value in outputs.items()})
