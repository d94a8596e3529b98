"""Distributions, divergences, bijections and operations."""

import math

import torch

from jensen.core import bijections, distributions, divergences, keys, ops
from jensen.core.contracts import Cdf, can
from jensen.core.distributions import (
    Bernoulli,
    Beta,
    Binomial,
    Categorical,
    Cauchy,
    ChiSquared,
    ContinuousBernoulli,
    DiagNormal,
    Dirichlet,
    DiscretisedLogistic,
    Exponential,
    FullNormal,
    FullStudentT,
    Gamma,
    Geometric,
    Given,
    Hierarchical,
    InverseGamma,
    Joint,
    Laplace,
    LinearBernoulli,
    LinearCategorical,
    Logistic,
    LogNormal,
    LowRankNormal,
    MatrixNormal,
    Mixture,
    Multinomial,
    NegativeBinomial,
    Pareto,
    Poisson,
    Pushforward,
    StudentT,
    TruncatedNormal,
    Uniform,
    VonMisesFisher,
    Wishart,
    from_torch,
)
from jensen.core.divergences import generators
from jensen.core.trees import Static
from tests.doors.door import KEY, Free, also, door, only

S, N, D, K = 4, 5, 3, 6
ZEROS, ONES, CUBE = torch.zeros(N, D), torch.ones(N, D), torch.zeros(N, D, K)
NAN, SQUARE = ONES * math.nan, torch.zeros(N, D, D)
NORMAL, OTHER = DiagNormal(ZEROS, ZEROS), DiagNormal(ONES, ZEROS)
BINARY, CHOICE = Bernoulli(ZEROS), Categorical(CUBE)
NOISE = NORMAL.noise(KEY, S)
LAYER = (torch.zeros(N, 2), torch.zeros(D, 2), torch.zeros(D))
KINDS = {
    "Bernoulli": BINARY, "Beta": Beta(ONES, ONES), "Categorical": CHOICE, "DiagNormal": NORMAL,
    "ContinuousBernoulli": ContinuousBernoulli(ZEROS), "Dirichlet": Dirichlet(ONES),
    "FullNormal": FullNormal.from_diagonal(NORMAL), "Gamma": Gamma(ONES, ONES),
    "LinearBernoulli": LinearBernoulli(*LAYER), "LinearCategorical": LinearCategorical(*LAYER),
    "Hierarchical": Hierarchical.of((NORMAL, D), (Given({}, lambda params, z: DiagNormal(z, z)), D)),
    "Joint": Joint(z=NORMAL, y=Given({}, lambda params, z: DiagNormal(z["z"], z["z"]))),
    "Pushforward": Pushforward(NORMAL, ()),
    "FromTorch": from_torch(torch.distributions.Independent(torch.distributions.Gumbel(ZEROS, ONES), 1)),
    "Laplace": Laplace(ZEROS, ZEROS), "Logistic": Logistic(ZEROS, ZEROS), "Cauchy": Cauchy(ZEROS, ZEROS),
    "StudentT": StudentT(3 * ONES, ZEROS, ZEROS), "Uniform": Uniform(ZEROS, ONES), "LogNormal": LogNormal(ZEROS, ZEROS),
    "Exponential": Exponential(ONES), "InverseGamma": InverseGamma(3 * ONES, ONES), "ChiSquared": ChiSquared(ONES),
    "Pareto": Pareto(ONES, 3 * ONES), "Poisson": Poisson(ONES), "Geometric": Geometric(ZEROS),
    "Binomial": Binomial(ZEROS, Static(3)), "Multinomial": Multinomial(ZEROS, Static(3)),
    "NegativeBinomial": NegativeBinomial(ONES, ZEROS), "LowRankNormal": LowRankNormal(ZEROS, ZEROS, CUBE[..., :2]),
    "MatrixNormal": MatrixNormal(CUBE, ZEROS, SQUARE, CUBE[:, 0], torch.zeros(N, K, K)),
    "Mixture": Mixture(ZEROS, Laplace(CUBE, CUBE)),
    "TruncatedNormal": TruncatedNormal(ZEROS, ZEROS, ZEROS, ONES),
    "FullStudentT": FullStudentT(3 * ONES[:, 0], ZEROS, ZEROS, SQUARE),
    "DiscretisedLogistic": DiscretisedLogistic(ZEROS, ZEROS, Static(4)),
    "VonMisesFisher": VonMisesFisher(ONES, ONES[:, :1]),
    "Wishart": Wishart(3 * ONES[:, 0], ZEROS, SQUARE),
}  # fmt: skip
DRAWS = {name: q.sample(q.noise(KEY, S)) for name, q in KINDS.items()}


