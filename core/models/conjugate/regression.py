"""Linear regression whose weights have precisions of their own: automatic relevance determination (MacKay, 1994)."""

import math
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import trees
from jensen.core.checks import check_count, check_floating, described
from jensen.core.contracts import Key
from jensen.core.distributions import FullNormal, Gamma
from jensen.core.exponential import ExponentialFamily, FullNormalFamily, GammaFamily
from jensen.core.models.conjugate.contract import Factors, check_finite, expected_log_prob, wide
from jensen.core.numerics import at_least_float32
from jensen.core.trees import Tree


class Regression(NamedTuple):
    """y from N(x . w, 1 / noise), w_j from N(0, 1 / relevance_j), both precisions unknown.

    Data are {"x": (n, p), "y": (n,)}, columns best centred; a column of ones in x is an intercept. Priors are Gammas of
    one row: `relevance` of p components, `noise` of one. `regression(p)` has those of no information.

    Factors  weights; relevance, noise
    Local    none
    """

    relevance: Gamma
    noise: Gamma

    @property
    def families(self) -> dict[str, ExponentialFamily]:
        return {"weights": FullNormalFamily(), "relevance": GammaFamily(), "noise": GammaFamily()}

    @property
    def blocks(self) -> tuple[tuple[str, ...], ...]:
        return (("weights",), ("relevance", "noise"))

    def prepare(self, x: Tree, /) -> Tree:
        """x and y, checked."""
        p = self.relevance.concentration.shape[-1]
        if not isinstance(x, dict) or set(x) != {"x", "y"}:
            raise TypeError(f'expected x, a dict of "x" (n, {p}) and "y" (n,), got {described(x)}: pass both by name')
        check_floating('x["x"]', x["x"], f"n {p}", "one column per weight")
        check_floating('x["y"]', x["y"], str(len(x["x"])), "one number per row of x")
        rows = trees.map(at_least_float32, dict(x))
        for t in rows.values():
            check_finite(t)
        return rows

    def start(self, key: Key, rows: Tree, /) -> Factors:
        """Precisions as of y's mean square; the weights, which are updated first, from the prior of these."""
        p, square = self.relevance.concentration.shape[-1], rows["y"].double().square().mean()
        ones, square = square.new_ones(1, p), torch.where(square > 0, square, 1.0)
        weights = FullNormal(0 * ones, 0 * ones, square.new_zeros(1, p, p))
        starts = {"weights": weights, "relevance": Gamma(ones, ones), "noise": Gamma(ones[:, :1], square[None, None])}
        return {name: self.families[name].natural(q) for name, q in starts.items()}

    def log_prior(self, means: Factors, /) -> dict[str, Tensor]:
        """sum_j (E log relevance_j - E relevance_j E w_j^2 - log(2 pi)) / 2, and those of the Gammas."""
        relevance, squares = means["relevance"], means["weights"]["outer"].diagonal(dim1=-2, dim2=-1)
        weights = 0.5 * (relevance["log"] - relevance["z"] * squares - math.log(2 * math.pi)).sum()
        family = GammaFamily()
        gammas = {
            name: expected_log_prob(family, wide(family.natural(prior)), means[name])
            for name, prior in (("relevance", self.relevance), ("noise", self.noise))
        }
        return {"weights": weights, **gammas}

    def log_likelihood(self, means: Factors, rows: Tree, local: Tree, /) -> tuple[Float[Tensor, " n"], Tree]:
        """(E log noise - E noise E (y - x . w)^2 - log(2 pi)) / 2."""
        x, y = rows["x"], rows["y"]
        w, outer = means["weights"]["z"][0], means["weights"]["outer"][0]
        covariance = (outer - w[:, None] * w).to(x.dtype)  # residuals by themselves keep their digits
        squares = (y - x @ w.to(x.dtype)).square() + ((x @ covariance) * x).sum(-1)
        noise = {name: t[0, 0].to(x.dtype) for name, t in means["noise"].items()}
        return 0.5 * (noise["log"] - noise["z"] * squares - math.log(2 * math.pi)), {}

    def posterior(self, natural: Factors, /) -> dict[str, Any]:
        """A normal and two Gammas, of one row."""
        return {name: family.from_natural(natural[name]) for name, family in self.families.items()}


def regression(p: int, dtype: torch.dtype = torch.float64) -> Regression:
    """Of p weights, with priors of next to no information: Gamma(1e-6, 1e-6)."""
    p = check_count("p", p)
    vague = torch.full((1, p), 1e-6, dtype=dtype)
    return Regression(Gamma(vague, vague), Gamma(vague[:, :1], vague[:, :1]))
