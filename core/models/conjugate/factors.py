"""Factor analysis and probabilistic principal components (Bishop, 1999), with relevances of the factors' columns."""

import math
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core import keys
from jensen.core.checks import check_count, check_floating
from jensen.core.concrete import is_concrete
from jensen.core.contracts import Key
from jensen.core.distributions import FullNormal, Gamma
from jensen.core.exponential import ExponentialFamily, FullNormalFamily, GammaFamily
from jensen.core.models.conjugate.contract import Factors, check_finite, expected_log_prob, wide
from jensen.core.numerics import at_least_float32
from jensen.core.trees import Tree

UNSURE = 1e-3  # precision of the mean, in units of the data's


class Quadratic(NamedTuple):
    """E log p(x, z) in z: its P = factor factor^T and h; and the parts of the mean, linear and square."""

    factor: Float[Tensor, "k k"]
    h: Float[Tensor, "n k"]
    linear: Float[Tensor, " n"]
    square: Float[Tensor, ""]


class FactorAnalysis(NamedTuple):
    """x from N(loadings z + mean, 1 / noise), z from N(0, I) of k components; column j from N(0, 1 / relevance_j).

    The priors are Gammas of one row: `relevance` of k components; `noise` of d, one for each component of x, or of 1
    for all, which is probabilistic PCA. Columns that the data do not call for shrink to 0.

    Factors  loadings, d rows of k + 1, the last the mean's; relevance, noise
    Local    z, summed out
    """

    relevance: Gamma
    noise: Gamma
    centre: Float[Tensor, " d"]
    scale: Float[Tensor, ""]

    @property
    def families(self) -> dict[str, ExponentialFamily]:
        return {"loadings": FullNormalFamily(), "relevance": GammaFamily(), "noise": GammaFamily()}

    @property
    def blocks(self) -> tuple[tuple[str, ...], ...]:
        return (("loadings",), ("relevance", "noise"))

    def prepare(self, x: Float[Tensor, "n d"], /) -> Float[Tensor, "n d"]:
        """About the centre, in units of the scale."""
        check_floating("x", x, f"n {len(self.centre)}", "one row per datum")
        x = at_least_float32(x)
        check_finite(x)
        return ((x.double() - self.centre.double()) / self.scale.double()).to(x.dtype)

    def start(self, key: Key, rows: Tensor, /) -> Factors:
        """Loadings on the data's principal components, and noise of a tenth of their size, of the key."""
        (n, d), k = rows.shape, self.relevance.concentration.shape[-1]
        values, vectors = torch.linalg.eigh(rows.double().mT @ rows.double() / n)
        columns = vectors.flip(-1) * values.flip(-1).clamp_min(0).sqrt()
        loc = F.pad(columns, (0, max(k - d, 0)))[:, :k]
        loc = F.pad(loc + 0.1 * keys.normal(key, (d, k), torch.float64), (0, 1))
        ones = loc.new_ones(1, k)
        noise = Gamma(loc.new_ones(self.noise.rate.shape), loc.new_ones(self.noise.rate.shape))
        starts = {
            "loadings": FullNormal(loc, torch.full_like(loc, -3.0), loc.new_zeros(d, k + 1, k + 1)),
            "relevance": Gamma(ones, ones),
            "noise": noise,
        }
        return {name: self.families[name].natural(q) for name, q in starts.items()}

    def log_prior(self, means: Factors, /) -> dict[str, Tensor]:
        """sum_ij (E log relevance_j - E relevance_j E w_ij^2 - log(2 pi)) / 2, and those of the Gammas."""
        relevance, squares = means["relevance"], means["loadings"]["outer"].diagonal(dim1=-2, dim2=-1)
        of_columns = relevance["log"] - relevance["z"] * squares[:, :-1] - math.log(2 * math.pi)
        of_mean = math.log(UNSURE) - UNSURE * squares[:, -1] - math.log(2 * math.pi)
        family = GammaFamily()
        gammas = {
            name: expected_log_prob(family, wide(family.natural(prior)), means[name])
            for name, prior in (("relevance", self.relevance), ("noise", self.noise))
        }
        return {"loadings": 0.5 * (of_columns.sum() + of_mean.sum()), **gammas}

    def log_likelihood(self, means: Factors, rows: Float[Tensor, "n d"], local: Tree, /) -> tuple[Tensor, Tree]:
        """log of the integral of exp(E log p(x, z)) over z: c + h^T P^-1 h / 2 - log det P / 2, P its precision."""
        of_z = self._quadratic(means, rows)
        noise = {name: t[0].expand(rows.shape[1]) for name, t in means["noise"].items()}
        white = of_z.h @ torch.linalg.inv(of_z.factor).mT.to(rows.dtype)
        constant = 0.5 * (noise["log"] - math.log(2 * math.pi)).sum() - 0.5 * of_z.square
        constant = constant - torch.log(of_z.factor.diagonal()).sum() - rows.shape[1] * torch.log(self.scale.double())
        squares = rows.square() @ noise["z"].to(rows.dtype)
        return constant.to(rows.dtype) + of_z.linear - 0.5 * squares + 0.5 * white.square().sum(-1), {}

    def latents(self, means: Factors, rows: Float[Tensor, "n d"]) -> FullNormal:
        """q(z) of each datum: of mean P^-1 h, and one covariance P^-1 for all."""
        of_z = self._quadratic(means, rows)
        covariance = torch.cholesky_inverse(of_z.factor).to(rows.dtype)
        return FullNormal.from_covariance(of_z.h @ covariance, covariance)

    def _quadratic(self, means: Factors, rows: Tensor) -> Quadratic:
        loc, outer = means["loadings"]["z"], means["loadings"]["outer"]
        tau = means["noise"]["z"][0].expand(len(loc))
        k = loc.shape[-1] - 1
        weighted = (tau[:, None, None] * outer).sum(0)
        linear = rows @ (tau[:, None] * loc).to(rows.dtype)  # (n, k + 1)
        precision = torch.eye(k, dtype=loc.dtype, device=loc.device) + weighted[:k, :k]
        h = linear[:, :k] - weighted[:k, k].to(rows.dtype)
        return Quadratic(torch.linalg.cholesky(precision), h, linear[:, k], weighted[k, k])

    def posterior(self, natural: Factors, /) -> dict[str, Any]:
        """Loadings as a normal of d rows in the data's units about their centre, relevance and noise as Gammas."""
        q = {name: family.from_natural(natural[name]) for name, family in self.families.items()}
        scale, loadings, noise, relevance = self.scale.double(), q["loadings"], q["noise"], q["relevance"]
        loc = loadings.loc * scale
        loc = torch.cat([loc[:, :-1], loc[:, -1:] + self.centre.double()[:, None]], 1)
        moved = FullNormal(loc, loadings.log_scale + torch.log(scale), loadings.lower * scale)
        return {
            "loadings": moved,
            "relevance": Gamma(relevance.concentration, relevance.rate * scale.square()),
            "noise": Gamma(noise.concentration, noise.rate * scale.square()),
        }


def factor_analysis(x: Float[Tensor, "n d"], factors: int, common_noise: bool = False) -> FactorAnalysis:
    """Of so many factors about the data's mean, with priors of next to no information; of common noise, PPCA."""
    check_floating("x", x, "n d", "one row per datum")
    factors, x = check_count("factors", factors), at_least_float32(x).double()
    scale = x.std(0, correction=0).square().mean().sqrt()
    if is_concrete(scale) and not 0 < scale < torch.inf:
        raise ValueError("expected x finite, with columns that vary, got others: leave out constant columns and NaN")
    vague = torch.full((1, max(factors, x.shape[1])), 1e-6, dtype=torch.float64, device=x.device)
    of_columns, of_noise = vague[:, :factors], vague[:, : 1 if common_noise else x.shape[1]]
    return FactorAnalysis(Gamma(of_columns, of_columns), Gamma(of_noise, of_noise), x.mean(0), scale)
