"""A posterior for one data set from rounds of simulations, and what they say of it."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from jensen.core import distributions, keys
from jensen.core.contracts import Distribution, Key
from jensen.estimators.diagnostics import Calibration, calibration
from jensen.estimators.inference.amortised import Amortised, ConditionalDensity
from jensen.estimators.inference.npe import Learnt
from jensen.estimators.inference.region import Region, Restricted
from jensen.estimators.wording import listed

RANKS = 99
TRIED = 300  # draws for the rank of a held-out simulation, of which those in the region count
DRAWS = 4000  # of q at the data
SMALL = 0.01  # of the posterior's probability, outside the region
LEVEL = 0.01  # of an estimate that is called too narrow


class Round(NamedTuple):
    """What a round's simulations were, and q's draws at the data: 0-d each, or (r,) of all rounds.

    n           simulations in the region, those of earlier rounds with them
    acceptance  the prior's probability of the region, with its standard error
    leakage     q's probability outside the region
    moved       KL(q from the q of the round before) at the data, in nats; inf in the first round
    """

    n: Int[Tensor, "*r"]
    acceptance: Float[Tensor, "*r"]
    standard_error: Float[Tensor, "*r"]
    leakage: Float[Tensor, "*r"]
    moved: Float[Tensor, "*r"]


class Sequential(NamedTuple):
    """q(z | x) for one x, from simulations in a region, and the estimates of the rounds before.

    The calibration of each is over the prior in its region.
    """

    estimates: tuple[Amortised, ...]
    region: Region
    rounds: Round
    epsilon: float
    tolerance: float
    ended: str  # why before the last round, "" where they did not

    @property
    def last(self) -> Amortised:
        """The last round's, of any x like its simulations."""
        return self.estimates[-1]

    def given(self) -> Distribution:
        """The posterior of z (s, 1, d), the parameters' real numbers."""
        return self.last.given(self.region.x)

    def draws(self, key: Key, s: int) -> Float[Tensor, "s 1 d"]:
        """Draws of z."""
        return self.last.draws(key, self.region.x, s)

    def constrained(self, z: Float[Tensor, "... d"]) -> dict[str, Tensor]:
        """The parameters (..., *shape) by name."""
        return self.last.constrained(z)

    def verdict(self) -> str:
        """Whether the posterior is calibrated where it was simulated, and whether the region has all of it."""
        reasons = [f"in the region, {self.last.verdict(self.region.x)}"]
        narrow = torch.stack([_is_narrow(each.calibration) for each in self.estimates])[:-1]
        if narrow.any():
            reasons.append(
                f"the estimates of rounds {listed(narrow)} were too narrow, and so may be the region: simulate more a "
                "round"
            )
        left = 1 - (1 - self.epsilon) ** len(self.region.densities)
        if left > SMALL:
            reasons.append(
                f"truncation left out {100 * left:.2g} % of the posterior, epsilon {self.epsilon:.2g} a round: lower it"
            )
        leakage = self.rounds.leakage[-1].item()
        if leakage > SMALL:
            reasons.append(
                f"{100 * leakage:.2g} % of q lie outside the region, which may have cut the posterior: simulate more a "
                "round, or lower epsilon"
            )
        moved = self.rounds.moved[-1].item()
        if self.tolerance < moved < torch.inf:
            reasons.append(f"the last round moved it by {moved:.2g} nats: another may move it too")
        if self.ended:
            reasons.append(f"rounds ended early: {self.ended}")
        return "; ".join(reasons)


@torch.no_grad()
def measured(
    key: Key, q: ConditionalDensity, before: ConditionalDensity | None, region: Region, drawn: Restricted, n: int
) -> Round:
    """Of a round whose n simulations are in the region, some of them just drawn there."""
    z, log_q = distributions.draw(q.given(region.x), key, DRAWS)
    leakage = 1 - region.contains(z[:, 0]).double().mean()
    moved = log_q.new_full((), torch.inf)
    if before is not None:
        moved = (log_q - before.given(region.x).log_prob(z)).mean()
    return Round(torch.tensor(n), drawn.acceptance, drawn.standard_error, leakage, moved.double())


@torch.no_grad()
def calibrated(key: Key, learnt: Learnt, region: Region) -> Calibration:
    """Ranks of held-out z among those draws of q(z | their x) that lie in the region, as these z do.

    Of k draws there are k + 1 places, equally probable under the posterior; a uniform point of the place makes them
    comparable whatever k.
    """
    draw_key, place_key = keys.split(key)
    truth, x = learnt.unseen
    given = learnt.q.given(x)
    z = given.sample(given.noise(draw_key, TRIED))
    inside = region.contains(z.flatten(0, 1)).unflatten(0, z.shape[:2])[..., None]
    below, k = ((z < truth) & inside).sum(0), inside.sum(0)
    u = keys.uniform(place_key, (1, *truth.shape), torch.float64)[0]
    return calibration(((below + u) / (k + 1) * (RANKS + 1)).long().clamp_max(RANKS), RANKS)


def _is_narrow(found: Calibration) -> Bool[Tensor, ""]:
    """Whether ranks are not uniform and lie at the ends."""
    return ((found.p_uniform < LEVEL / (2 * found.ranks.shape[1])) & (found.spread > 1)).any()
