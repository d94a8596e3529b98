"""Jobs computed together, each with the bytes that it has alone: every batch is padded to one width."""

from collections.abc import Sequence

import safetensors.torch
import torch
from torch import Tensor

from jensen.experiments.deployment import Function
from jensen.experiments.run.errors import reason
from jensen.experiments.service.settings import LANES


def computed(function: Function, contents: Sequence[bytes], batch: int) -> list[bytes]:
    """The results of jobs, at most `batch`: files of safetensors with a row of each output.

    ValueError for content that is no row of the function's inputs, and for outputs that are NaN or infinite.
    """
    width = -(-batch // LANES) * LANES  # vector instructions leave no rest
    rows = [_row(function, content) for content in contents]
    spare = width - len(rows)
    inputs = [torch.cat([*parts, parts[0].expand(spare, *parts[0].shape[1:])]) for parts in zip(*rows, strict=True)]
    found = function.unchecked(*inputs)
    outputs = found if isinstance(found, tuple) else (found,)
    named = dict(zip([each.name for each in function.outputs], outputs, strict=True))
    return [_result({name: value[i : i + 1] for name, value in named.items()}) for i in range(len(rows))]


def _row(function: Function, content: bytes) -> tuple[Tensor, ...]:
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
    return inputs


def _result(outputs: dict[str, Tensor]) -> bytes:
    for name, value in outputs.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise ValueError(f"{name} is NaN or infinite")
    return safetensors.torch.save({name: value.contiguous().clone() for name, value in outputs.items()})
