"""The quality of a gradient estimator: bias, variance, signal to noise and direction, per group of parameters.

Approximates  the bias, variance and signal-to-noise ratio of a gradient estimator
With          independent gradients, one per key, drawn together by vmap
Requires      gradient(key) -> a tree of gradients, pure, its groups the keys of a dict at its top; for the bias and the
              cosine, the exact gradient, or a reference: another estimator, known to be unbiased
Unbiased when always for the variance and the bias; ratios of them as the number of keys grows
Cost          one gradient per key, and one of the reference, `chunk` of them at a time
Reference     Rainforth et al., 2018, for the signal-to-noise ratio
"""

import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.func import vmap

from jensen.core import trees
from jensen.core.checks import check_count, check_floating, check_function, check_key
from jensen.core.contracts import Key
from jensen.core.trees import Tree
from jensen.estimators.diagnostics._checks import check_keys
from jensen.estimators.student import student

LEVEL = 0.01  # of a verdict, over all elements of a group together


class Quality(NamedTuple):
    """One group of parameters, all of its elements as one vector g; each a 0-d tensor."""

    norm: Float[Tensor, ""]  # |mean g|
    variance: Float[Tensor, ""]  # sum over elements of var g
    snr: Float[Tensor, ""]  # |mean g| / sqrt(variance)
    bias: Float[Tensor, ""]  # |mean g - exact|, of a reference its mean; NaN without either, like the next two
    errors: Float[Tensor, ""]  # the largest element of |mean g - exact|, in its standard errors
    cosine: Float[Tensor, ""]  # mean cosine between g and exact, or the reference's mean
    limit: Float[Tensor, ""]  # exceeded by an unbiased estimator's errors with probability LEVEL at most
    broken: Int[Tensor, ""]  # the first key whose g is not finite, -1 if none

    def verdict(self) -> str:
        if self.broken >= 0:
            i = int(self.broken)
            return (
                f"no verdict: the gradient of keys[{i}] is NaN or infinite: look at gradient(keys[{i}]) and its log_w"
            )
        text = f"signal to noise {self.snr.item():.3g}"
        if self.errors.isnan():
            return f"{text}: whether there is a bias is not known: give the exact gradient, or a reference"
        bias, limit = f"{self.errors.item():.1f} standard errors off", f"{self.limit.item():.1f}"
        if self.errors > self.limit:
            return f"biased: {bias} at the worst, above {limit}, by {self.bias.item():.3g} in norm; {text}"
        return f"no bias is seen: {bias} at the worst, not above {limit}; {text}"


def quality(
    gradient: Callable[[Tensor], Tree],
    keys: Int[Tensor, "reps 3"],
    exact: Tree = None,
    chunk: int | None = None,
    reference: Callable[[Tensor], Tree] | None = None,
) -> dict[str, Quality]:
    """The quality of each group, by name; "all" where the tree is no dict.

    exact: the gradient itself, a tree of its groups, known without noise.
    reference: in its place an unbiased estimator, key -> tree, drawn at the same keys: `errors` are of the mean
    difference, key by key, so that they have the noise of both, less what the two share.

    The `errors` of an unbiased estimator are up to `limit`, Student's t of reps - 1 degrees of freedom at LEVEL / (2
    elements), with probability 1 - LEVEL in each group, where gradients are about normal; a biased one's grow as
    sqrt(reps). `norm` and `snr` are biased up by noise: |mean g|^2 by variance / reps. ValueError for one key, for an
    exact gradient that lacks a group or has another shape, and for both an exact gradient and a reference.
    """
    check_keys(keys)
    chunk = None if chunk is None else check_count("chunk", chunk)
    draws = _drawn("gradient", gradient, keys, chunk)
    if reference is None:
        truth = dict.fromkeys(draws) if exact is None else _groups(exact)
        return {name: _quality(_flat(tree, tree), _like(tree, truth, name)) for name, tree in draws.items()}
    if exact is not None:
        raise ValueError("expected exact or reference, got both: a reference stands in for what is not known")
    others = _drawn("reference", reference, keys, chunk)
    means = trees.map(lambda t: t.mean(0), others)
    found = {}
    for name, tree in draws.items():
        mean = _like(tree, means, name)
        found[name] = _quality(_flat(tree, tree), mean, _flat(others[name], tree))
    return found


