"""Functions of many data and particles in chunks: noise and results are those of the whole, memory that of a chunk."""

import math
from collections.abc import Callable, Iterator
from typing import Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor

from jensen.core import keys
from jensen.core.contracts import Key, LatentModel, can
from jensen.core.trees import Params

Rows: TypeAlias = tuple[Tensor, ...]  # a row per datum each
ROWS = 4000  # particles x data evaluated at once: their activations stay in cache


@runtime_checkable
class Averaged(Protocol):
    """A distribution with a mean, (*s, n, D)."""

    def mean(self) -> Tensor: ...


def over_data(f: Callable[[Tensor, Key], Rows], x: Tensor, key: Key, chunk: int) -> Rows:
    """f(x, key) -> tensors (n, ...), over chunks of x (n, D).

    The last chunk is filled up with its first datum, so that a compiled f sees one shape.
    """
    results = []
    for start, part in chunks(x, chunk):
        filled = torch.cat([part, part[:1].expand(min(chunk, len(x)) - len(part), *part.shape[1:])])
        results.append([t[: len(part)] for t in f(filled, keys.at(key, datum=start))])
    return tuple(torch.cat(each) for each in zip(*results, strict=True))


def chunks(x: Tensor, size: int) -> Iterator[tuple[int, Tensor]]:
    for start in range(0, len(x), size):
        yield start, x[start : start + size]


def average(values: Tensor, errors: Tensor) -> tuple[float, float]:
    """The mean over images and its Monte Carlo error, as far as the images' own are known; inf where none is."""
    known = errors[errors.isfinite()]
    return values.mean().item(), (known.square().mean() / len(values)).sqrt().nan_to_num(nan=math.inf).item()


def posterior_means(model: LatentModel, params: Params, x: Tensor) -> Tensor:
    """E_q[z | x] of each datum, (n, d).

    A q without a mean in closed form, such as a hierarchy, gives that of 100 samples, whose noise adds at most 0.0025
    to the variance over data of a unit.
    """

    def means(x: Tensor, key: Key) -> Rows:
        q = model.posterior(params, x)
        if can(q, Averaged):
            return (q.mean().flatten(1).float(),)
        return (q.sample(q.noise(key, 100)).mean(0).flatten(1).float(),)

    return over_data(means, x, keys.key(0, x.device), 250)[0]
