"""Gaussian process regression, the function integrated out.

    y ~ N(0, K + sigma^2 I),  K_ij = amplitude^2 exp(-|x_i - x_j|^2 / (2 length^2))
    length ~ inverse gamma(5, 5),  amplitude ~ half-normal(2),  sigma ~ half-normal(1)

Parameters  length > 0, amplitude > 0, sigma > 0
Data        x (n, p), y (n,): their terms are log p(y_i | y_1 ... y_{i-1}), so that there are no minibatches
Cost        a Cholesky factor of (n, n) for each row of z. To the diagonal 1,000 epsilons of amplitude^2 are added
Reference   Rasmussen and Williams, 2006, chapter 2
"""

import torch
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_count
from jensen.core.contracts import Key
from jensen.core.models.bayes import columns, densities, draws
from jensen.core.models.bayes.model import Data, Model, Theta
from jensen.core.models.bayes.supports import positive

SHAPE, AMPLITUDE = 5.0, 2.0


def gaussian_process(p: int = 1) -> Model:
    """The model of functions of p covariates."""
    p = check_count("p", p)
    return Model(
        support={"length": positive(), "amplitude": positive(), "sigma": positive()},
        log_prior=_log_prior,
        log_likelihood=_log_likelihood,
        draw=_draw,
        simulate=simulate,
        columns={"x": columns.real(f"n {p}"), "y": columns.real()},
        joint=True,
        name="Gaussian process",
    )


def simulate(key: Key, theta: Theta, data: Data) -> dict[str, Tensor]:
    """Noisy values of a function at the covariates x of the data."""
    noise = keys.normal(key, tuple(data["y"].shape), data["y"].dtype)
    return {**data, "y": _factor(theta, data["x"]) @ noise}


def _log_prior(theta: Theta) -> Tensor:
    log_p = densities.inverse_gamma(theta["length"], SHAPE, SHAPE)
    return log_p + densities.half_normal(theta["amplitude"], AMPLITUDE) + densities.half_normal(theta["sigma"])


def _log_likelihood(theta: Theta, data: Data) -> Tensor:
    factor = _factor(theta, data["x"])
    y = data["y"][:, None].expand(*factor.shape[:-1], 1)
    rest = torch.linalg.solve_triangular(factor, y, upper=False)[..., 0]
    return densities.normal(rest) - factor.diagonal(dim1=-2, dim2=-1).log()


def _factor(theta: Theta, x: Tensor) -> Tensor:
    """The Cholesky factor of the covariance of y, (..., n, n); not finite where there is none."""
    squares = (x[:, None] - x).square().sum(-1)
    length, amplitude, sigma = (theta[name][..., None, None] for name in ("length", "amplitude", "sigma"))
    covariance = amplitude.square() * torch.exp(-0.5 * squares / length.square())
    more = sigma.square() + 1e3 * torch.finfo(x.dtype).eps * amplitude.square()
    unit = torch.eye(len(x), dtype=x.dtype, device=x.device)
    factor, failed = torch.linalg.cholesky_ex(covariance + more * unit)
    return torch.where((failed == 0)[..., None, None], factor, torch.nan)


def _draw(key: Key, s: int) -> Theta:
    length_key, amplitude_key, sigma_key = keys.split(key, 3)
    return {
        "length": draws.inverse_gamma(length_key, (s, 1), SHAPE, SHAPE),
        "amplitude": draws.half_normal(amplitude_key, (s, 1), AMPLITUDE),
        "sigma": draws.half_normal(sigma_key, (s, 1)),
    }
