"""Bidirectional Monte Carlo (Grosse et al., 2015): lower and upper bounds on log p(x) of data from the model.

Approximates  log p(x) per simulated datum, from both sides
With          lower: log mean_k w_k of forward annealing from q; upper: -log mean_k w'_k of annealing back to q from
              z, an exact draw of p(z | x), the schedule reversed
Requires      pairs (z, x) drawn together from p(z) p(x | z), so that z is one exact draw of p(z | x): not real data,
              nor a z from approximate inference, for which the upper bound does not hold
Unbiased when never: E lower <= log p(x) <= E upper, and mean_k w'_k is unbiased for 1 / p(x)
Cost          twice that of annealed importance sampling
Reference     Grosse et al., 2015; Grosse et al., 2016; Wu et al., 2017
"""

from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys, trees
from jensen.core.checks import check_floating
from jensen.core.contracts import Distribution, Event, Key, LogDensity
from jensen.estimators.evidence.annealed import Walk, chains, check_run
from jensen.estimators.evidence.moves import Hamiltonian, hmc
from jensen.estimators.evidence.paths import Geometric
from jensen.estimators.evidence.tuning import tune


class Averages(NamedTuple):
    """Means over data with their standard errors, 0-d: the spread of n independent pairs (inf for one pair)."""

    lower: Float[Tensor, ""]
    lower_error: Float[Tensor, ""]
    upper: Float[Tensor, ""]
    upper_error: Float[Tensor, ""]
    gap: Float[Tensor, ""]
    gap_error: Float[Tensor, ""]


class Sandwich(NamedTuple):
    """Bounds per datum in nats, with the standard error of each over its k chains, all (n,).

    An error is inf where the chains' weights do not tell it, see `annealed_importance`; the bounds hold even so.
    The chains of the upper bound share one z, whose variance is not part of upper_error, but of the errors of
    `over_data`.
    """

    lower: Float[Tensor, " n"]
    upper: Float[Tensor, " n"]
    lower_error: Float[Tensor, " n"]
    upper_error: Float[Tensor, " n"]
    acceptance: Float[Tensor, " n"]

    @property
    def gap(self) -> Float[Tensor, " n"]:
        """upper - lower, (n,): its mean bounds the mean error of either side; a single one may be negative."""
        return self.upper - self.lower

    def over_data(self) -> Averages:
        """Means over the data, whose gap bounds the mean error of either side.

        A datum whose chains all end outside the support has a lower bound of -inf, and so has the mean, with an error
        of inf: (sandwich.lower == -inf).nonzero() are the data. The mean without them would be biased.
        """
        return Averages(*(t for column in (self.lower, self.upper, self.gap) for t in _mean(column)))

    def verdict(self) -> str:
        mean, n = self.over_data(), len(self.lower)
        if not mean.gap_error.isfinite():
            reason = "the gap of a single pair has no error" if n == 1 else "a bound is infinite or NaN"
            return f"how far the bounds are from log p(x) is not known: {reason}: simulate more pairs from the model"
        return (
            f"log p(x) is between {mean.lower:.4g} ± {mean.lower_error:.2g} and {mean.upper:.4g} ± "
            f"{mean.upper_error:.2g} nats, on average over {n} simulated data: a gap of {mean.gap:.2g} ± "
            f"{mean.gap_error:.2g}"
        )


def _mean(column: Tensor) -> tuple[Tensor, Tensor]:
    """The mean of (n,) and its standard error: inf for one datum, and where the mean is infinite."""
    mean, n = column.mean(), len(column)
    unknown = n == 1 or bool(mean.isinf())
    return mean, torch.full_like(mean, torch.inf) if unknown else column.std() / n**0.5


@torch.no_grad()
def bdmc(
    log_p: LogDensity,
    q: Distribution,
    z: Event,
    key: Key,
    k: int,
    schedule: Float[Tensor, " t"],
    move: Hamiltonian = hmc,
    repeats: int = 1,
    chunk: int = 64,
) -> Sandwich:
    """Bounds from k forward and k backward chains per pair (z, x).

    z (1, n, *d) are draws of the prior, x is drawn from p(x | z), and log_p and q are made for that x:

        prior = model.prior(params, n)
        z = prior.sample(prior.noise(z_key, 1))
        x = ...  # a draw of model.likelihood(params, z), (n, *event)
        sandwich = bdmc(partial(model.log_joint, params, x), model.posterior(params, x), z, key, 16, linear(1000))

    Both directions use the step sizes of one pilot, as `annealed_importance` does, whose other arguments these are.
    """
    k, repeats, chunk = check_run(key, k, schedule, move, repeats, chunk)
    for each in trees.leaves(z):
        check_floating("z", each, "1 n *d", "take z[:1], one exact draw per datum")
    path = Geometric.of(log_p, q)
    pilot_key, forward_key, backward_key = keys.split(key, 3)
    walk, s = Walk(schedule, tune(path, schedule, move, pilot_key), move, repeats), min(chunk, k)
    forward = chains(path, walk, partial(path.start, s=s), forward_key, k)
    backward = chains(
        path, walk.back(), lambda _: path.of_values(trees.map(lambda t: t.expand(s, *t.shape[1:]), z)), backward_key, k
    )
    acceptance = torch.stack([forward.acceptance, backward.acceptance]).nanmean(0)
    return Sandwich(forward.log_p, -backward.log_p, forward.standard_error, backward.standard_error, acceptance)
