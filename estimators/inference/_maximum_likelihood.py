"""Maximum likelihood of parameters of any log likelihood, with standard errors by the observed information.

Approximates  theta by the point where log p(x | theta) is largest, for each datum by itself
With          `evidence.find_mode` in coordinates without constraints, in which the maximum is the same point; the
              covariance is the inverse of minus the Hessian there, carried to theta by the bijection's slope
Requires      two derivatives of the log likelihood; a maximum inside the bijection's set
Unbiased when none; its bias falls as 1 / observations, and the errors are those of many observations
Cost          that of the mode, and m Hessian-vector products and one Cholesky factor per datum
Reference     Fisher, 1922; Efron and Hinkley, 1978
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import jacrev, vmap

from jensen.core.contracts import Bijection, LogDensity
from jensen.estimators.evidence import find_mode, laplace
from jensen.estimators.evidence.local import in_real_coordinates
from jensen.estimators.evidence.modes import missing
from jensen.estimators.wording import of_data

TOLERANCE = 1e-3  # nats that a step may still gain at a maximum
UNIDENTIFIED = (
    "the observed information is not positive definite there: fix a direction of theta that the data do not identify, "
    "or start elsewhere"
)


class MaximumLikelihood(NamedTuple):
    """The likeliest theta, its log likelihood in nats (n,), and the covariance of the estimate, over k flat components.

    climb, (n,): the gain in nats that a Newton step predicts, 0 at a maximum. Where it is above the tolerance, or the
    observed information is not positive definite, the covariance is NaN.
    """

    theta: Float[Tensor, "n *event"]
    log_likelihood: Float[Tensor, " n"]
    covariance: Float[Tensor, "n k k"]
    climb: Float[Tensor, " n"]

    @property
    def standard_error(self) -> Float[Tensor, "n *event"]:
        """Of each component of theta."""
        return self.covariance.diagonal(dim1=-2, dim2=-1).sqrt().reshape(self.theta.shape)

    def verdict(self) -> str:
        """What is not known: which data are not at a maximum, and what the errors rest on."""
        flat = self.climb == torch.inf
        reasons = missing(torch.where(flat, 0.0, self.climb), TOLERANCE)
        if flat.any():
            reasons.append(f"no errors{of_data(flat)}, {UNIDENTIFIED}")
        return "; ".join(["standard errors are those of many observations, by the observed information", *reasons])


@torch.no_grad()
def maximum_likelihood(
    log_p: LogDensity,
    start: Float[Tensor, "n *event"],
    bijection: Bijection | None = None,
    steps: int = 1000,
    progress: Callable[[str], object] | None = None,
) -> MaximumLikelihood:
    """The local maximum of a log likelihood from a start (n, d), for each datum by itself.

    log_p: theta (s, n, *event) -> (s, n), the log likelihood in nats, summed over observations. With a bijection, such
    as bijections.Positive(), theta is in its set; no Jacobian is part of the likelihood, so that the maximum is that in
    any coordinates. ValueError where no datum reaches a maximum with a positive definite information in `steps`.
    """
    _, u, bijection = in_real_coordinates(log_p, "start", start, bijection)

    def in_u(u: Tensor) -> Tensor:
        return log_p(bijection.forward(u)[0])

    mode = find_mode(in_u, u, steps=steps, progress=progress)
    normal = laplace(in_u, mode.z, tolerance=TOLERANCE)
    slopes = vmap(jacrev(lambda u: bijection.forward(u)[0].flatten()))(mode.z)
    covariance = torch.where(normal.log_p.isnan()[:, None, None], torch.nan, normal.covariance)
    theta = bijection.forward(mode.z)[0]
    return MaximumLikelihood(theta, mode.log_p, slopes @ covariance @ slopes.mT, normal.climb)