def fields(kind, **values):
    """The door of a distribution's fields, which are checked where they are used."""
    z = kind(*values.values()).mean()[None]
    return door(
        lambda *given: kind(*given).log_prob(z),
        **{f"{name}|parameters": only(t, -t, t.numpy(), t.long(), "x", None) for name, t in values.items()},
    )


EYE = torch.eye(D).expand(N, D, D)
DATUM = torch.tensor([[0.0, 1.0, 1.0]] * N)
LOGITS = keys.normal(KEY, (N, D))
CLASSES = torch.arange(N) % D
INDICES = only(
    CLASSES, CLASSES - 1, CLASSES + 1, CLASSES[:2], CLASSES > 0, CLASSES.double(), CLASSES.numpy(), "x", None
)
POINTS = keys.normal(KEY, (S, N, D))
ALPHA = also(0.5, math.inf)
PAIR = {"q": also(NORMAL, BINARY), "p": also(OTHER, BINARY)}

NAMED = bijections.Named.of(rate=(bijections.Positive(), 1), share=(bijections.Simplex(), 3))
NAMED_VALUE, _ = NAMED.forward(torch.zeros(N, 3))
ROWS = {
    **{f"distributions.{name}.noise": door(q.noise, key=KEY, s=also(S, 0)) for name, q in KINDS.items()},
    **{f"distributions.{name}.sample": door(q.sample, noise=Free(q.noise(KEY, S))) for name, q in KINDS.items()},
    **{f"distributions.{name}.log_prob": door(q.log_prob, **{"x" if "Linear" in name else "z": Free(DRAWS[name])})
       for name, q in KINDS.items()},
    **{f"distributions.{name}.kl": door(q.kl, p=also(q, NORMAL if q is not NORMAL else BINARY))
       for name, q in KINDS.items() if hasattr(q, "kl")},
    **{f"distributions.{name}.cdf": door(q.cdf, z=Free(DRAWS[name])) for name, q in KINDS.items() if can(q, Cdf)},
    **{f"distributions.{name}.quantile": door(q.quantile, u=only(0.5 * ONES, 2 * ONES, -ONES, ONES.numpy(), 0.5))
       for name, q in KINDS.items() if can(q, Cdf)},
    "distributions.Exponential of fields": fields(Exponential, rate=ONES),
    "distributions.InverseGamma of fields": fields(InverseGamma, concentration=3 * ONES, rate=ONES),
    "distributions.ChiSquared of fields": fields(ChiSquared, df=ONES),
    "distributions.Poisson of fields": fields(Poisson, rate=ONES),
    "distributions.NegativeBinomial of fields": fields(lambda r: NegativeBinomial(r, ZEROS), total_count=ONES),
    "distributions.Pareto of fields": fields(Pareto, scale=ONES, concentration=3 * ONES),
    "distributions.Wishart.from_scale": door(
        Wishart.from_scale, df=only(3 * ONES[:, 0], ONES[:, 0], ONES, 3, "x"),
        scale=only(EYE, -EYE, EYE[..., :2], EYE.long()),
    ),
    "distributions.Wishart of fields": fields(lambda k: Wishart(k, ZEROS, SQUARE), excess=3 * ONES[:, 0]),
    "distributions.VonMisesFisher of fields": fields(lambda k: VonMisesFisher(ONES, k), concentration=ONES[:, :1]),
    "distributions.Gamma of fields": fields(Gamma, concentration=ONES, rate=ONES),
    "distributions.Beta of fields": fields(Beta, concentration1=ONES, concentration0=ONES),
    "distributions.Dirichlet of fields": fields(Dirichlet, concentration=ONES),
    "distributions.DiagNormal.from_scale": door(
        DiagNormal.from_scale, loc=Free(ZEROS), scale=only(ONES, -ONES, NAN, ONES.numpy(), 1.0)
    ),
    "distributions.DiagNormal.from_mean": door(DiagNormal.from_mean, mean=Free(ZEROS)),
    "distributions.Bernoulli.from_mean": door(Bernoulli.from_mean, mean=only(0.5 * ONES, -ONES, 2 * ONES, 0.5)),
    "distributions.FullNormal.from_covariance": door(
        FullNormal.from_covariance, loc=ZEROS,
        covariance=only(EYE, -EYE, EYE[:2], EYE[..., :2], EYE.numpy(), EYE.long()),
    ),
    "distributions.FullNormal.marginal": door(
        FullNormal.from_diagonal(NORMAL).marginal, index=only([0, 2], [0, 0], [3], [], "02", 1.5, -1)
    ),
    "distributions.FullNormal.condition": door(
        FullNormal.from_diagonal(NORMAL).condition, index=only([0, 2], [0, 0], [3], [], "02", [0, 1, 2]),
        value=ZEROS[:, :2],
    ),
    "distributions.FullNormal.from_draws": door(FullNormal.from_draws, z=POINTS),
    "distributions.check_binary": door(distributions.check_binary, x=Free(DATUM)),
    "distributions.draw": door(distributions.draw, q=NORMAL, key=KEY, s=also(S, 0)),
    "distributions.sample_and_log_prob": door(distributions.sample_and_log_prob, q=NORMAL, noise=Free(NOISE)),
    "distributions.sample_and_score": door(distributions.sample_and_score, q=also(NORMAL, BINARY), noise=Free(NOISE)),
    "distributions.from_torch": door(
        from_torch, d=only(torch.distributions.Normal(ZEROS[:, 0], ONES[:, 0]), 3, NORMAL, "normal")
    ),
    "distributions.characteristic": door(
        distributions.characteristic, q=also(NORMAL, CHOICE), t=only(ONES, ONES[:, 0], ONES.numpy(), ONES.long(), 0.5)
    ),
    "distributions.log_mgf": door(
        distributions.log_mgf, q=also(NORMAL, KINDS["Cauchy"]), t=only(ONES, ONES[:, 0], ONES.numpy(), ONES.long(), 0.5)
    ),
    "distributions.tempered": door(
        distributions.tempered, q=also(NORMAL, KINDS["Mixture"]),
        temperature=only(0.5, 0.0, -ONES[:, 0], ONES, ONES[:, 0].long(), "x", None),
    ),
    "distributions.to_real": door(distributions.to_real, q=NORMAL),
    "distributions.from_real": door(distributions.from_real, q=NORMAL, free=only(NORMAL, 3, BINARY, ZEROS)),
    **{f"divergences.{f.__name__}": door(f, **PAIR)
       for f in (divergences.reverse_kl, divergences.forward_kl, divergences.kl_per_dimension, divergences.chi2,
                 divergences.squared_wasserstein2)},
    "divergences.renyi": door(divergences.renyi, **PAIR, alpha=also(0.5, 0.0, math.inf)),
    "divergences.alpha_divergence": door(divergences.alpha_divergence, **PAIR, alpha=ALPHA),
    "divergences.jensen_shannon": door(divergences.jensen_shannon, q=also(BINARY, NORMAL), p=also(BINARY, NORMAL)),
    "divergences.f_divergence": door(
        divergences.f_divergence, f=generators.chi2, q=also(BINARY, NORMAL), p=also(BINARY, NORMAL)
    ),
    "divergences.squared_mmd": door(
        divergences.squared_mmd, x=also(POINTS, POINTS[:1], POINTS[..., :2]), y=also(POINTS, POINTS[:1]),
        bandwidth=also(1.0, 0.0, -1.0, torch.ones(2)), kernel="rbf",
    ),
    "ops.normal_log_prob": door(ops.normal_log_prob, z=Free(POINTS), loc=Free(ZEROS), log_scale=Free(ZEROS)),
    "ops.bernoulli_log_prob": door(ops.bernoulli_log_prob, x=Free(DATUM), logits=Free(LOGITS)),
    "ops.categorical_log_prob": door(ops.categorical_log_prob, x=Free(DATUM), logits=Free(LOGITS)),
    "ops.categorical_log_prob of indices": door(ops.categorical_log_prob, x=INDICES, logits=Free(LOGITS)),
    "ops.importance": door(ops.importance, log_p=torch.zeros(S, N), log_q=also(torch.zeros(S, N), torch.zeros(S, 2))),
    "ops.nearest_code": door(ops.nearest_code, z=LOGITS, codebook=also(LOGITS, LOGITS[:, :2], LOGITS[:0])),
    "ops.normal_kl": door(
        ops.normal_kl, q_loc=Free(ZEROS), q_log_scale=Free(ZEROS), p_loc=Free(ZEROS), p_log_scale=Free(ZEROS)
    ),
    "ops.normal_sample": door(ops.normal_sample, key=KEY, loc=ZEROS, log_scale=ZEROS, s=also(S, 0)),
    "ops.path_scale": door(ops.path_scale, z=only(POINTS, POINTS.numpy(), "x", None)),
    "ops.stein_direction": door(
        ops.stein_direction, particles=LOGITS, scores=also(LOGITS, LOGITS[:2]), bandwidth=only(None, 3, "x"),
        kernel="rbf",
    ),
    "ops.median_bandwidth": door(ops.median_bandwidth, particles=LOGITS),
    "ops.linear_bernoulli_log_prob": door(
        ops.linear_bernoulli_log_prob, x=DATUM, h=torch.zeros(S, N, 2), weight=LAYER[1], bias=LAYER[2]
    ),
    "ops.linear_categorical_log_prob": door(
        ops.linear_categorical_log_prob, x=DATUM, h=torch.zeros(S, N, 2), weight=LAYER[1], bias=LAYER[2]
    ),
    "ops.linear_categorical_log_prob of indices": door(
        ops.linear_categorical_log_prob, x=INDICES, h=torch.zeros(S, N, 2), weight=LAYER[1], bias=LAYER[2]
    ),
    "ops.use": door(lambda path: ops.use(path).__enter__(), path="reference"),
    **{f"bijections.{type(b).__name__}.{way}": door(getattr(b, way), **{argument: Free(value)})
       for b, event in (
           (bijections.Real(), ZEROS), (bijections.Positive(), ONES), (bijections.UnitInterval(), 0.5 * ONES),
           (bijections.Interval(torch.tensor(-1.0), torch.tensor(1.0)), ZEROS),
           (bijections.Between(torch.tensor(-1.0), torch.tensor(math.inf)), ZEROS),
           (bijections.Above(torch.tensor(-1.0)), ZEROS), (bijections.Composed((bijections.Positive(),)), ONES),
           (bijections.Ordered(), torch.arange(3.0).expand(N, D)), (bijections.Simplex(), ONES / 3),
           (bijections.Stereographic(ONES), ONES / 3**0.5),
           (bijections.CorrelationCholesky(), torch.eye(D).expand(N, D, D)),
           (bijections.PositiveDefinite(), torch.eye(D).expand(N, D, D)),
       )
       for way, argument, value in (
           ("forward", "z", b.inverse(event)[0]), ("inverse", "value", event), ("contains", "value", event)
       )},
    "bijections.Concatenated.of": door(
        bijections.Concatenated.of,
        parts=only((bijections.Positive(), 2), (bijections.Positive(), 0), 3, bijections.Positive()),
    ),
    "bijections.Named.of": door(
        lambda part: bijections.Named.of(part=part),
        part=only((bijections.Positive(), 2), (bijections.Positive(), 0), 3, bijections.Positive()),
    ),
    "bijections.Named.forward": door(NAMED.forward, z=Free(torch.zeros(N, 3))),
    "bijections.Named.inverse": door(NAMED.inverse, value=only(NAMED_VALUE, ZEROS, None)),
    "bijections.Named.contains": door(NAMED.contains, value=only(NAMED_VALUE, ZEROS, None)),
    "bijections.unconstrained": door(
        bijections.unconstrained, log_p=lambda z: z.sum(-1), bijection=only(bijections.Positive(), 3, "Positive", None)
    ),
}  # fmt: skip
