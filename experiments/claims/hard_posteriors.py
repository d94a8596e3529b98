"""Posteriors that inference finds hard, each with draws that are exact: what an algorithm says of itself is checked."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from jensen.core import keys
from jensen.core.contracts import Key, LogDensity
from jensen.core.models import bayes
from jensen.core.models.bayes import Posterior, Support, condition, densities, draws, real
from jensen.core.numerics import log_add_exp

DOUBLE = torch.float64
APART, SIDES = 3.0, 4  # of two modes from 0, in each of so many dimensions
NEAR_SCALES = torch.logspace(-6, 6, 7, dtype=DOUBLE)
EFFECTS = torch.tensor([0.0, 0.5, 1.0, 2.0, 4.0, 8.0], dtype=DOUBLE)  # of which a horseshoe keeps the large ones
RESIDUALS = torch.tensor([-1.3, -0.8, -0.4, -0.1, 0.1, 0.4, 0.8, 1.3], dtype=DOUBLE)
DATA = torch.cat([RESIDUALS - 1.5, RESIDUALS + 1.5])
SHARES = torch.tensor([0.1, 0.1, 10.0], dtype=DOUBLE)  # of a Dirichlet with its mass in a corner
LONG = torch.tensor([10.0, 1.0, 1.0], dtype=DOUBLE)
CORRELATION, MANY = 0.95, 200


class Hard(NamedTuple):
    """log f(z) as a posterior, exact draws z (s, d) of it, and its log integral; heavy tails have no variance.

    Without draws there is nothing to infer, and an algorithm has to refuse.
    """

    name: str
    posterior: Posterior
    draws: Callable[[Key, int], Tensor] | None = None
    log_evidence: float = 0.0
    heavy: bool = False


def hard_posteriors() -> list[Hard]:
    """Those of one dimension to two hundred; without a log_evidence the integral is 1."""
    labels, horseshoe = _posterior({"z": real(2)}, _labels), {"w": real(6), "lambda": bayes.positive(6)}
    corner = _posterior({"z": bayes.simplex(3)}, _corner)
    _, log_f, log_area = _grid()
    return [
        Hard("normal, correlated, d = 200", _real(MANY, _correlated().log_prob), _draws_correlated),
        Hard("scales from 1e-6 to 1e6", _real(len(NEAR_SCALES), _scales), _draws_scales),
        Hard("funnel, d = 10", _real(10, _funnel), _draws_funnel, heavy=True),
        Hard("banana", _real(2, _banana), _draws_banana),
        Hard("two modes, 1 : 1", _real(SIDES, _two_modes(0.5)), _draws_two_modes(0.5)),
        Hard("two modes, 9 : 1", _real(SIDES, _two_modes(0.9)), _draws_two_modes(0.9)),
        Hard("labels that switch", labels, _draws_labels, log_f.logsumexp(0).item() + log_area),
        Hard("Student's t of 2 degrees", _real(5, _heavy), _draws_heavy, heavy=True),
        Hard("half-normal scale", _posterior({"z": bayes.positive()}, densities.half_normal),
             lambda key, s: _noise(key, s, 1).abs()),
        Hard("horseshoe, centred", _condition(bayes.Model(horseshoe, _horseshoe)), _draws_horseshoe,
             _scales_of_effects()[1].logsumexp(1).sum().item(), heavy=True),
        Hard("simplex, in a corner", corner, _draws_corner),
        Hard("density with a jump", _real(3, _jump), _draws_jump),
        Hard("sum alone identified", _real(2, _sum), _draws_sum,
             _normal(torch.ones(()), 0.0, math.sqrt(200.01)).item()),
        Hard("gradients of NaN", _real(3, _without_gradient), lambda key, s: _noise(key, s, 3) * LONG),
        Hard("improper", _real(2, lambda z: -0.5 * z[..., 0].square())),
        Hard("constant", _real(2, lambda z: 0 * z[..., 0])),
    ]  # fmt: skip


def _real(d: int, log_f: LogDensity) -> Posterior:
    return _posterior({"z": real(d)}, log_f)


def _posterior(support: dict[str, Support], log_f: LogDensity) -> Posterior:
    """Of a density of the value z, in float64."""
    return _condition(bayes.Model(support, lambda theta: log_f(theta["z"])))


def _condition(model: bayes.Model) -> Posterior:
    return condition(model, {"dtype": torch.zeros((), dtype=DOUBLE)})


def _normal(x: Tensor, loc: Tensor | float = 0.0, scale: Tensor | float = 1.0) -> Tensor:
    return densities.normal(x, loc, scale)


def _noise(key: Key, s: int, d: int) -> Tensor:
    return keys.normal(key, (1, s, d), torch.float64)[0]


def _correlated() -> torch.distributions.MultivariateNormal:
    """Neighbours with correlation 0.95."""
    place = torch.arange(MANY, dtype=DOUBLE)
    return torch.distributions.MultivariateNormal(
        torch.zeros_like(place), CORRELATION ** (place[:, None] - place).abs()
    )


def _draws_correlated(key: Key, s: int) -> Tensor:
    return _noise(key, s, MANY) @ _correlated().scale_tril.T


def _scales(z: Tensor) -> Tensor:
    return _normal(z, 0.0, NEAR_SCALES).sum(-1)


def _draws_scales(key: Key, s: int) -> Tensor:
    return NEAR_SCALES * _noise(key, s, len(NEAR_SCALES))


def _funnel(z: Tensor) -> Tensor:
    """z1 ~ N(0, 3), the others N(0, exp(z1 / 2)) (Neal, 2003)."""
    return _normal(z[..., 0], 0.0, 3.0) + _normal(z[..., 1:], 0.0, torch.exp(0.5 * z[..., :1])).sum(-1)


def _draws_funnel(key: Key, s: int) -> Tensor:
    z = _noise(key, s, 10)
    neck = 3 * z[:, :1]
    return torch.cat([neck, torch.exp(0.5 * neck) * z[:, 1:]], 1)


def _banana(z: Tensor) -> Tensor:
    """z1 ~ N(0, 1), z2 ~ N(z1^2, 0.5)."""
    return _normal(z[..., 0]) + _normal(z[..., 1], z[..., 0].square(), 0.5)


def _draws_banana(key: Key, s: int) -> Tensor:
    z = _noise(key, s, 2)
    return torch.stack([z[:, 0], z[:, 0].square() + 0.5 * z[:, 1]], 1)


def _two_modes(share: float) -> LogDensity:
    """share N(3, 1) + (1 - share) N(-3, 1), of all coordinates at once."""

    def log_p(z: Tensor) -> Tensor:
        sides = [_normal(z, side, 1.0).sum(-1) + math.log(w) for side, w in ((APART, share), (-APART, 1 - share))]
        return log_add_exp(*sides)

    return log_p


def _draws_two_modes(share: float) -> Callable[[Key, int], Tensor]:
    def sampled(key: Key, s: int) -> Tensor:
        side_key, noise_key = keys.split(key)
        side = torch.where(keys.uniform(side_key, (1, s, 1), torch.float64)[0] < share, APART, -APART)
        return side + _noise(noise_key, s, SIDES)

    return sampled


def _heavy(z: Tensor) -> Tensor:
    """The multivariate t of two degrees of freedom."""
    d = z.shape[-1]
    constant = math.lgamma(1 + d / 2) - d / 2 * math.log(2 * math.pi)
    return constant - (1 + d / 2) * torch.log1p(z.square().sum(-1) / 2)


def _draws_heavy(key: Key, s: int) -> Tensor:
    scale_key, noise_key = keys.split(key)
    return _noise(noise_key, s, 5) * torch.rsqrt(draws.exponential(scale_key, (s, 1)).double())


def _corner(z: Tensor) -> Tensor:
    """A Dirichlet, two of whose shares are near 0."""
    constant = torch.lgamma(SHARES.sum()) - torch.lgamma(SHARES).sum()
    return constant + ((SHARES - 1) * z.log()).sum(-1)


def _jump(z: Tensor) -> Tensor:
    """N(0, 1), ten times as likely where z1 > 0."""
    return _normal(z).sum(-1) + torch.where(z[..., 0] > 0, math.log(10 / 5.5), math.log(1 / 5.5))


def _draws_jump(key: Key, s: int) -> Tensor:
    side_key, noise_key = keys.split(key)
    z = _noise(noise_key, s, 3)
    sign = torch.where(keys.uniform(side_key, (1, s), torch.float64)[0] < 10 / 11, 1.0, -1.0)
    return torch.cat([(sign * z[:, 0].abs())[:, None], z[:, 1:]], 1)


def _draws_corner(key: Key, s: int) -> Tensor:
    parts = zip(keys.split(key, len(SHARES)), SHARES.tolist(), strict=True)
    gammas = torch.stack([draws.gamma(each, (s,), share, 1.0) for each, share in parts], -1)
    return gammas / gammas.sum(-1, keepdim=True)


def _labels(z: Tensor) -> Tensor:
    """Means of two components, N(0, 5) each, of data at -1.5 and 1.5: either may be the lower one."""
    each = _normal(DATA[:, None], z[..., None, :], 1.0).logsumexp(-1) - math.log(2)
    return _normal(z, 0.0, 5.0).sum(-1) + each.sum(-1)


def _grid() -> tuple[Tensor, Tensor, float]:
    """Points (k, 2), log f there, and the log area of a cell."""
    axis = torch.linspace(-5, 5, 201, dtype=DOUBLE)
    z = torch.cartesian_prod(axis, axis)
    return z, _labels(z), 2 * math.log((axis[1] - axis[0]).item())


def _draws_labels(key: Key, s: int) -> Tensor:
    """By the grid, whose cells are small beside the posterior."""
    z, log_f, _ = _grid()
    return z[_indices(key, s, log_f)]


def _horseshoe(theta: bayes.Theta) -> Tensor:
    """y_j ~ N(w_j, 1), w_j ~ N(0, lambda_j), lambda_j ~ half-Cauchy(1), centred."""
    w, scale = theta["w"], theta["lambda"]
    return (densities.half_cauchy(scale) + _normal(w, 0.0, scale) + _normal(EFFECTS, w, 1.0)).sum(-1)


def _scales_of_effects() -> tuple[Tensor, Tensor]:
    """log lambda (k,), and the log density of each effect's own, (6, k), w summed out, times a cell."""
    log_scale = torch.linspace(-30, 30, 6001, dtype=DOUBLE)
    scale = log_scale.exp()
    own = _normal(EFFECTS[:, None], 0.0, torch.hypot(scale, torch.ones_like(scale)))
    return log_scale, own + densities.half_cauchy(scale) + log_scale + math.log((log_scale[1] - log_scale[0]).item())


