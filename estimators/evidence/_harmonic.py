"""The harmonic mean estimator of the evidence, of infinite variance: for comparison alone.

Approximates  log p(x) per datum
With          -log mean_s exp(-log_w_s), log_w = log p(x, z_s) - log q(z_s) at draws z_s of p(z | x); for q the prior,
              log_w is the log likelihood and this is the harmonic mean
Requires      q / p(z | x) of finite variance under the posterior: q with tails lighter than the posterior's. The
              prior never has them
Unbiased when never; unbiased for 1 / p(x), with a variance that is mostly infinite: see `harmonic`
Cost          one evaluation of log_p and q per draw
Reference     Newton and Raftery, 1994; Neal, 2008, "The harmonic mean of the likelihood: worst Monte Carlo method
              ever"; Gelfand and Dey, 1994, for a light-tailed q
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_distribution, check_floating, check_function
from jensen.core.contracts import Distribution, LogDensity
from jensen.estimators.evidence._importance import draw_at, from_log_weights
from jensen.estimators.evidence.judgement import verdict

INFINITE = (
    "the variance is infinite unless q has lighter tails than the posterior, which no draws can tell: use bridge with "
    "the same draws"
)


class Harmonic(NamedTuple):
    """log_p in nats per datum, and the spread that the draws claim for it, a standard error's formula: (n,) each."""

    log_p: Float[Tensor, " n"]
    spread: Float[Tensor, " n"]

    @property
    def standard_error(self) -> Float[Tensor, " n"]:
        """inf: the draws cannot tell whether the variance is finite."""
        return torch.full_like(self.log_p, torch.inf)

    def verdict(self) -> str:
        """That the error is not known, and why."""
        doubts = {INFINITE: torch.ones_like(self.log_p, dtype=torch.bool)}
        return verdict("the harmonic mean", self.log_p, self.standard_error, doubts)


@torch.no_grad()
def harmonic(log_p: LogDensity, q: Distribution, z: Float[Tensor, "s n *d"]) -> Harmonic:
    """The harmonic mean estimator from draws z of the posterior, (n,) each; q is the prior.

    Its mean is dominated by regions of tiny likelihood, which posterior draws hardly reach: for a Gaussian posterior
    1 / w has infinite variance where the posterior variance is below half the prior's. It then overestimates log p(x)
    by nats, depends little on the prior's width though log p(x) does, agrees from run to run, and its `spread`, a
    sample's, is finite and far too small.

    Use `annealed_importance`, `smc` or `bridge`. With a q of lighter tails than the posterior's this is Gelfand and
    Dey's estimator, whose variance is finite and whose error is `spread`; `bridge` has a smaller one from the same
    draws.
    """
    check_function("log_p", log_p, "model.log_joint")
    check_distribution("q", q)
    check_floating("z", z, "s n *d", "draws first, then data")
    log_w = draw_at(log_p, q, z)
    inverse = from_log_weights(lambda _: -log_w, keys.key(0, log_w.device), len(log_w), bounded=True)
    return Harmonic(-inverse.log_p, inverse.standard_error)