def cost(gradient: Callable[[Tensor], Tree], key: Key, calls: int = 20) -> float:
    """Seconds per call of gradient(key): the median over calls, after two warm-up calls."""
    check_function("gradient", gradient, "torch.func.grad(loss)")
    check_key(key)
    calls, times = check_count("calls", calls), []
    for _ in range(calls + 2):
        _synchronise(key)
        start = time.perf_counter()
        gradient(key)
        _synchronise(key)
        times.append(time.perf_counter() - start)
    return sorted(times[2:])[calls // 2]


def _drawn(name: str, gradient: Callable[[Tensor], Tree], keys: Tensor, chunk: int | None) -> dict[str, Tree]:
    """The groups of gradients at all keys, in floating point, keys first."""
    check_function(name, gradient, "torch.func.grad(loss)")

    def checked(key: Tensor) -> Tree:
        tree = gradient(key)
        for path, leaf in trees.paths(tree).items():
            check_floating(f"{name}(key){path and '.'}{path}", leaf)
        return tree

    return _groups(vmap(checked, chunk_size=chunk)(keys))


def _groups(tree: Tree) -> dict[str, Tree]:
    return tree if isinstance(tree, dict) else {"all": tree}


def _like(tree: Tree, truth: dict[str, Tree], name: str) -> Tensor | None:
    """The group's exact gradient (p,), in the order of the tree's leaves; None where it is not known."""
    if name not in truth:
        raise ValueError(
            f"expected the exact gradient of every group, got {list(truth)} without {name!r}: give it, or None for a "
            "group whose gradient is not known"
        )
    if truth[name] is None:
        return None
    exact, drawn = trees.paths(truth[name]), trees.paths(tree)
    for leaf in exact.values():
        check_floating(f"the exact gradient of {name!r}", leaf)
    expected, came = ({path: tuple(t.shape) for path, t in each.items()} for each in (drawn, exact))
    expected = {path: shape[1:] for path, shape in expected.items()}
    if expected != came:
        raise ValueError(
            f"expected the exact gradient of {name!r} in its shapes {expected}, got {came}: one value for each element"
        )
    return torch.cat([exact[path].flatten() for path in drawn])


def _flat(tree: Tree, like: Tree) -> Float[Tensor, "reps p"]:
    """A group's gradients, each as one vector in the order of the leaves of `like`."""
    leaves = trees.paths(tree)
    return torch.cat([leaves[path].reshape(len(leaves[path]), -1) for path in trees.paths(like)], 1)


def _quality(draws: Tensor, truth: Tensor | None, reference: Tensor | None = None) -> Quality:
    """Of draws (reps, p), the exact gradient (p,) or the mean of a reference (reps, p)."""
    mean, variance = draws.mean(0), draws.var(0)
    total, norm = variance.sum(), torch.linalg.vector_norm(mean)
    bias = errors = cosine = torch.full_like(norm, torch.nan)
    limit = torch.full_like(norm, student(LEVEL / 2 / len(mean), len(draws) - 1.0))
    finite = torch.isfinite(draws).all(1)
    broken = torch.where(finite.all(), -1, finite.int().argmin())
    if truth is not None:
        differences = draws if reference is None else draws - reference
        gap, error = (mean - truth).abs(), (differences.var(0) / len(draws)).sqrt()
        rounding = 1e3 * torch.finfo(mean.dtype).eps * truth.abs().max()
        bias = torch.linalg.vector_norm(mean - truth)
        errors = torch.where(gap <= rounding, 0.0, gap / error).max()
        cosine = torch.nn.functional.cosine_similarity(draws, truth[None], dim=1).mean()
    return Quality(norm, total, norm / total.sqrt(), bias, errors, cosine, limit, broken)


def _synchronise(key: Tensor) -> None:
    if key.is_cuda:
        torch.cuda.synchronize(key.device)
