"""Estimates of log p(x) whose bias is lower than IWAE's, or none: neither is a bound for every model."""

import math
from dataclasses import dataclass
from itertools import combinations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from jensen.core import keys
from jensen.core.bounds.derivatives import differentiated
from jensen.core.bounds.weights import check_log_weights, iwae, leave_one_out_iwae
from jensen.core.checks import check_count, check_number, check_tensor
from jensen.core.concrete import is_concrete
from jensen.core.contracts import Key
from jensen.core.numerics import at_least_float32, drop_negligible, log_cumulative_sum_exp, log_sum_exp
from jensen.core.operation import differentiable, fitted

MOST = 2**16  # subsets


@dataclass(frozen=True)
class Jackknife:
    """sum_{j=0}^m c_j L_{s-j}: the generalised jackknife of IWAE, JVI-m, of bias O(s^-(m+1)).

    L_{s-j} is the mean of `iwae` over all subsets that leave j of the s samples out, and
    c_j = (-1)^j (s - j)^m / ((m - j)! j!), which sum to 1: m = 0 is `iwae` and m = 1 is s L_s - (s - 1) L_{s-1}. The
    bias of IWAE, E[L_s] - log p(x), is a series in 1 / s, whose first m terms c cancels. The coefficients grow as
    s^m, so it is computed in float64, and the variance grows with m.

    Where at most m particles lie in the support a subset is empty, and the value is `iwae`'s. Cost and memory: that of
    `iwae` for m <= 1, then C(s, m) subsets of s - m samples. ValueError unless m is an integer with 0 <= m < s, or for
    more than 65,536 subsets.

    Side        either: the bias that is left may have any sign
    Tight when  q is the posterior, or as s -> infinity, faster than `iwae`
    Weights     d / d log_w of the sum, which may be negative; by differentiation
    Reference   Nowozin, 2018
    """

    m: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "m", check_count("m", self.m, 0))

    @property
    def additive(self) -> bool:
        return False

    def __call__(self, log_w: Float[Tensor, "s n"], /) -> Float[Tensor, " n"]:
        check_log_weights(log_w)
        s, m = len(log_w), self.m
        if not m < s:
            raise ValueError(f"expected an order 0 <= m < s, got m = {m} for log_w of s = {s}: a subset needs a sample")
        for j in range(2, m + 1):
            if math.comb(s, j) > MOST:
                raise ValueError(
                    f"expected at most {MOST} subsets, got {math.comb(s, j)} that leave {j} of {s} samples out: "
                    "use fewer samples or a lower m"
                )
        plain = iwae(log_w)
        empty = (log_w != -torch.inf).sum(0) <= m
        log_w = _double(torch.where(empty, 0.0, at_least_float32(log_w)))
        total = torch.zeros_like(log_w[0])
        for j in range(m + 1):
            c = (-1) ** j * (s - j) ** m / (math.factorial(m - j) * math.factorial(j))
            total = total + c * _less(log_w, j).mean(0)
        return torch.where(empty, plain, total.to(plain.dtype))

    def derivatives(self, log_w: Float[Tensor, "s n"], /) -> tuple[Float[Tensor, "s n"], Float[Tensor, "s n"]]:
        return iwae.derivatives(log_w) if self.m == 0 else differentiated(self, log_w)


def _double(log_w: Tensor) -> Tensor:
    """In float64; weights that come back are dropped where float32 has them `negligible`."""
    return log_w if log_w.dtype == torch.float64 else _widened(log_w)


def _weights(needs: tuple[bool, ...], gradients: tuple[Tensor], log_w: Tensor) -> tuple[Tensor]:
    return (drop_negligible(fitted(gradients[0], log_w)),)


_widened = differentiable(
    "log_weights_in_float64", torch.Tensor.double, torch.Tensor.double, torch.Tensor.double, (0,), vjp=_weights
)


def _less(log_w: Tensor, j: int) -> Tensor:
    """`iwae` of every subset that leaves j samples out, (subsets, n)."""
    if j == 0:
        return iwae(log_w)[None]
    if j == 1:
        return leave_one_out_iwae(log_w)
    s = len(log_w)
    kept = torch.tensor(list(combinations(range(s), s - j)), device=log_w.device)  # (subsets, s - j)
    return log_sum_exp(log_w[kept], 1) - math.log(s - j)


