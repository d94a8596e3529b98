"""Unnormalised log densities that posterior families are fitted to, each with its evidence."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from jensen.core.contracts import LogDensity
from jensen.core.numerics import log_add_exp

TWO_PI = 2 * math.pi
EFFECTS = (28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0)  # of coaching in eight schools, in points (Rubin, 1981)
ERRORS = (15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0)
CORRELATION, DIMENSIONS = 0.9, 10


class Target(NamedTuple):
    """log f(z), z (s, n, d) -> (s, n), of one datum; its log integral; and the density of two coordinates to draw."""

    name: str
    d: int
    log_p: LogDensity
    log_evidence: float
    window: tuple[float, float, float, float]  # x0, x1, y0, y1
    plane: Callable[[Tensor], Tensor]  # points (m, 2) -> log density up to a constant (m,)


def targets() -> list[Target]:
    """Four shapes in the plane, eight schools, and a correlated normal."""
    return [
        planar("banana", banana, (-3.5, 3.5, -2, 9)),
        planar("funnel", funnel, (-4.5, 4.5, -8, 8)),
        planar("two moons", two_moons, (-4, 4, -4, 4)),
        planar("ring", ring, (-4, 4, -4, 4)),
        eight_schools(),
        correlated(),
    ]


def planar(name: str, log_f: Callable[[Tensor], Tensor], window: tuple[float, float, float, float]) -> Target:
    return Target(name, 2, log_f, integral(log_f), window, lambda z: log_f(z[:, None])[:, 0])


def integral(log_f: Callable[[Tensor], Tensor], half: float = 400.0, nodes: int = 1201) -> float:
    """The log integral over the plane by the trapezium rule in sinh-spaced coordinates, denser near 0."""
    t = torch.linspace(-1, 1, nodes, dtype=torch.float64) * math.asinh(half)
    x, log_width = torch.sinh(t), torch.log(torch.cosh(t) * (t[1] - t[0]))
    z = torch.stack(torch.meshgrid(x, x, indexing="ij"), -1).reshape(-1, 1, 2)
    return torch.logsumexp(log_f(z)[:, 0] + (log_width[:, None] + log_width).reshape(-1), 0).item()


def banana(z: Tensor) -> Tensor:
    """z1 ~ N(0, 1), z2 ~ N(z1^2, 0.5^2), unnormalised."""
    return -0.5 * z[..., 0].square() - 0.5 * ((z[..., 1] - z[..., 0].square()) / 0.5).square()


def funnel(z: Tensor) -> Tensor:
    """z1 ~ N(0, 1.35^2), z2 ~ N(0, exp(z1)^2), unnormalised (Neal, 2003)."""
    return -0.5 * (z[..., 0] / 1.35).square() - 0.5 * (z[..., 1] * torch.exp(-z[..., 0])).square() - z[..., 0]


def two_moons(z: Tensor) -> Tensor:
    """Two crescents, |z| about 2 and z1 about -2 or 2 (Rezende and Mohamed, 2015)."""
    away = -0.5 * ((_norm(z) - 2) / 0.4).square()
    return away + log_add_exp(*(-0.5 * ((z[..., 0] + side) / 0.6).square() for side in (-2, 2)))


def ring(z: Tensor) -> Tensor:
    """A circle of radius 2 and width 0.3."""
    return -0.5 * ((_norm(z) - 2) / 0.3).square()


def eight_schools() -> Target:
    """z = (mu, log tau, eta_1 … eta_8): mu ~ N(0, 5^2), tau ~ half-Cauchy(5), y_j ~ N(mu + tau eta_j, sigma_j^2).

    The evidence sums eta and mu out in closed form, and log tau by quadrature. Non-centred (Papaspiliopoulos et al.,
    2007), as for Stan.
    """
    y, sigma = (torch.tensor(values, dtype=torch.float64) for values in (EFFECTS, ERRORS))

    def log_tau_prior(log_tau: Tensor) -> Tensor:
        return math.log(2 / (math.pi * 5)) - torch.log1p((torch.exp(log_tau) / 5).square()) + log_tau

    def log_p(z: Tensor) -> Tensor:
        mu, log_tau, eta = z[..., 0], z[..., 1], z[..., 2:]
        effects = mu[..., None] + torch.exp(log_tau)[..., None] * eta
        prior = _normal(mu, 0.0, 5.0) + log_tau_prior(log_tau) + _normal(eta, 0.0, 1.0).sum(-1)
        return prior + _normal(y.to(z), effects, sigma.to(z)).sum(-1)

    def plane(z: Tensor) -> Tensor:
        """Of (mu, log tau), eta summed out: (m, 2) -> (m,)."""
        mu, log_tau = z.unbind(-1)
        spread = torch.sqrt(torch.exp(2 * log_tau)[:, None] + sigma.square())
        return _normal(mu, 0.0, 5.0) + log_tau_prior(log_tau) + _normal(y, mu[:, None], spread).sum(-1)

    log_tau = torch.linspace(-12, 8, 401, dtype=torch.float64)
    mu = torch.linspace(-30, 40, 401, dtype=torch.float64)
    points = torch.stack(torch.meshgrid(mu, log_tau, indexing="ij"), -1).reshape(-1, 2)
    cell = (mu[1] - mu[0]).log() + (log_tau[1] - log_tau[0]).log()
    log_evidence = (torch.logsumexp(plane(points), 0) + cell).item()
    return Target("eight schools: mu, log tau", 10, log_p, log_evidence, (-8, 18, -4, 4.5), plane)


def correlated() -> Target:
    """N(0, Sigma) of ten dimensions, neighbours with correlation 0.9: Sigma_ij = 0.9^|i - j|. Its evidence is 1."""
    place = torch.arange(DIMENSIONS, dtype=torch.float64)
    covariance = CORRELATION ** (place[:, None] - place).abs()
    whole = torch.distributions.MultivariateNormal(torch.zeros(DIMENSIONS).double(), covariance)
    corner = torch.distributions.MultivariateNormal(torch.zeros(2).double(), covariance[:2, :2])
    return Target("normal, correlation 0.9", DIMENSIONS, whole.log_prob, 0.0, (-3, 3, -3, 3), corner.log_prob)


def _normal(x: Tensor, loc: Tensor | float, scale: Tensor | float) -> Tensor:
    scale = torch.as_tensor(scale, dtype=x.dtype)
    return -0.5 * ((x - loc) / scale).square() - torch.log(scale) - 0.5 * math.log(TWO_PI)


def _norm(z: Tensor) -> Tensor:
    """|z|, with a gradient at 0."""
    return torch.sqrt(z.square().sum(-1) + 1e-12)