def _draws_horseshoe(key: Key, s: int) -> Tensor:
    """lambda by quadrature, and w given it."""
    log_scale, log_weight = _scales_of_effects()
    scale_key, noise_key = keys.split(key)
    each = zip(keys.split(scale_key, len(EFFECTS)), log_weight, strict=True)
    scale = torch.stack([log_scale[_indices(own, s, weight)].exp() for own, weight in each], -1)
    share = scale.square() / (1 + scale.square())
    w = share * EFFECTS + share.sqrt() * _noise(noise_key, s, len(EFFECTS))
    return torch.cat([w, scale], -1)


def _sum(z: Tensor) -> Tensor:
    """z1 + z2 is 1 to 0.1, and each is N(0, 10)."""
    return _normal(z, 0.0, 10.0).sum(-1) + _normal(z.sum(-1), 1.0, 0.1)


def _draws_sum(key: Key, s: int) -> Tensor:
    """Their sum is a normal, and so is their difference."""
    noise = _noise(key, s, 2)
    precision = 1 / 200 + 100
    total, apart = 100 / precision + precision**-0.5 * noise[:, 0], math.sqrt(200) * noise[:, 1]
    return torch.stack([total + apart, total - apart], -1) / 2


def _without_gradient(z: Tensor) -> Tensor:
    """N(0, 10), N(0, 1) and N(0, 1); the gradient is NaN where z1 < -5."""
    return _normal(z, 0.0, LONG).sum(-1) + 0 * torch.sqrt(torch.relu(z[..., 0] + 5))


def _indices(key: Key, s: int, log_weight: Tensor) -> Tensor:
    """Places of a vector, each by its weight."""
    share = log_weight.softmax(0).cumsum(0)
    return torch.searchsorted(share / share[-1], keys.uniform(key, (1, s), torch.float64)[0])
