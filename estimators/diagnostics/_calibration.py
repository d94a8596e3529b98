"""Simulation-based calibration (Talts et al., 2018), and its variational form.

Approximates  the distribution of the true parameter's rank among posterior draws, uniform where posteriors are exact
With          parameters from the prior, data given them, and s posterior draws given the data, for each key
Requires      independent draws, and a model that can be simulated
Unbiased when always: under an exact posterior the p-values are uniform, to the approximations of their two tests.
              Draws that equal the truth, as of discrete parameters, are ordered at random, so that ranks stay uniform
Cost          one simulation and one posterior for each key
Reference     Talts et al., 2018, for the ranks; Saad et al., 2019, for ties; Yao et al., 2018, for the symmetry of
              variational ranks (VSBC); Smirnov, 1947, for its test
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int, Integer
from torch import Tensor
from torch.func import vmap

from jensen.core.checks import check_count, check_floating, check_function, check_key, described
from jensen.core.concrete import is_concrete
from jensen.core.contracts import Key
from jensen.core.keys import split, uniform
from jensen.core.trees import Tree
from jensen.estimators.diagnostics._checks import check_filled, check_keys, check_ranks
from jensen.estimators.wording import listed

LEVEL = 0.01  # of a verdict, over all parameters together


class Calibration(NamedTuple):
    """ranks (n, d) in 0 … s for n simulations; the rest (d,).

    p_uniform is small where ranks are not uniform, p_symmetric where they are not symmetric: a posterior of the right
    centre and the wrong width, as variational ones often are, fails the first test alone.
    spread > 1, for symmetric ranks: the truth is too often in the tails, the posterior too narrow; a posterior with a
    wrong centre concentrates ranks, whatever its width. shift > 0: the truth is above it.
    """

    ranks: Int[Tensor, "n d"]
    p_uniform: Float[Tensor, " d"]
    p_symmetric: Float[Tensor, " d"]
    spread: Float[Tensor, " d"]  # the variance of ranks over that of uniform ones
    shift: Float[Tensor, " d"]  # the mean of ranks / s less 1/2
    s: int

    def verdict(self) -> str:
        n, d = self.ranks.shape
        limit = LEVEL / (2 * d)  # two tests of each
        p = torch.minimum(self.p_uniform, self.p_symmetric)
        bad, least, worst = p < limit, p.min().item(), int(p.argmin())
        if not bad.any():
            return (
                f"calibrated as far as {n} simulations show: ranks are uniform in all {d} parameters, the least "
                f"p-value {least:.2g} not below {limit:.2g}"
            )
        return (
            f"not calibrated: ranks are not uniform in parameters {listed(bad)} of {d}, p-value {least:.2g} below "
            f"{limit:.2g}; in {worst} the posterior is {self._fault(worst, limit)}: do not trust its intervals there"
        )

    def _fault(self, j: int, limit: float) -> str:
        """The significant fault in parameter j; one of width only for symmetric ranks."""
        n, (spread, shift) = len(self.ranks), (t[j].item() for t in (self.spread, self.shift))
        z = -torch.special.ndtri(torch.tensor(limit / 2, dtype=torch.float64)).item()
        if self.p_symmetric[j] >= limit:
            if abs(spread - 1) > z * math.sqrt(0.8 / n):  # at most, of uniform ranks
                return f"{'too narrow' if spread > 1 else 'too wide'} (spread of ranks {spread:.2f}, 1 if exact)"
        elif abs(shift) > z * math.sqrt((self.s + 2) / (12 * self.s * n)):
            return f"{'too low' if shift > 0 else 'too high'} (shift {shift:+.2f})"
        return f"of the wrong shape (spread of ranks {spread:.2f}, shift {shift:+.2f})"


def simulation_based_calibration(
    simulate: Callable[[Tensor], tuple[Tensor, Tree]],
    posterior_draws: Callable[[Tensor, Tree], Tensor],
    keys: Int[Tensor, "n 3"],
    chunk: int | None = None,
) -> Calibration:
    """Ranks of the truth among posterior draws, for each key; both functions are pure and mapped by vmap.

    simulate(key) -> (theta (d,), x), from the prior and the likelihood; posterior_draws(key, x) -> (s, d).
    Where they cannot be mapped, as with a loop that runs until it converges, loop over keys, and give the stacked
    theta (n, d) and draws (s, n, d) to `ranks` and those to `calibration`.
    """
    check_function("simulate", simulate, "lambda key: (theta, x)")
    check_function("posterior_draws", posterior_draws, "lambda key, x: draws")
    check_keys(keys)
    chunk = None if chunk is None else check_count("chunk", chunk)

    def one(key: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        truth, inference, ties = split(key, 3)
        simulated = simulate(truth)
        if not isinstance(simulated, tuple) or len(simulated) != 2:
            raise TypeError(f"expected simulate(key) to give (theta, x), got {described(simulated)}: return both")
        theta, x = simulated
        check_floating("theta of simulate(key)", theta, "d", "give a vector of parameters, such as theta[None]")
        draws = posterior_draws(inference, x)
        check_floating(
            "posterior_draws(key, x)", draws, f"s {len(theta)}", "a row for each draw, a column for each theta"
        )
        return theta, draws, uniform(ties, theta.shape, torch.float64)

    theta, draws, u = vmap(one, chunk_size=chunk)(keys)
    return calibration(_places(theta, draws.transpose(0, 1), u), draws.shape[1])


def ranks(theta: Float[Tensor, "n d"], draws: Float[Tensor, "s n d"], key: Key) -> Int[Tensor, "n d"]:
    """The truth's place among the s draws, 0 … s: how many are below it, and a random share of those that equal it.

    rank = #(draws < theta) + floor(u (1 + #(draws = theta))), u uniform: where the truth is itself a draw of the
    posterior, each place is as probable, with ties as without. Draws must be independent: thin those of a chain.
    """
    check_floating("theta", theta, "n d", "a row for each simulation; the truth comes before its draws")
    check_floating("draws", draws, "s n d", "one draw for each simulation is draws[i]: stack them in front")
    check_key(key)
    if draws.shape[1:] != theta.shape:
        raise ValueError(
            f"expected draws (s, {theta.shape[0]}, {theta.shape[1]}) for theta {tuple(theta.shape)}, got "
            f"{tuple(draws.shape)}: transpose them, or simulate as many"
        )
    check_filled("theta", theta)
    check_filled("draws", draws)
    return _places(theta, draws, uniform(key, (1, *theta.shape), torch.float64)[0])


def _places(theta: Tensor, draws: Tensor, u: Tensor) -> Tensor:
    for name, values in (("theta", theta), ("draws", draws)):
        if is_concrete(values) and values.isnan().any():
            raise ValueError(f"expected {name} without NaN, got {int(values.isnan().sum())}: look where they come from")
    below, ties = (draws < theta).sum(0), (draws == theta).sum(0)
    return below + (u * (1 + ties)).long()


def calibration(ranks: Integer[Tensor, "n d"], s: int, bins: int | None = None) -> Calibration:
    """The tests of ranks among s draws: chi-square over `bins`, by default such that each expects 25, at most 20.

    chi^2 = sum_b (count_b - n p_b)^2 / (n p_b), p_b the share of the s + 1 ranks in bin b, so that bins need not be
    equal; symmetry by sqrt(n) sup_u |F(u) + F(1 - u) - 1|.
    """
    ranks, s = check_ranks(ranks, s)
    n = len(ranks)
    bins = min(20, s + 1, max(2, n // 25)) if bins is None else check_count("bins", bins, 2)
    if bins > s + 1:
        raise ValueError(f"expected 2 <= bins <= s + 1 = {s + 1}, got {bins}: take more draws, or fewer bins")
    each = torch.arange(s + 1, device=ranks.device) * bins // (s + 1)  # the bin of every rank
    expected = n * torch.bincount(each, minlength=bins).double()[:, None] / (s + 1)
    empty = torch.zeros(bins, ranks.shape[1], dtype=torch.float64, device=ranks.device)
    counts = empty.scatter_add(0, each[ranks], torch.ones_like(ranks, dtype=torch.float64))
    chi_square = ((counts - expected).square() / expected).sum(0)
    p_uniform = torch.special.gammaincc(torch.full_like(chi_square, (bins - 1) / 2), chi_square / 2)
    spread = ranks.double().var(0) * 12 / ((s + 1) ** 2 - 1)
    return Calibration(ranks, p_uniform, _symmetry(2 * ranks - s), spread, ranks.double().mean(0) / s - 0.5, s)


def _symmetry(v: Tensor) -> Tensor:
    """Smirnov's p-value of integers v (n, d) symmetric about 0: sqrt(n) sup |F(v) + F(-v) - 1| is sup |W| in the limit.

    P(sup |W| > x) = 4 sum_k (-1)^k Phi(-(2k + 1) x), W Brownian motion on [0, 1].
    """
    n = len(v)
    near, order = v.abs().sort(0, descending=True)
    steps = v.sign().gather(0, order).cumsum(0)  # from the ends inwards
    last = torch.cat([near[:-1] != near[1:], torch.ones_like(near[:1], dtype=torch.bool)])  # ties move together
    x = torch.where(last, steps.abs(), 0).amax(0).double() / math.sqrt(n)
    odd = 2 * torch.arange(20, dtype=x.dtype, device=x.device)[:, None] + 1
    sign = torch.where(odd % 4 == 1, 1.0, -1.0)
    return 4 * (sign * torch.special.ndtr(-odd * x.clamp_min(0.3))).sum(0)  # below 0.3 it is 1 to six digits
