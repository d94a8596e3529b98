"""Where a posterior may be: the highest-density regions of its estimates given one data set, and the prior there."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from jensen.core import keys
from jensen.core.contracts import Key
from jensen.estimators.inference.amortised import ConditionalDensity
from jensen.estimators.inference.simulator import Simulator

CHUNK = 10_000  # draws at once
OUTSIDE = 5  # draws that a threshold leaves out, or more
LEAST, MOST = 1000, 1_000_000  # draws of a threshold


class Region(NamedTuple):
    """z with log q(z | x) >= least for each of r densities q: all z for none."""

    x: Float[Tensor, "1 *event"]
    densities: tuple[ConditionalDensity, ...]
    least: tuple[Float[Tensor, ""], ...]  # nats

    @classmethod
    def everywhere(cls, x: Float[Tensor, "1 *event"]) -> "Region":
        return cls(x, (), ())

    @torch.no_grad()
    def contains(self, z: Float[Tensor, "k d"]) -> Bool[Tensor, " k"]:
        inside = torch.ones(len(z), dtype=torch.bool, device=z.device)
        for q, least in zip(self.densities, self.least, strict=True):
            left = inside.nonzero()[:, 0]  # the rest need no density
            inside[left] = q.given(self.x).log_prob(z[left, None])[:, 0] >= least
        return inside

    @torch.no_grad()
    def draws(self, key: Key, q: ConditionalDensity, s: int) -> tuple[Float[Tensor, "k d"], Float[Tensor, " k"]]:
        """Those of s draws of q(z | x) that lie in the region, and their log densities in nats."""
        given, found = q.given(self.x), []
        for i in range(0, s, CHUNK):
            z = given.sample(given.noise(keys.at(key, particle=i), min(CHUNK, s - i)))
            found.append(z[self.contains(z[:, 0])])
        inside = torch.cat(found)
        return inside[:, 0], torch.cat([given.log_prob(some) for some in inside.split(CHUNK)])[:, 0]

    def narrowed(self, key: Key, q: ConditionalDensity, epsilon: float) -> "Region":
        """That part of it where q is highest, with 1 - epsilon of q's probability in it, by q's draws.

        The m-th smallest log density of k independent draws leaves out m / (k + 1) of the probability on average.
        """
        s = min(MOST, max(LEAST, math.ceil(OUTSIDE / epsilon)))
        _, log_q = self.draws(key, q, s)
        if not len(log_q):
            raise ValueError(
                f"expected draws of q(z | x) in the region of its simulations, got none of {s}: simulate more a round"
            )
        least = log_q.kthvalue(max(1, round(epsilon * (len(log_q) + 1)))).values
        return Region(self.x, (*self.densities, q), (*self.least, least))


class ExhaustedError(ValueError):
    """The prior has too few draws in a region."""


class Restricted(NamedTuple):
    """Draws of the prior in a region, and its probability of that, with a standard error."""

    z: Float[Tensor, "n d"]
    acceptance: Float[Tensor, ""]
    standard_error: Float[Tensor, ""]


def restricted(key: Key, simulator: Simulator, region: Region, n: int, most: int) -> Restricted:
    """n draws of the prior in the region by rejection. ExhaustedError where that needs more than `most` draws."""
    found, accepted, tried = [], 0, 0
    while accepted < n:
        if tried >= most:
            raise ExhaustedError(
                f"expected {n} draws of the prior in the region among {most}, got {accepted}: raise most, or epsilon, "
                "or take fewer rounds"
            )
        z = simulator.prior(keys.fold_in(key, tried), min(CHUNK, most - tried))
        found.append(z[region.contains(z)])
        accepted, tried = accepted + len(found[-1]), tried + len(z)
    share = torch.tensor(accepted / tried, dtype=torch.float64)
    return Restricted(torch.cat(found)[:n], share, torch.sqrt(share * (1 - share) / tried))