@dataclass(frozen=True)
class Sumo:
    """L_first + sum_{k=1}^K (L_{first+k} - L_{first+k-1}) / P(K >= k), unbiased for log p(x).

    L_k is `iwae` of the first k samples, K the length of a roulette with P(K >= k) = 1 / k up to `tail`, and
    decay^(k - tail) / tail beyond. K is drawn before the samples are, one per datum:

        terms = sumo.draw(key, n)
        log_w = ...  # first + terms.max() samples of each datum
        value = sumo(log_w, terms)

    Without `terms` every datum uses all of its samples, K = s - first: unbiased where s is drawn as K is, and biased at
    a fixed s. With K drawn it is unbiased with a heavy tail: its gradient needs clipping, and its mean many draws.
    Where the first samples are all outside the support it is -inf, with gradient 0. A datum with more terms than
    samples is NaN: truncated it would be biased. ValueError for fewer than `first` samples, for terms that are no
    integers or below 1 (under vmap and torch.compile: NaN), and unless first >= 1, tail >= 1 and 0 < decay < 1.

    Side        neither: an unbiased estimate
    Tight when  its variance is 0, for q the posterior
    Weights     d / d log_w of the sum, which may be negative; by differentiation
    Reference   Luo et al., 2020
    """

    first: int = 1
    tail: int = 80
    decay: float = 0.9

    def __post_init__(self) -> None:
        object.__setattr__(self, "first", check_count("first", self.first))
        object.__setattr__(self, "tail", check_count("tail", self.tail))
        object.__setattr__(self, "decay", check_number("decay", self.decay, "(0, 1)", "a roulette must end"))

    @property
    def additive(self) -> bool:
        return False

    def __call__(self, log_w: Float[Tensor, "s n"], /, terms: Int[Tensor, " n"] | None = None) -> Float[Tensor, " n"]:
        check_log_weights(log_w)
        s, n = log_w.shape
        if s < self.first:
            raise ValueError(f"expected log_w of at least first = {self.first} samples, got {s}: draw more")
        if terms is not None:
            _check_terms(terms, n)
        log_w = at_least_float32(log_w)
        head = log_sum_exp(log_w[: self.first], 0)
        empty = (head == -torch.inf) & ~log_w.isnan().any(0)
        sums = log_cumulative_sum_exp(torch.cat([torch.where(empty, 0.0, head)[None], log_w[self.first :]]))
        counts = torch.arange(self.first, s + 1, dtype=log_w.dtype, device=log_w.device)
        levels = sums - torch.log(counts)[:, None]
        k = torch.arange(1, s - self.first + 1, device=log_w.device)
        steps = levels.diff(dim=0) / self.survival(k).to(log_w.dtype)[:, None]
        if terms is not None:
            steps = torch.where(k[:, None] <= terms, steps, 0.0)
            possible = (terms >= 1) & (terms <= s - self.first)
            empty = empty & possible
            levels = torch.where(possible, levels, torch.nan)
        return torch.where(empty, -torch.inf, levels[0] + steps.sum(0))

    def derivatives(self, log_w: Float[Tensor, "s n"], /) -> tuple[Float[Tensor, "s n"], Float[Tensor, "s n"]]:
        return differentiated(self, log_w)

    def survival(self, k: Int[Tensor, "..."]) -> Float[Tensor, "..."]:
        """P(K >= k) for k >= 1, in float64."""
        k = k.double()
        return torch.where(k < self.tail, 1 / k, self.decay ** (k - self.tail).clamp_min(0) / self.tail)

    def draw(self, key: Key, n: int) -> Int[Tensor, " n"]:
        """K for each datum, (n,), at least 1. The longest has a probability near 2^-31: about 250 by default."""
        u = keys.uniform(key, (1, check_count("n", n, 0)), torch.float64)[0].clamp_min(2.0**-32)
        beyond = self.tail + torch.floor(torch.log(self.tail * u) / math.log(self.decay))
        return torch.where(u * self.tail > 1, torch.floor(1 / u), beyond).long()


def _check_terms(terms: Tensor, n: int) -> None:
    check_tensor("terms", terms)
    if terms.shape != (n,) or terms.dtype not in (torch.int32, torch.int64):
        raise ValueError(
            f"expected terms ({n},), an integer per datum, got {tuple(terms.shape)} of {terms.dtype}: "
            "draw them with sumo.draw(key, n)"
        )
    if is_concrete(terms) and (terms < 1).any():
        raise ValueError(f"expected terms of at least 1, got {int(terms.min())}: draw them with sumo.draw(key, n)")
