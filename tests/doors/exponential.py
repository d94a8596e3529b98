"""Exponential families, conjugate pairs and Fisher information."""

import torch

from jensen.core import exponential
from jensen.core.distributions import (
    Bernoulli,
    Beta,
    Binomial,
    Categorical,
    ChiSquared,
    ContinuousBernoulli,
    DiagNormal,
    Dirichlet,
    Exponential,
    FullNormal,
    Gamma,
    Geometric,
    InverseGamma,
    Laplace,
    LogNormal,
    Multinomial,
    NegativeBinomial,
    Pareto,
    Poisson,
    TruncatedNormal,
    VonMisesFisher,
    Wishart,
)
from jensen.core.exponential import GammaFamily, mean_parameters
from jensen.core.trees import Static
from tests.doors.door import KEY, Free, also, door, only

S, N, D, K = 4, 5, 3, 6
ZEROS, ONES = torch.zeros(N, D), torch.ones(N, D)
EYE = torch.eye(D).expand(N, D, D)
NORMAL = DiagNormal(ZEROS, ZEROS)
GAMMA, OTHER = Gamma(2 * ONES, ONES), Gamma(ONES, 2 * ONES)
ETA, SECOND = GammaFamily().natural(GAMMA), GammaFamily().natural(OTHER)
PART = {"z": ETA["z"]}
NEITHER = (PART, {**ETA, "square": ONES}, {"log": 1.0, "z": ONES}, {"log": ONES.long(), "z": ONES}, ONES, None, 3)
MEMBERS = (
    Bernoulli(ZEROS), Beta(ONES, ONES), Binomial(ZEROS, Static(3)), Categorical(torch.zeros(N, D, K)),
    ChiSquared(ONES), ContinuousBernoulli(ZEROS), NORMAL, Dirichlet(ONES), Exponential(ONES),
    FullNormal.from_diagonal(NORMAL), GAMMA, Geometric(ZEROS), InverseGamma(3 * ONES, ONES), Laplace(ZEROS, ZEROS),
    LogNormal(ZEROS, ZEROS), Multinomial(ZEROS, Static(3)), NegativeBinomial(ONES, ZEROS), Pareto(ONES, 3 * ONES),
    Poisson(ONES), TruncatedNormal(ZEROS, ZEROS, -ONES, ONES), VonMisesFisher(ONES, ONES[:, :1]),
    Wishart(3 * ONES[:, 0], ZEROS, torch.zeros(N, D, D)),
)  # fmt: skip
WITHOUT_KL = NegativeBinomial(ONES, ZEROS)
FAMILIES = [(exponential.family(q), q) for q in MEMBERS]
BINARY, DRAWN = (torch.arange(S * N * D).reshape(S, N, D) % 2).float(), torch.ones(S, N, D)
X = 1 + torch.rand(S, N, D, generator=torch.Generator().manual_seed(0))
PAIRS = (
    (exponential.BetaBernoulli(Beta(ONES, ONES)), BINARY),
    (exponential.GammaPoisson(GAMMA), BINARY),
    (exponential.DirichletCategorical(Dirichlet(torch.ones(N, D, K))), torch.ones(S, N, D, K) / K),
    (exponential.NormalNormal(NORMAL, ZEROS), X),
    (exponential.NormalInverseGamma(ZEROS, ONES, ONES, ONES), X),
    (exponential.NormalWishart(ZEROS, ONES[:, 0], 3 * ONES[:, 0], EYE), X),
)
FAMILY = only(GammaFamily(), GammaFamily, GAMMA, "gamma", None)
PRIOR = exponential.Conjugate.around(GammaFamily(), GAMMA, ONES[:, 0])


def without_one(eta):
    """Wrong natural or mean parameters: a tensor, none, and one that is no tensor."""
    name = next(iter(eta))
    return only(eta, eta[name], {}, {**eta, name: 1.0}, {**eta, "no such": eta[name]}, None)


ROWS = {
    "exponential.family": door(exponential.family, q=NORMAL),
    **{f"exponential.{type(family).__name__}.natural": door(
        family.natural, q=also(q, NORMAL if not isinstance(q, DiagNormal) else GAMMA)
    ) for family, q in FAMILIES},
    **{f"exponential.{type(family).__name__}.from_natural": door(
        family.from_natural, eta=without_one(family.natural(q))
    ) for family, q in FAMILIES},
    **{f"exponential.{type(family).__name__}.from_mean": door(
        family.from_mean, mean=without_one(mean_parameters(family, family.natural(q)))
    ) for family, q in FAMILIES},
    **{f"exponential.{type(family).__name__}.log_partition": door(
        family.log_partition, eta=without_one(family.natural(q))
    ) for family, q in FAMILIES},
    "exponential.inner": door(
        exponential.inner, family=FAMILY, eta=only(ETA, *NEITHER), statistics=only(SECOND, *NEITHER)
    ),
    "exponential.log_prob": door(exponential.log_prob, family=FAMILY, eta=only(ETA, *NEITHER), z=Free(DRAWN)),
    "exponential.mean_parameters": door(mean_parameters, family=FAMILY, eta=only(ETA, *NEITHER)),
    "exponential.covariance": door(exponential.covariance, family=FAMILY, eta=only(ETA, *NEITHER)),
    "exponential.bregman": door(
        exponential.bregman, family=FAMILY, eta=only(ETA, *NEITHER), other=only(SECOND, *NEITHER)
    ),
    "exponential.natural_gradient": door(
        exponential.natural_gradient, family=FAMILY, eta=only(ETA, *NEITHER), gradient=only(SECOND, *NEITHER)
    ),
    "exponential.maximum_likelihood": door(
        exponential.maximum_likelihood, family=FAMILY, x=only(X, DRAWN, -X, X.numpy(), X.long(), "x", None)
    ),
    "exponential.Conjugate.around": door(
        exponential.Conjugate.around, family=FAMILY, q=also(GAMMA, NORMAL), nu=only(ONES[:, 0], 3, "x", None)
    ),
    "exponential.Conjugate.posterior": door(PRIOR.posterior, x=only(X, X.numpy(), X.long(), "x", None)),
    "exponential.Conjugate.log_density": door(PRIOR.log_density, eta=only(ETA, *NEITHER)),
    **{f"exponential.{type(pair).__name__}.{name}": door(
        getattr(pair, name), x=only(x, x.numpy(), x.long(), x[0], x[..., :2], "x", None)
    ) for pair, x in PAIRS for name in ("posterior", "log_evidence")},
    "exponential.fisher_information": door(exponential.fisher_information, q=also(GAMMA, WITHOUT_KL)),
    "exponential.score_information": door(exponential.score_information, q=GAMMA, key=KEY, s=also(S, 0, 1)),
    "exponential.observed_information": door(
        exponential.observed_information,
        log_likelihood=only(lambda q: q.log_prob(X).sum(), lambda q: q.log_prob(X), 3, "normal", None),
        theta=only(NORMAL, (), {}, {"loc": 3.0}),
    ),
    "exponential.cramer_rao": door(
        exponential.cramer_rao, information=only(EYE, EYE[..., 0], EYE[..., :2], 0 * EYE, EYE.numpy(), EYE.long()),
        jacobian=only(EYE[..., :2, :], EYE[..., :2], EYE.numpy(), 3, "x"),
    ),
}  # fmt: skip
