"""Checks that diagnostics share, beside those of `core.checks`: of keys, samples, ranks and priors."""

import torch
from torch import Tensor

from jensen.core import trees
from jensen.core.checks import check_count, check_distribution, check_tensor
from jensen.core.concrete import is_concrete
from jensen.core.contracts import Distribution
from jensen.estimators.wording import listed


def check_keys(keys: Tensor) -> None:
    """Two keys or more, as `keys.split` makes them."""
    fix = "make them with keys.split(key, n)"
    check_tensor("keys", keys, "n 3", fix)
    if keys.dtype != torch.int64:
        raise TypeError(f"expected keys (n, 3) of int64, got {keys.dtype}: {fix}")
    if len(keys) < 2:
        raise ValueError(f"expected keys (n, 3) with n >= 2, got {tuple(keys.shape)}: {fix}")


def check_filled(name: str, value: Tensor) -> None:
    """A tensor without empty axes."""
    if value.numel() == 0:
        raise ValueError(f"expected {name} with one value or more, got {tuple(value.shape)}: no axis may be empty")


def check_finite(name: str, value: Tensor) -> None:
    """A tensor (n, ...) without NaN or infinite values, where they can be read."""
    if not is_concrete(value):
        return
    bad = ~torch.isfinite(value).reshape(len(value), -1).all(1)
    if bad.any():
        raise ValueError(
            f"expected finite {name}, got NaN or infinite values in rows {listed(bad)}: look where they come from, or "
            "leave those rows out"
        )


def check_samples(name: str, x: Tensor, other: str, y: Tensor, least: int = 2) -> None:
    """Finite samples (n, d) and (m, d) of at least so many rows each, in the same coordinates."""
    check_tensor(name, x, "n d", f"a row for each draw; add a missing axis with {name}[:, None]")
    check_tensor(other, y, "m d", f"a row for each draw; add a missing axis with {other}[:, None]")
    if x.shape[1] != y.shape[1] or min(len(x), len(y)) < least or x.shape[1] < 1:
        raise ValueError(
            f"expected samples {name} (n, d) and {other} (m, d) of {least} rows or more each, got {tuple(x.shape)} and "
            f"{tuple(y.shape)}: they must have the same coordinates"
        )
    check_finite(name, x)
    check_finite(other, y)


def check_ranks(ranks: Tensor, s: int) -> tuple[Tensor, int]:
    """Ranks (n, d) among s draws, in int64, and s: whole numbers from 0 to s, of two simulations or more."""
    check_tensor("ranks", ranks, "n d", "a row for each simulation, a column for each parameter")
    if ranks.is_floating_point() or ranks.is_complex() or ranks.dtype == torch.bool:
        raise TypeError(
            f"expected ranks as integers 0 … s, got {ranks.dtype}: count the draws below the truth by ranks()"
        )
    if len(ranks) < 2 or ranks.shape[1] < 1:
        raise ValueError(
            f"expected ranks (n, d) with n >= 2 and d >= 1, got {tuple(ranks.shape)}: simulate more than once"
        )
    ranks, s = ranks.long(), check_count("s", s)
    if is_concrete(ranks) and (ranks.min() < 0 or ranks.max() > s):
        raise ValueError(
            f"expected ranks in 0 … s = {s}, got {int(ranks.min())} … {int(ranks.max())}: s counts the posterior draws"
        )
    return ranks, s


def check_prior(q: Distribution, p: Distribution) -> None:
    """Distributions of one family, the prior's fields having q's shapes, or one row for all data."""
    check_distribution("q", q)
    check_distribution("p", p)
    if type(q) is not type(p):
        raise TypeError(
            f"expected q and p of one family, got {type(q).__name__} and {type(p).__name__}: take "
            "model.prior(params, n) for p"
        )
    for ours, theirs in zip(trees.leaves(q), trees.leaves(p), strict=True):
        if theirs.shape not in (ours.shape, (1, *ours.shape[1:])):
            raise ValueError(
                f"expected p with fields of q's shapes, such as {tuple(ours.shape)}, got {tuple(theirs.shape)}: take "
                "model.prior(params, n) for as many data"
            )
