"""Every family with extreme fields, in every floating-point type: draws inside, finite densities, paths and scores."""

import math

import pytest
import torch
from torch.func import grad

from jensen.core import keys, trees
from jensen.core.contracts import Cdf, Constrained, can
from jensen.core.distributions import (
    Beta,
    Binomial,
    Cauchy,
    ChiSquared,
    DiagNormal,
    Exponential,
    Gamma,
    Geometric,
    InverseGamma,
    Laplace,
    Logistic,
    LogNormal,
    LowRankNormal,
    MatrixNormal,
    Mixture,
    Multinomial,
    NegativeBinomial,
    Pareto,
    Poisson,
    StudentT,
    TruncatedNormal,
    Uniform,
)
from jensen.core.trees import Static

KEY = keys.key(35)
INF = math.inf


def row(*values):
    return torch.tensor([values], dtype=torch.float64)


def draws(seed, *shape):
    return keys.normal(keys.fold_in(KEY, seed), shape, torch.float64)


LOC, LOG_SCALE, ODDS = row(0.0, 3.0, -5.0), row(-3.0, 0.0, 3.0), row(-9.0, 0.0, 9.0)
SMALL, LARGE = row(0.05, 1.0, 1e3), row(1e-3, 1.0, 1e3)
ABOVE = draws(0, 1, 3, 4).exp() + 0.1
TYPES = (
    torch.float32,
    torch.float16,
    *(pytest.param(dtype, marks=pytest.mark.slow) for dtype in (torch.float64, torch.bfloat16)),
)
FAMILIES = {
    "Laplace": Laplace(LOC, LOG_SCALE),
    "Logistic": Logistic(LOC, LOG_SCALE),
    "Cauchy": Cauchy(LOC, LOG_SCALE),
    "StudentT": StudentT(SMALL, LOC, LOG_SCALE),
    "Uniform": Uniform(LOC, row(0.01, 3.5, 50.0)),
    "LogNormal": LogNormal(LOC, row(-3.0, 0.0, 2.0)),
    "TruncatedNormal": TruncatedNormal(LOC, row(-3.0, 0.0, 1.0), row(0.0, -INF, 20.0), row(0.01, 3.5, INF)),
    "Exponential": Exponential(LARGE),
    "InverseGamma": InverseGamma(SMALL, LARGE),
    "ChiSquared": ChiSquared(SMALL),
    "Pareto": Pareto(LARGE, row(0.3, 1.0, 1e3)),
    "Poisson": Poisson(LARGE),
    "Geometric": Geometric(ODDS),
    "Binomial": Binomial(ODDS, Static(100)),
    "NegativeBinomial": NegativeBinomial(row(1e-2, 1.0, 1e3), row(3.0, 0.0, -3.0)),
    "Multinomial": Multinomial(ODDS, Static(50)),
    "LowRankNormal": LowRankNormal(LOC, LOG_SCALE, draws(1, 1, 3, 2)),
    "MatrixNormal": MatrixNormal(draws(2, 1, 2, 3), row(-2.0, 2.0), draws(3, 1, 2, 2), LOG_SCALE, draws(4, 1, 3, 3)),
    "Mixture of normals": Mixture(LOC, DiagNormal(draws(5, 1, 3, 4), draws(6, 1, 3, 4))),
    "Mixture of gammas": Mixture(LOC, Gamma(ABOVE, ABOVE)),
    "Mixture of betas": Mixture(LOC, Beta(ABOVE, ABOVE.flip(-1))),
    "Mixture of ts": Mixture(LOC, StudentT(ABOVE, draws(5, 1, 3, 4), draws(6, 1, 3, 4))),
}


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", FAMILIES)
def test_extremes_are_finite_in_every_type(name, dtype):
    q = trees.map(lambda t: t.to(dtype), FAMILIES[name])
    wide = torch.promote_types(dtype, torch.float32)
    noise = q.noise(KEY, 100)
    z = q.sample(noise)
    log_p = q.log_prob(z)
    assert z.dtype == dtype
    assert log_p.dtype == wide
    assert log_p.isfinite().all()
    if can(q, Constrained):
        assert q.bijection().contains(z).all()
    if can(q, Cdf):
        below = q.cdf(z)
        assert below.dtype == q.quantile(below).dtype == wide
        assert ((below >= 0) & (below <= 1)).all()
    for method in ("entropy", "kl"):
        if hasattr(q, method):
            assert getattr(q, method)(*([q] if method == "kl" else [])).dtype == wide
    vector, unravel = trees.ravel(q)
    score = grad(lambda v: unravel(v).log_prob(z).double().sum())(vector)
    assert score.isfinite().all() or dtype == torch.float16  # whose largest number is 65,504
    if q.reparameterised:
        path = grad(lambda v: unravel(v).sample(noise).double().clamp(-1e3, 1e3).sum())(vector)
        assert path.isfinite().all()
