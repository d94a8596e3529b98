"""Laws that every instance obeys, as functions that raise AssertionError. tests/meta shows that each can fail."""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from jensen.core import keys
from jensen.core.contracts import Flow


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


def mean_is_exact(
    draw: Callable[[Tensor, int], Tensor], exact: Tensor, key: Tensor, clear: float = 2.5, errors: float = 4.5
) -> None:
    """The mean of draw(key, count), (count, ...), is exact: 1,000 draws, and more only where these do not show it.

    Each of three rounds has draws of its own, four times as many as the last, and ends the test where every component
    is within `clear` standard errors. After the last one, 16,000 draws, a component is off that is more than `errors`
    away: by chance with probability 7e-6. A bias of a fifth of a draw's standard deviation is never within 2.5 errors
    in practice, and one of a twentieth fails the last round.
    """
    worst = torch.zeros(())
    for i, count in enumerate((1000, 4000, 16_000)):
        draws = draw(keys.fold_in(key, i), count)
        assert not draws.isnan().any(), "a draw is NaN"
        gap, error = (draws.mean(0) - exact).abs(), draws.std(0) / count**0.5
        rounding = 1e-9 * (1 + draws.abs().amax(0))
        worst = (gap / (error + rounding)).max()
        if worst <= clear:
            return
    assert worst <= errors, f"{worst:.1f} standard errors off, of 16,000 draws"


def mean_is_at_most(draws: Tensor, exact: Tensor, errors: float = 4.0) -> None:
    """The mean of independent draws (reps, ...) is not above the exact value by more than 4 standard errors."""
    error = draws.std(0) / len(draws) ** 0.5
    assert (draws.mean(0) <= exact + errors * error + 1e-9).all(), ((draws.mean(0) - exact) / error).max()


def is_invertible(flow: Flow, z: Tensor, tolerance: float = 1e-8) -> None:
    """The inverse undoes forward, and each log_det is that of autograd's Jacobian, for every sample of z (s, n, d)."""
    there, log_det = flow.forward(z)
    back, opposite = flow.inverse(there)
    assert (back - z).abs().max() <= tolerance * (1 + z.abs().max()), (back - z).abs().max()
    assert (log_det + opposite).abs().max() <= tolerance, (log_det + opposite).abs().max()
    jacobian = torch.func.jacrev(lambda z: flow.forward(z)[0].sum((0, 1)))(z)  # samples and data do not meet
    exact = torch.linalg.slogdet(jacobian.movedim(0, -2)).logabsdet
    assert (log_det - exact).abs().max() <= tolerance, (log_det - exact).abs().max()


def chunks_agree(whole: Tensor, parts: list[Tensor], axis: int, tolerance: float = 0.0) -> None:
    """Parts put together are the whole: bit for bit, or to a tolerance."""
    joined = torch.cat(parts, axis)
    assert joined.shape == whole.shape
    gap = torch.where(joined == whole, 0.0, (joined.double() - whole.double()).abs())  # infinities agree
    assert gap.max() <= tolerance, gap.max()


def sandwiched(lower: Tensor, log_evidence: Tensor, upper: Tensor, slack: float = 1e-9) -> None:
    """An exact lower bound is at most log p(x), and an exact upper bound at least."""
    below(lower, log_evidence, slack)
    below(log_evidence, upper, slack)


def shifts_pass_through(bound: Callable[[Tensor], Tensor], log_w: Tensor, shift: float) -> None:
    """A model whose density is e^shift times as large has a bound larger by the shift."""
    value, moved = bound(log_w), bound(log_w + shift)
    torch.testing.assert_close(moved, value + shift, rtol=1e-9, atol=1e-9)


def weights_are_slopes(
    bound: Callable[[Tensor], Tensor], weights: Tensor, log_w: Tensor, step: float = 1e-5, tolerance: float = 1e-7
) -> None:
    """The weights are the bound's central differences, one log weight at a time."""
    for s in range(len(log_w)):
        move = torch.zeros_like(log_w)
        move[s] = step
        slope = (bound(log_w + move) - bound(log_w - move)) / (2 * step)
        torch.testing.assert_close(weights[s], slope, rtol=0, atol=tolerance)


def bias_falls(biases: list[Tensor], order: int, slack: float = 0.25) -> None:
    """Exact biases at s, 2 s, 4 s, ... fall as s^-order: each is the last's 2^-order, to 2^slack."""
    for fewer, more in pairwise(biases):
        assert ((fewer / more).abs().log2() - order).abs().max() <= slack, (fewer, more)


def roulette_is_unbiased(values: list[Tensor], survival: list[float], whole: Tensor) -> None:
    """values[k] are those of a roulette that ends after k + 1 terms; ends have their probability, the last the rest."""
    ends = [a - b for a, b in pairwise([*survival, 0.0])]
    mean = torch.stack([p * value for p, value in zip(ends, values, strict=True)]).sum(0)
    torch.testing.assert_close(mean, whole, rtol=1e-9, atol=1e-9)


def terms_sum(total: Tensor, terms: list[Tensor]) -> None:
    """Named terms add up to the total, to 1e-6 of the largest of them."""
    largest = torch.stack([t.abs() for t in terms]).amax(0).clamp_min(1)
    gap = (torch.stack(terms).sum(0) - total).abs()
    assert (gap <= 1e-6 * largest).all(), gap


def rows_sum_to_one(weights: Tensor, slack: float = 1e-12) -> None:
    """Weights of a minibatch are those of a mixture, row by row."""
    assert (weights >= 0).all(), weights
    assert ((weights.sum(-1) - 1).abs() <= slack).all(), weights.sum(-1)
