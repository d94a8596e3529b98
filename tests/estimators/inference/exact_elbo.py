"""The exact ELBO of a normal posterior of logistic regression, and the best one: each datum's logit is a normal too."""

import math
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import minimize
from sklearn.datasets import load_breast_cancer
from torch import Tensor
from torch.nn.functional import softplus

from jensen.core import keys
from jensen.core.contracts import Distribution

NODES = 100  # of Gauss-Hermite: twice as many change the best ELBO of breast cancer by 4e-7 nats
F = torch.float64


class Normal(NamedTuple):
    """loc + factor eps."""

    loc: Float[Tensor, " d"]
    factor: Float[Tensor, "d d"]

    @classmethod
    def of(cls, q: Distribution) -> "Normal":
        """Of one row, a normal or its image by an affine map: what noise of 0 and of each unit vector become."""
        noise = torch.zeros_like(q.noise(keys.key(0), 1))
        units = torch.eye(noise.shape[-1], dtype=noise.dtype)[:, None]
        loc = q.sample(noise)[0, 0]
        return cls(loc.to(F), (q.sample(units)[:, 0] - loc).mT.to(F))


class Best(NamedTuple):
    """The normal with the highest ELBO, that ELBO in nats, and the largest slope left there."""

    normal: Normal
    elbo: float
    slope: float


def breast_cancer() -> tuple[Float[Tensor, "n d"], Float[Tensor, " n"]]:
    """569 data, 30 standardised covariates and an intercept, and labels."""
    x, y = (torch.as_tensor(each, dtype=F) for each in load_breast_cancer(return_X_y=True))
    return torch.cat([torch.ones(len(x), 1, dtype=F), (x - x.mean(0)) / x.std(0, correction=0)], 1), y


def exact_elbo(x: Float[Tensor, "n d"], y: Float[Tensor, " n"], q: Normal, nodes: int = NODES) -> Float[Tensor, ""]:
    """In nats, of weights ~ N(0, I): an integral for each datum, and closed forms."""
    at, weight = (torch.as_tensor(each) for each in np.polynomial.hermite_e.hermegauss(nodes))
    logits = (x @ q.loc)[:, None] + (x @ q.factor).norm(dim=1)[:, None] * at
    likelihood = ((y[:, None] * logits - softplus(logits)) * weight).sum() / math.sqrt(2 * math.pi)
    return likelihood + 0.5 * (len(q.loc) - q.loc.square().sum() - q.factor.square().sum()) + q.factor.logdet()


def best(x: Float[Tensor, "n d"], y: Float[Tensor, " n"]) -> Best:
    """By L-BFGS on the exact ELBO, which is concave in the mean and a triangular factor."""
    d = x.shape[1]
    below = torch.tril_indices(d, d, -1)

    def normal(flat: Tensor) -> Normal:
        lower = torch.zeros(d, d, dtype=F).index_put((below[0], below[1]), flat[2 * d :])
        return Normal(flat[:d], lower + torch.diag(flat[d : 2 * d].exp()))

    def fall(flat: np.ndarray) -> tuple[float, np.ndarray]:
        free = torch.tensor(flat, requires_grad=True)
        value = -exact_elbo(x, y, normal(free))
        return value.item(), torch.autograd.grad(value, free)[0].numpy()

    start = np.zeros(2 * d + below.shape[1])
    found = minimize(fall, start, jac=True, method="L-BFGS-B",
                     options={"maxiter": 1000, "ftol": 1e-15, "gtol": 1e-7, "maxcor": 50})  # fmt: skip
    return Best(normal(torch.tensor(found.x)), -float(found.fun), float(np.abs(found.jac).max()))
