"""The harmonic mean of the likelihood over posterior draws: here to be recognised, and never to be used.

Approximates  log p(x) per datum, in name
With          -log mean_s exp(-log_w_s), log_w = log p(x, z_s) - log q(z_s) at draws z_s of p(z | x); for q the prior,
              log_w is the log likelihood and this is the harmonic mean
Requires      q / p(z | x) of finite variance under the posterior: q with tails lighter than the posterior's. The
              prior never has them
Unbiased when never; 1 / p(x) is unbiased, and worthless: see `harmonic`
Cost          one evaluation of log_p and q per draw
Reference     Newton and Raftery, 1994; Neal, 2008, "The harmonic mean of the likelihood: worst Monte Carlo method
              ever"; Gelfand and Dey, 1994, for a light-tailed q
"""

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys
from jensen.core.contracts import Distribution, LogDensity
from jensen.estimators.evidence._importance import Evidence, draw_at, from_log_weights


@torch.no_grad()
def harmonic(log_p: LogDensity, q: Distribution, z: Float[Tensor, "s n *d"]) -> Evidence:
    """The harmonic mean's "evidence" from draws z of the posterior, (n,) each; q is the prior. Never use it.

    Its mean is carried by regions where the likelihood is tiny, which the posterior all but never visits: a draw at
    distance t out in a Gaussian posterior counts exp(+t^2 / 2) times its density, so that 1 / w has infinite variance
    as soon as the data say more than the prior (posterior variance below half the prior's), and draws enough to
    correct it do not exist. It then exceeds log p(x), by nats, hardly feels the prior's width though log p(x) does,
    looks stable from run to run, and its standard_error, finite because it is a sample's, says all is well.

    Use `annealed_importance`, `smc` or `bridge`. With a q of lighter tails than the posterior's this is Gelfand and
    Dey's estimator, which is sound; `bridge` has a smaller error from the same draws.
    """
    log_w = draw_at(log_p, q, z)
    evidence = from_log_weights(lambda _: -log_w, keys.key(0, log_w.device), len(log_w))
    return evidence._replace(log_p=-evidence.log_p)
