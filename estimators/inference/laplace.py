"""Laplace's approximation (MacKay, 1992; Tierney and Kadane, 1986): the normal of the curvature at the best mode.

    approximation, trace = fit(key, posterior, posterior.starts(start_key, 4))
    approximation.q.loc, approximation.elbo, approximation.evidence
    approximation.verdict()
    trace.objective                                              # log p(x) by Laplace, of each start

Approximates  p(z | x) by N(mode, (-H)^-1), H the Hessian of log p at the mode; of a diagonal covariance by 1 / -H_ii,
              the variance of each coordinate given the others
With          a trust region from each start to a mode; of these, the one with most evidence by Laplace
Requires      two derivatives of log p; a mode with -H positive definite; unconstrained coordinates
Unbiased when the posterior is normal: then exact, a full covariance. Otherwise the mode is not the mean; the
              approximation is judged on draws of its own, and its evidence is by importance sampling from them
Cost          the climbs, d Hessian-vector products, and `samples` evaluations of log p
Reference     Tierney and Kadane, 1986; MacKay, 1992; for networks see `network_laplace`
"""

from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_choice, check_count, check_floating, check_key
from jensen.core.contracts import Key, LogDensity
from jensen.core.models.bayes import Posterior
from jensen.core.models.bayes.coordinates import places
from jensen.estimators.evidence import Laplace
from jensen.estimators.evidence.local import Local
from jensen.estimators.evidence.modes import missing
from jensen.estimators.inference.approximation import Approximation, judge
from jensen.estimators.inference.coordinates import APART, at_modes, best_of, normal
from jensen.estimators.inference.fitting import Trace
from jensen.estimators.inference.starting import check_log_p

Covariance = Literal["full", "diagonal"]
COVARIANCES = get_args(Covariance)


def fit(
    key: Key,
    log_p: LogDensity,
    start: Float[Tensor, "m d"],
    covariance: Covariance = "full",
    samples: int = 4000,
) -> tuple[Approximation, Trace]:
    """The normal at the best mode, and what it is worth; the trace is of Laplace's evidence from each start, in nats.

    log_p: z (s, m, d) -> (s, m), such as a `bayes.Posterior`. The trace has NaN for a start that climbs to no mode, and
    for every error, which Laplace's evidence does not know. ValueError where no start does, with what is wrong there:
    for a Hessian that is not negative definite the direction and its parameter.
    """
    check_key(key)
    check_floating("start", start, "m d", "a row for each start, such as posterior.starts(key, 4)")
    if not start.numel():
        raise ValueError(f"expected start (m, d) with m >= 1, got {tuple(start.shape)}: give each start a row")
    check_choice("covariance", covariance, COVARIANCES)
    samples = check_count("samples", samples, 2)
    judge_key, look_key = keys.split(key)
    check_log_p(log_p, look_key)
    normals = at_modes(log_p, start)
    if normals.log_p.isnan().all():
        raise ValueError(f"expected a start that climbs to a mode, got none: {_why(log_p, normals)}")
    q = normal(best_of(normals, covariance), covariance)
    trace = Trace(normals.log_p, normals.standard_error, {}, normals.log_p.isfinite().all())
    return judge(log_p, q, judge_key, samples), trace


def _why(log_p: LogDensity, normals: Laplace) -> str:
    """What keeps the highest of the points that were reached from being a mode."""
    here = Local.of(log_p, normals.mode)
    best = here.value.nan_to_num(nan=-torch.inf).argmax()
    precision = -here.hessian()[best]
    if not precision.isfinite().all() or normals.climb[best].isfinite():
        return "; ".join(missing(normals.climb[best][None], APART))
    curvature, directions = torch.linalg.eigh(precision)
    share, name = max((directions[at, 0].square().sum().item(), name) for at, name in _places(log_p, len(directions)))
    return (
        f"minus the Hessian of log_p has the eigenvalue {curvature[0].item():.2g} at the highest point reached, in a "
        f"direction that is {share:.0%} {name}: the density is flat or has no bound there, so give that parameter a "
        "proper prior or another parameterisation, start elsewhere, or take pathfinder or advi"
    )


def _places(log_p: LogDensity, d: int) -> list[tuple[slice, str]]:
    """Where each parameter's numbers are, by its name, or each number."""
    if isinstance(log_p, Posterior):
        return [(at, name) for name, at in places(log_p.support).items()]
    return [(slice(i, i + 1), f"z[{i}]") for i in range(d)]
