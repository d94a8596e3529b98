"""Codes and factors as the disentanglement scores take them, and each dimension's information on each factor."""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_floating, check_tensor
from jensen.estimators.diagnostics._checks import check_finite
from jensen.estimators.diagnostics._neighbours import Ordered, conditional_entropy, entropy, ordered
from jensen.estimators.wording import listed

NEIGHBOURS = 5  # of a datum's class: more of them blur boundaries, fewer make the information noisy
SEPARATED = 0.5  # of what can be reached: the least score that a verdict calls separated
Classes = Integer[Tensor, "n f"] | Bool[Tensor, "n f"]


def checked(codes: Float[Tensor, "n d"], factors: Classes) -> tuple[Tensor, Tensor]:
    """The codes in float64, and each factor's classes as 0, 1, … without gaps; data in a fixed random order."""
    check_tensor("factors", factors, "n f", "a row for each datum; add a missing axis with factors[:, None]")
    if factors.is_floating_point() or factors.is_complex():
        raise TypeError(
            f"expected factors as classes 0, 1, …, got {factors.dtype}: codes come first; bin continuous factors"
        )
    check_floating("codes", codes, "n d", "a row for each datum, a column for each dimension")
    if len(codes) != len(factors) or len(codes) < 2 or codes.shape[1] < 2 or factors.shape[1] < 1:
        raise ValueError(
            f"expected codes (n, d) and factors (n, f) with n >= 2, d >= 2 and f >= 1, got {tuple(codes.shape)} and "
            f"{tuple(factors.shape)}: a row for each datum, a column for each dimension or factor"
        )
    check_finite("codes", codes)
    if factors.min() < 0:
        raise ValueError(f"expected factors as classes 0, 1, …, got {int(factors.min())}: number the classes from 0")
    constant = (factors == factors[0]).all(0)
    if constant.any():
        raise ValueError(
            f"expected factors that vary, got one value only in columns {listed(constant)}: leave those columns out"
        )
    order = keys.permutation(keys.key(0), len(codes)).to(codes.device)
    classes = [v.unique(return_inverse=True)[1] for v in factors.long()[order].T]
    return codes.double()[order], torch.stack(classes, 1)


def information(codes: Tensor, factors: Tensor, k: int) -> Tensor:
    """I(z_j; v_k), (d, f), in nats."""
    return entropies(factors) - pairs(codes, factors, lambda z, v: conditional_entropy(z, v, k))


def pairs(codes: Tensor, factors: Tensor, f: Callable[[Ordered, Tensor], Tensor]) -> Tensor:
    """f of each dimension and each factor, (d, f): the mean over both orders of the code, up and down."""
    rows = []
    for code in codes.T:
        up, down = ordered(code), ordered(-code)
        rows.append(torch.stack([(f(up, v) + f(down, v)) / 2 for v in factors.T]))
    return torch.stack(rows)


def entropies(factors: Tensor) -> Tensor:
    """H(v_k), (f,), in nats."""
    return torch.stack([entropy(torch.bincount(v)) for v in factors.T])
