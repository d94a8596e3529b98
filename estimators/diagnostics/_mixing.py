"""Whether chains have mixed, and how many independent draws theirs are worth (Vehtari et al., 2021).

Approximates  R-hat, the spread of all draws over that within chains; bulk and tail effective sample sizes; and the
              Monte Carlo standard errors of means and of standard deviations
With          chains split in halves, the draws' ranks as normal quantiles for R-hat and the bulk, indicators of the 5 %
              and 95 % quantiles for the tail; autocovariances averaged over chains up to Geyer's initial monotone
              sequence
Requires      draws (t, m, d) of m chains from dispersed starts, t >= 8; a mode that no chain reaches is seen by nothing
Unbiased when never; R-hat tends to 1 as chains mix, also where the draws have no mean or variance
Cost          a sort and a Fourier transform of the draws for each statistic
Reference     Vehtari et al., 2021; Geyer, 1992
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from jensen.core.checks import check_floating
from jensen.core.numerics import at_least_float32
from jensen.core.trees import Static
from jensen.estimators.wording import listed

LEAST = 8  # draws of a chain
LARGEST = 1.01  # of R-hat
ENOUGH = 400.0  # effective draws, below which R-hat and the sizes are themselves noise
TAILS = (0.05, 0.95)


class Mixing(NamedTuple):
    """Of each of d quantities. NaN where the draws are not finite, or all the same.

    standard_error is that of the mean, and sd_error that of the standard deviation, in the quantities' own units.
    """

    r_hat: Float[Tensor, " d"]
    bulk_ess: Float[Tensor, " d"]
    tail_ess: Float[Tensor, " d"]
    standard_error: Float[Tensor, " d"]
    sd_error: Float[Tensor, " d"]
    chains: Static[int]

    @property
    def mixed(self) -> Bool[Tensor, " d"]:
        """R-hat at most 1.01, and 400 effective draws in the bulk and in the tails."""
        return (self.r_hat <= LARGEST) & (self.bulk_ess >= ENOUGH) & (self.tail_ess >= ENOUGH)

    def verdict(self, names: Sequence[str] = ()) -> str:
        """Whether the draws may be used, and of which quantities not, by their numbers or names, one for each."""
        of = "" if names else "quantities "
        if self.chains.value < 2:
            return "no verdict: one chain does not show whether it has found everything: start four or more apart"
        if self.r_hat.isnan().any():
            bad = listed(self.r_hat.isnan(), names)
            return f"no verdict: {of}{bad} are constant, NaN or infinite: look at their draws there first"
        worst = (
            f"R-hat is at most {self.r_hat.max().item():.3f}, and the fewest effective draws are "
            f"{self.bulk_ess.min().item():.0f} in the bulk and {self.tail_ess.min().item():.0f} in the tails"
        )
        if self.mixed.all():
            return f"the chains have mixed: {worst}"
        return (
            f"the chains have not mixed in {of}{listed(~self.mixed, names)}: {worst}; expected R-hat of at most "
            f"{LARGEST} and {ENOUGH:.0f} effective draws: draw longer chains, or choose other parameters where R-hat "
            "stays"
        )


@torch.no_grad()
def mixing(draws: Float[Tensor, "t m d"]) -> Mixing:
    """The chains' R-hat, effective sample sizes and Monte Carlo errors: t draws of each of m chains, of d quantities.

    ValueError for fewer than 8 draws of a chain.
    """
    check_floating("draws", draws, "t m d", "draws lead, then chains; for one quantity add an axis with t[..., None]")
    if len(draws) < LEAST:
        raise ValueError(f"expected draws (t, m, d) with t >= {LEAST}, got {tuple(draws.shape)}: draw longer chains")
    x = _split(at_least_float32(draws).double())
    low, high = x.amin((0, 1)), x.amax((0, 1))
    usable = x.isfinite().all(0).all(0) & (high > low)
    unit = torch.where(usable, high - low, 1.0)
    x = (x - low) / unit  # whose squares neither overflow nor vanish
    flat = x.flatten(0, 1)
    bulk = _ranked(x)
    median, *ends = torch.quantile(flat, x.new_tensor([0.5, *TAILS]), dim=0)
    r_hat = torch.maximum(_r_hat(bulk), _r_hat(_ranked((x - median).abs())))
    tails = [_ess((x <= q).to(x.dtype)) for q in ends]
    ess, variance = _ess(x), flat.var(0)
    apart = (x - flat.mean(0)).square()
    # of a standard deviation by that of the variance, whose derivative is 1 / (2 sd)
    sd_error = torch.sqrt(apart.flatten(0, 1).var(0) / _ess(apart)) / (2 * torch.sqrt(variance))
    errors = [unit * torch.sqrt(variance / ess), unit * sd_error]
    found = torch.stack([r_hat, _ess(bulk), torch.stack(tails).amin(0), *errors])
    found = torch.where(usable, found, torch.nan).to(at_least_float32(draws).dtype)
    r_hat, bulk_ess, tail_ess, standard_error, sd_error = found
    return Mixing(r_hat, bulk_ess, tail_ess, standard_error, sd_error, Static(draws.shape[1]))


def _split(x: Tensor) -> Tensor:
    """Each chain as two, (t / 2, 2 m, d); of an odd number of draws the middle one is left out."""
    half = len(x) // 2
    return torch.cat([x[:half], x[-half:]], 1)


def _ranked(x: Tensor) -> Tensor:
    """Normal quantiles of the ranks among all draws, of equal draws their mean rank."""
    flat = x.flatten(0, 1).T.contiguous()
    ordered = flat.sort(-1).values
    low, high = torch.searchsorted(ordered, flat), torch.searchsorted(ordered, flat, right=True)
    rank = (low + high + 1) / 2
    z = torch.special.ndtri((rank - 0.375) / (flat.shape[-1] + 0.25))
    return z.T.reshape(x.shape)


def _r_hat(x: Tensor) -> Tensor:
    within = x.var(0).mean(0)
    return torch.sqrt((len(x) - 1) / len(x) + x.mean(0).var(0) / within)


def _ess(x: Tensor) -> Tensor:
    """t m / (1 + 2 sum of autocorrelations), over chains (t, m, d); at most t m log10(t m), and t m of a constant.

    Indicators are constant where a quantile is the largest draw, as of counts: no draw then says less than another.
    """
    t, m = x.shape[:2]
    spectrum = torch.fft.rfft(x - x.mean(0), n=2 * t, dim=0).abs().square()
    covariance = torch.fft.irfft(spectrum, n=2 * t, dim=0)[:t].mean(1) / t
    within = covariance[0] * t / (t - 1)
    total = covariance[0] + x.mean(0).var(0)
    correlation = torch.cat([torch.ones_like(total)[None], 1 - (within - covariance[1:]) / total])
    pairs = correlation[: t - t % 2].unflatten(0, (t // 2, 2)).sum(1)
    positive = (pairs > 0).cumprod(0)
    last = (2 * positive.sum(0)).clamp_max(t - 1)  # the first lag of the pair that is not positive may still be
    rest = correlation.gather(0, last[None])[0].clamp_min(0)
    time = 2 * (positive * pairs.cummin(0).values).sum(0) + rest - 1
    return torch.where(total > 0, t * m / time.clamp_min(1 / math.log10(t * m)), t * m)
