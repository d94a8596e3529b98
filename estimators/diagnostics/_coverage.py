"""Coverage of central posterior intervals, from the ranks of true parameters among posterior draws.

Approximates  the share of intervals that cover the truth, which under exact posteriors is their level
With          ranks of simulations, as `ranks` and `simulation_based_calibration` count them, and binomial tails
Requires      what `calibration` requires
Unbiased when always; p-values are exact, and judged at one level over all intervals and parameters together
Cost          a pass over the ranks
Reference     Cook et al., 2006, for posteriors checked by simulation; Talts et al., 2018, for the ranks
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from jensen.core.checks import check_number, described
from jensen.estimators.diagnostics._checks import check_ranks

LEVEL = 0.01  # of a verdict, over all intervals and parameters together


class Coverage(NamedTuple):
    """Central intervals: nominal (l,) and covered shares (l, d) with the standard errors (l, 1) of exact ones."""

    nominal: Float[Tensor, " l"]
    covered: Float[Tensor, "l d"]
    error: Float[Tensor, "l 1"]
    n: int  # simulations

    def verdict(self) -> str:
        p = self._p_values()
        limit = LEVEL / p.numel()
        row, column = divmod(int(p.argmin()), p.shape[1])
        nominal, covered = self.nominal[row].item(), self.covered[row, column].item()
        text = (
            f"{100 * nominal:.3g} % intervals cover the truth in {100 * covered:.3g} % of {self.n} simulations in "
            f"parameter {column}, p-value {p[row, column].item():.2g} against a limit of {limit:.2g}"
        )
        if p[row, column] >= limit:
            return f"coverage is right as far as it shows: at worst, {text}"
        return f"intervals are too {'narrow' if covered < nominal else 'wide'}: {text}: do not report them"

    def _p_values(self) -> Tensor:
        """Two-sided, (l, d): twice the smaller binomial tail, the count itself included."""
        k = torch.arange(self.n + 1, dtype=torch.float64, device=self.nominal.device)
        ways = math.lgamma(self.n + 1) - torch.lgamma(k + 1) - torch.lgamma(self.n - k + 1)
        p = self.nominal[:, None]
        mass = torch.exp(ways + torch.xlogy(k, p) + torch.xlogy(self.n - k, 1 - p))
        count = (self.covered * self.n).round().long()
        below, above = mass.cumsum(1), mass.flip(1).cumsum(1).flip(1)
        return 2 * torch.minimum(below.gather(1, count), above.gather(1, count)).clamp_max(0.5)


def coverage(ranks: Integer[Tensor, "n d"], s: int, levels: tuple[float, ...] = (0.5, 0.8, 0.9, 0.95)) -> Coverage:
    """The share of simulations whose truth lies in the central posterior interval of each level.

    The interval runs from the c-th smallest to the c-th largest draw, c = round((1 - level) (s + 1) / 2) >= 1, which
    exact posteriors fill with probability 1 - 2 c / (s + 1): the nominal level. ValueError for too few draws.
    """
    ranks, s = check_ranks(ranks, s)
    if not isinstance(levels, tuple | list) or not levels:
        raise TypeError(f"expected levels, a tuple of numbers within 0 and 1, got {described(levels)}: pass (0.5, 0.9)")
    levels = tuple(check_number("each of levels", level, "(0, 1)", "0.9 is an interval of 90 %") for level in levels)
    cuts = [round((1 - level) * (s + 1) / 2) for level in levels]
    for cut, level in zip(cuts, levels, strict=True):
        if not 1 <= cut <= s / 2:
            raise ValueError(f"expected levels within 0 and 1 - 2 / (s + 1), got {level} with s = {s}: take more draws")
    cut = torch.tensor(cuts, device=ranks.device)
    nominal = 1 - 2 * cut.double() / (s + 1)
    inside = (ranks >= cut[:, None, None]) & (ranks <= s - cut[:, None, None])
    error = torch.sqrt(nominal * (1 - nominal) / len(ranks))
    return Coverage(nominal, inside.double().mean(1), error[:, None], len(ranks))
