"""How good an estimator's gradient is: bias, variance, signal to noise and direction, per group of parameters.

Approximates  the bias, variance and signal-to-noise ratio of a gradient estimator
With          independent gradients, one per key, drawn together by vmap
Requires      gradient(key) -> a tree of gradients, pure; for the bias and the cosine, the exact gradient
Unbiased when always for the variance and the bias; ratios of them as the number of keys grows
Cost          one gradient per key, `chunk` of them at a time
Reference     Rainforth et al., 2018, for the signal-to-noise ratio
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.func import vmap

from jensen.core import trees

Tree = Any  # a tree of tensors; the keys of a dict at its top are the groups
HONEST = 4  # standard errors: an unbiased element is further off with probability 6e-5


class Quality(NamedTuple):
    """One group of parameters, all of its elements as one vector g; each a 0-d tensor."""

    norm: Float[Tensor, ""]  # |mean g|
    variance: Float[Tensor, ""]  # sum over elements of var g
    snr: Float[Tensor, ""]  # |mean g| / sqrt(variance)
    bias: Float[Tensor, ""]  # |mean g - exact|; NaN without an exact gradient, like the next two
    errors: Float[Tensor, ""]  # the largest element of |mean g - exact|, in its standard errors
    cosine: Float[Tensor, ""]  # mean cosine between g and exact

    def verdict(self) -> str:
        text = f"signal to noise {self.snr.item():.3g}"
        if self.errors.isnan():
            return f"{text}: whether there is a bias is not known: give the exact gradient"
        bias = f"{self.errors.item():.1f} standard errors from the exact gradient"
        if self.errors > HONEST:
            return f"biased: {bias} at the worst, above {HONEST}, by {self.bias.item():.3g} in norm; {text}"
        return f"no bias is seen: {bias} at the worst, not above {HONEST}; {text}"


def quality(
    gradient: Callable[[Tensor], Tree], keys: Int[Tensor, "reps 3"], exact: Tree = None, chunk: int | None = None
) -> dict[str, Quality]:
    """The quality of each group, by name; "all" where the tree is no dict.

    An honest estimator has `errors` below about 4 in every group; a biased one's grow as sqrt(reps). `norm` and `snr`
    of a noisy estimator are too large by noise: |mean g|^2 has variance / reps too much. ValueError for one key.
    """
    if keys.ndim != 2 or len(keys) < 2:
        raise ValueError(f"expected keys (reps, 3) with reps >= 2, got {tuple(keys.shape)}: make them with keys.split")
    draws = _groups(vmap(gradient, chunk_size=chunk)(keys))
    truth = _groups(exact) if exact is not None else {}
    return {name: _quality(tree, truth.get(name)) for name, tree in draws.items()}


def cost(gradient: Callable[[Tensor], Tree], key: Int[Tensor, "3"], calls: int = 20) -> float:
    """Seconds per call of gradient(key): the median over calls, after two that may compile."""
    times = []
    for _ in range(calls + 2):
        _synchronise(key)
        start = time.perf_counter()
        gradient(key)
        _synchronise(key)
        times.append(time.perf_counter() - start)
    return sorted(times[2:])[calls // 2]


def _groups(tree: Tree) -> dict[str, Tree]:
    return tree if isinstance(tree, dict) else {"all": tree}


def _quality(tree: Tree, exact: Tree) -> Quality:
    draws = torch.cat([t.flatten(1) if t.ndim > 1 else t[:, None] for t in trees.leaves(tree)], 1)
    mean, variance = draws.mean(0), draws.var(0)
    total, norm = variance.sum(), torch.linalg.vector_norm(mean)
    bias = errors = cosine = torch.full_like(norm, torch.nan)
    if exact is not None:
        truth = torch.cat([t.flatten() for t in trees.leaves(exact)])
        gap, error = (mean - truth).abs(), (variance / len(draws)).sqrt()
        rounding = 1e3 * torch.finfo(mean.dtype).eps * truth.abs().max()
        bias = torch.linalg.vector_norm(mean - truth)
        errors = torch.where(gap <= rounding, 0.0, gap / error).max()
        cosine = torch.nn.functional.cosine_similarity(draws, truth[None], dim=1).mean()
    return Quality(norm, total, norm / total.sqrt(), bias, errors, cosine)


def _synchronise(key: Tensor) -> None:
    if key.is_cuda:
        torch.cuda.synchronize(key.device)
