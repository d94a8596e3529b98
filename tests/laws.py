"""Laws that every instance obeys, as functions that raise AssertionError. tests/meta shows that each can fail."""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor


def kl_is_nonnegative(kl: Tensor) -> None:
    """KL >= 0, to the rounding of a sum of squares."""
    assert torch.isfinite(kl).all(), kl
    assert (kl >= 0).all(), kl


def kl_is_zero_iff_equal(kl: Callable[[object, object], Tensor], q: object, p: object) -> None:
    """KL(q || q) = 0, and KL(q || p) > 0 for the different p that the caller gives."""
    assert (kl(q, q).abs() <= 1e-12).all(), kl(q, q)
    assert (kl(q, p) > 0).all(), kl(q, p)


def below(bound: Tensor, log_evidence: Tensor, slack: float = 1e-9) -> None:
    """An exact lower bound is at most log p(x)."""
    assert (bound <= log_evidence + slack).all(), (bound - log_evidence).max()


def rises(bounds: list[Tensor], slack: float = 1e-9) -> None:
    """Exact bounds with ever more samples do not fall."""
    for fewer, more in pairwise(bounds):
        assert (fewer <= more + slack).all(), (fewer - more).max()


def leave_one_out(bound: Callable[[Tensor], Tensor], log_w: Tensor) -> None:
    """The mean of L_{s-1} over leave-one-out subsets of one set of weights is at most L_s (Burda, 2016, theorem 1)."""
    s = log_w.shape[0]
    whole = bound(log_w)
    subsets = torch.stack([bound(torch.cat([log_w[:i], log_w[i + 1 :]])) for i in range(s)])
    assert not whole.isnan().any(), whole
    assert (subsets.mean(0) <= whole + 1e-9 * (1 + whole.abs().nan_to_num(posinf=0))).all(), (subsets.mean(0), whole)


def mean_is(draws: Tensor, exact: Tensor, errors: float = 4.0) -> None:
    """The mean of independent draws (reps, ...) is within 4 standard errors of the exact value, in every component.

    One component fails by chance with probability 6e-5; keys are fixed, so a suite that passes keeps passing.
    """
    error = draws.std(0) / len(draws) ** 0.5
    gap = (draws.mean(0) - exact).abs()
    assert (gap <= errors * error + 1e-12).all(), f"{(gap / error).max():.1f} standard errors off"


def mean_is_at_most(draws: Tensor, exact: Tensor, errors: float = 4.0) -> None:
    """The mean of independent draws (reps, ...) is not above the exact value by more than 4 standard errors."""
    error = draws.std(0) / len(draws) ** 0.5
    assert (draws.mean(0) <= exact + errors * error + 1e-9).all(), ((draws.mean(0) - exact) / error).max()


def chunks_agree(whole: Tensor, parts: list[Tensor], axis: int, tolerance: float = 0.0) -> None:
    """Parts put together are the whole: bit for bit, or to a tolerance."""
    joined = torch.cat(parts, axis)
    assert joined.shape == whole.shape
    assert (joined - whole).abs().max() <= tolerance, (joined - whole).abs().max()
