"""Bidirectional Monte Carlo: on data simulated from the model, log p(x) between a lower and an upper bound.

Approximates  log p(x) per simulated datum, from both sides
With          lower: log mean_k w_k of forward annealing from q; upper: -log mean_k w'_k of annealing back to q from
              z, an exact draw of p(z | x), the schedule reversed
Requires      pairs (z, x) drawn together from p(z) p(x | z): then z is one exact draw of p(z | x). Never real data,
              and never a z found by inference: from any other z the upper bound is none
Unbiased when never: E lower <= log p(x) <= E upper, and mean_k w'_k is unbiased for 1 / p(x)
Cost          twice that of annealed importance sampling
Reference     Grosse et al., 2015; Grosse et al., 2016; Wu et al., 2017
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from jensen.core import keys
from jensen.estimators.evidence.annealed import anneal, check_run
from jensen.estimators.evidence.importance import from_log_weights
from jensen.estimators.evidence.moves import Hamiltonian, hmc, tune
from jensen.estimators.evidence.paths import Geometric
from jensen.estimators.gradients.contract import LogDensity


class Averages(NamedTuple):
    """Means over data with their standard errors, 0-d: the spread of n independent pairs (inf for one pair)."""

    lower: Float[Tensor, ""]
    lower_error: Float[Tensor, ""]
    upper: Float[Tensor, ""]
    upper_error: Float[Tensor, ""]
    gap: Float[Tensor, ""]
    gap_error: Float[Tensor, ""]


class Sandwich(NamedTuple):
    """Bounds per datum in nats, with the error of each that comes from its k chains, all (n,).

    The chains of the upper bound share one z, whose luck their spread does not show: a single upper bound may be off
    by more than upper_error. The errors of `over_data` are whole.
    """

    lower: Float[Tensor, " n"]
    upper: Float[Tensor, " n"]
    lower_error: Float[Tensor, " n"]
    upper_error: Float[Tensor, " n"]
    acceptance: Float[Tensor, " n"]

    @property
    def gap(self) -> Float[Tensor, " n"]:
        """upper - lower, (n,): its mean bounds what either side is off by; a single one may be negative."""
        return self.upper - self.lower

    def over_data(self) -> Averages:
        columns = [self.lower, self.upper, self.gap]
        n = len(self.gap)
        errors = [c.std() / n**0.5 if n > 1 else torch.full_like(c.mean(), torch.inf) for c in columns]
        return Averages(*(t for c, e in zip(columns, errors, strict=True) for t in (c.mean(), e)))


@torch.no_grad()
def bdmc(
    log_p: LogDensity,
    q: Any,
    z: Float[Tensor, "1 n *d"],
    key: Int[Tensor, "3"],
    k: int,
    schedule: Float[Tensor, " t"],
    move: Hamiltonian = hmc,
    repeats: int = 1,
    chunk: int = 64,
) -> Sandwich:
    """Bounds from k forward and k backward chains per pair (z, x).

    z (1, n, *d) are draws of the prior, x is drawn from p(x | z), and log_p and q are made for that x:

        z = model.sample_prior(decoder, key, n)
        x = ...  # a draw of model.observation(decoder, z)
        sandwich = bdmc(partial(model.log_joint, decoder, x), model.posterior(encoder, x), z, key, 16, linear(1000))

    Both directions use the step sizes of one pilot, as `annealed_importance` does, whose other arguments these are.
    """
    check_run(schedule, repeats)
    path = Geometric.of(log_p, q)
    if z.ndim < 2 or z.shape[0] != 1:
        raise ValueError(f"expected one exact draw per datum, z (1, n, *d), got {tuple(z.shape)}: take z[:1]")
    pilot_key, forward_key, backward_key = keys.split(key, 3)
    steps = tune(path, schedule, move, pilot_key)
    s, acceptances = min(chunk, max(k, 1)), []

    def forward(key: Tensor) -> Tensor:
        start_key, chain_key = keys.split(key)
        return run(path.start(start_key, s), schedule, steps, chain_key)

    def backward(key: Tensor) -> Tensor:
        return run(path.at(z.expand(s, *z.shape[1:])), schedule.flip(0), steps.flip(0), key)

    def run(point: Any, schedule: Tensor, steps: Tensor, key: Tensor) -> Tensor:
        log_w, acceptance = anneal(path, point, schedule, steps, move, repeats, key)
        acceptances.append(acceptance)
        return log_w

    lower, upper = from_log_weights(forward, forward_key, k), from_log_weights(backward, backward_key, k)
    acceptance = torch.stack(acceptances).mean(0)
    return Sandwich(lower.log_p, -upper.log_p, lower.standard_error, upper.standard_error, acceptance)
