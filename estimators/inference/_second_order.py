"""What expectation propagation leaves out, to second order in the tilted distributions' skewness (Opper et al., 2013).

At the fixed point p(w | x, y) is proportional to q(w) times the product over data of tilted_i(a_i) / q(a_i). Each ratio
is 1 + skewness_i He3(u_i) / 6 + ..., u_i = r_i' w the standardised predictor where q is N(0, I), for two moments agree.
The mean under q of He3(u_i) He3(u_j) is 6 correlation_ij^3, and that of He3(u_i) He3(u_j) (w w' - I) is
18 correlation_ij^2 (r_i r_j' + r_j r_i'). The mean of w has terms with fourth cumulants alone.
"""

import torch
from jaxtyping import Float
from torch import Tensor

ROWS = 1024  # of the correlations at once


def second_order(
    skewness: Float[Tensor, " n"], directions: Float[Tensor, "d n"]
) -> tuple[Float[Tensor, ""], Float[Tensor, "d d"]]:
    """The change of log p(y | x) in nats, and the relative one of q's covariance, in coordinates where that is I.

    directions: of each standardised predictor in those coordinates, of length 1, or 0 for a datum that says nothing.
    """
    r, weighted = directions, directions * skewness
    length = r.square().sum(0)
    log_p = -(skewness.square() * length**3).sum()
    covariance = -(weighted * length.square()) @ weighted.T
    for rows in torch.arange(len(skewness), device=r.device).split(ROWS):
        correlation = r[:, rows].T @ r
        log_p = log_p + skewness[rows] @ correlation**3 @ skewness
        covariance = covariance + weighted[:, rows] @ correlation.square() @ weighted.T
    return log_p / 12, covariance / 2


def changed(factor: Float[Tensor, "d d"], change: Float[Tensor, "d d"]) -> Float[Tensor, "d d"]:
    """The covariance of a precision's Cholesky factor with its relative change, and definite whatever that is."""
    values, vectors = torch.linalg.eigh((change + change.T) / 2)
    ratio = torch.where(values > 0, 1 + values, 1 / (1 - values))
    root = torch.linalg.solve_triangular(factor.T, vectors * ratio.sqrt(), upper=True)
    return root @ root.T
