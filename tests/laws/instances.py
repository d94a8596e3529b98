"""Every part of the library that the laws run over: a new one is one more row here.

The type of each table is a contract, which the type checker holds its rows to. Likelihoods and gradient estimators are
here by their own tables' rows; more families of distributions are in `families`. EXPECTED names, for a row, the laws
that it breaks by design, with the reason; EXAMPLES what the laws of flows and models are tried on.
"""

import math
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar

import torch
from torch import Tensor

from jensen.core import bijections, bounds, keys, trees
from jensen.core.contracts import (
    Bijection,
    Bound,
    DensityModel,
    Distribution,
    Enumerable,
    Flow,
    GradientEstimator,
    LatentModel,
    LogDensity,
    Noise,
    Relaxable,
)
from jensen.core.distributions import (
    Bernoulli,
    Beta,
    Categorical,
    ContinuousBernoulli,
    DiagNormal,
    Dirichlet,
    FullNormal,
    Gamma,
    Given,
    Hierarchical,
    Joint,
    LinearBernoulli,
    LinearCategorical,
    Pushforward,
)
from jensen.core.distributions.joint import Latents
from jensen.core.divergences import generators
from jensen.core.flows import (
    PLU,
    Actnorm,
    Autoregressive,
    Conditional,
    Continuous,
    Coupling,
    Hypernetwork,
    Inverse,
    Permutation,
    Planar,
    Radial,
    RationalQuadratic,
    Reverse,
    Sylvester,
    Triangular,
)
from jensen.core.models import classifier, quantised
from jensen.core.models.autoregressive import made, pixel_cnn
from jensen.core.models.latent import cvae, hvae, ladder, likelihoods, longitudinal, multimodal, ode, poisson, sbn, vae
from jensen.core.models.latent.posteriors import POSTERIORS
from jensen.core.models.latent.priors import MixtureOfPosteriors
from jensen.core.models.latent.semi import Stacked, m2
from jensen.core.models.latent.series import AtTimes
from jensen.core.models.quantised import CodedModel, Quantiser
from jensen.core.models.transport import normalising
from jensen.core.trees import Params
from jensen.estimators import gradients
from jensen.estimators.gradients import baselines, catalogue

if TYPE_CHECKING:
    from jensen.experiments.programs.adapted import ImageModel
    from jensen.experiments.programs.latent import LatentProgram

Kind = TypeVar("Kind", contravariant=True)


class Of(Protocol[Kind]):
    """A gradient estimator for one kind of q; it refuses the others."""

    def __call__(self, log_p: LogDensity, q: Kind, noise: Noise, /) -> Tensor: ...


Special: TypeAlias = Of[Relaxable] | Of[Enumerable] | Of[Bernoulli] | Of[Categorical] | Of[DiagNormal]


def noise(seed: int, *shape: int) -> Tensor:
    return keys.normal(keys.key(seed), shape, torch.float64)


def moved(flow: Flow, n: int | None = None) -> Flow:
    """The flow with noise in every field, so that it is not the identity; n of them, one per datum, or one."""
    fields = trees.map(lambda t: t if n is None else t.expand(n, *t.shape), flow)
    seeds = iter(range(200, 200 + len(trees.leaves(fields))))
    return trees.map(lambda t: t + 0.5 * noise(next(seeds), *t.shape), fields)


def gentle(flow: Continuous) -> Continuous:
    """With so slow a field, but no identity, that its steps err by less than rounding does elsewhere."""
    seeds = iter(range(200, 200 + len(trees.leaves(flow.network))))
    network = trees.map(lambda t: 0.2 * (t + 0.5 * noise(next(seeds), *t.shape)), flow.network)
    return flow._replace(network=network)


def normal_given(params: Params, z: Tensor) -> DiagNormal:
    return DiagNormal(z @ params["weight"], 0.3 * torch.tanh(z[..., :1]).expand(*z.shape[:-1], 2))


def wide_given(params: Params, z: Tensor) -> DiagNormal:
    loc = z * params["weight"][:2]
    return DiagNormal(loc, 0.2 * loc)


def gamma_given(params: Params, z: Tensor) -> Gamma:
    concentration = 2 + torch.sigmoid((z * params["weight"]).sum(-1, keepdim=True))
    return Gamma(concentration, concentration)


def named_given(params: Params, earlier: Latents) -> Gamma:
    return gamma_given(params, earlier["z"])


def coins_given(params: Params, z: Tensor) -> Bernoulli:
    return Bernoulli((2 * z - 1) @ params["weight"])


def analytic_kl(log_p: LogDensity, q: DiagNormal, noise: Noise, /) -> Tensor:
    """`gradients.analytic_kl` with a standard normal for its prior."""
    prior = trees.map(torch.zeros_like, q)
    return gradients.analytic_kl(lambda z: log_p(z) - prior.log_prob(z), q, noise, prior=prior)


def control(t: Tensor) -> Tensor:
    return torch.tanh(t).flatten(2).sum(-1)


WEIGHT: Params = {"weight": 0.7 * noise(43, 2, 2)}
WIDE: Params = {"weight": 0.7 * noise(45, 3)}
KEY = keys.key(40)
COUPLING = Coupling.identity(KEY, 3, (5,), dtype=torch.float64)
AUTOREGRESSIVE = Autoregressive.identity(KEY, 3, (6, 5), dtype=torch.float64)
PLANAR = Planar.identity(KEY, 3, torch.float64)
SPLINE = RationalQuadratic(3, 2.0)
CONTEXT = noise(44, 2, 2)
FLOWS: dict[str, Flow] = {
    "Coupling": moved(COUPLING),
    "Coupling per datum": moved(COUPLING, 2),
    "Coupling of splines": moved(Coupling.identity(KEY, 3, (5,), transform=SPLINE, dtype=torch.float64)),
    "Autoregressive": moved(AUTOREGRESSIVE),
    "Autoregressive of splines": moved(Autoregressive.identity(KEY, 3, (6,), transform=SPLINE, dtype=torch.float64)),
    "Inverse": Inverse(moved(AUTOREGRESSIVE, 2)),
    "Planar": moved(PLANAR),
    "Radial": moved(Radial.identity(KEY, 3, torch.float64), 2),
    "Sylvester, Householder": moved(Sylvester.householder(KEY, 3, 2, 2, torch.float64), 2),
    "Sylvester, orthogonal": moved(Sylvester.orthogonal(KEY, 3, 2, torch.float64)),
    "PLU": moved(PLU.rotation(KEY, 3, torch.float64)),
    "Triangular": moved(Triangular.identity(3, torch.float64)),
    "Triangular per datum": moved(Triangular.identity(3, torch.float64), 2),
    "Actnorm": moved(Actnorm.identity(3, torch.float64)),
    "Continuous": gentle(Continuous.identity(KEY, 3, (5,), steps=5, dtype=torch.float64)),
    "Permutation": Permutation.random(KEY, 3),
    "Reverse": Reverse(),
    "Conditional coupling": Conditional(
        (moved(Coupling.identity(KEY, 3, (5,), 2, dtype=torch.float64)), Reverse()), CONTEXT
    ),
    "Conditional autoregressive": Conditional(
        (moved(Autoregressive.identity(KEY, 3, (6,), 2, dtype=torch.float64)),), CONTEXT
    ),
    "Conditional continuous": Conditional(
        (gentle(Continuous.identity(KEY, 3, (4, 5), 2, steps=5, dtype=torch.float64)),), CONTEXT
    ),
    "Conditional planar": Conditional((moved(Hypernetwork.of(KEY, PLANAR, 2)),), CONTEXT),
}
DISTRIBUTIONS: dict[str, Distribution] = {
    "DiagNormal": DiagNormal(noise(1, 2, 3), 0.3 * noise(2, 2, 3)),
    "FullNormal": FullNormal(noise(3, 2, 3), 0.3 * noise(4, 2, 3), 0.5 * noise(5, 2, 3, 3)),
    "Bernoulli": Bernoulli(noise(6, 2, 3)),
    "Categorical": Categorical(noise(7, 2, 2, 3)),
    "ContinuousBernoulli": ContinuousBernoulli(2 * noise(8, 2, 3)),
    "Gamma": Gamma(torch.exp(0.3 * noise(9, 2, 2)) + 1, torch.exp(0.3 * noise(10, 2, 2))),
    "Beta": Beta(torch.exp(0.3 * noise(11, 2, 2)) + 1, torch.exp(0.3 * noise(12, 2, 2)) + 1),
    "Dirichlet": Dirichlet(torch.exp(0.3 * noise(13, 2, 3)) + 1),
    "Hierarchical of normals": Hierarchical.of(
        (DiagNormal(noise(14, 3, 2), 0.3 * noise(15, 3, 2)), 2), (Given(WEIGHT, normal_given), 2)
    ),
    "Hierarchical of Bernoullis": Hierarchical.of((Bernoulli(noise(16, 3, 2)), 2), (Given(WEIGHT, coins_given), 2)),
    "Hierarchical of three": Hierarchical.of(
        (DiagNormal(noise(25, 2, 1), 0.3 * noise(27, 2, 1)), 1),
        (Given(WIDE, wide_given), 2),
        (Given(WIDE, gamma_given), 1),
    ),
    "Joint": Joint(z=DiagNormal(noise(26, 2, 3), 0.3 * noise(28, 2, 3)), y=Given(WIDE, named_given)),
    "Pushforward": Pushforward(
        DiagNormal(noise(17, 2, 3), 0.3 * noise(18, 2, 3)), (FLOWS["Coupling per datum"], Reverse())
    ),
    "LinearBernoulli": LinearBernoulli(noise(19, 2, 4), noise(20, 3, 4), noise(21, 3)),
    "LinearCategorical": LinearCategorical(noise(22, 2, 4), noise(23, 3, 4), noise(24, 3)),
}
BIJECTIONS: dict[str, Bijection] = {
    "Real": bijections.Real(),
    "Positive": bijections.Positive(),
    "UnitInterval": bijections.UnitInterval(),
    "Interval": bijections.Interval(torch.tensor(-2.0, dtype=torch.float64), torch.tensor(0.5, dtype=torch.float64)),
    "Between": bijections.Between(*torch.tensor([[-2.0, 1.0, -math.inf], [0.5, math.inf, 2.0]], dtype=torch.float64)),
    "Between no ends": bijections.Between(*torch.tensor([-math.inf, math.inf], dtype=torch.float64)),
    "Ordered": bijections.Ordered(),
    "Simplex": bijections.Simplex(),
    "CorrelationCholesky": bijections.CorrelationCholesky(),
    "PositiveDefinite": bijections.PositiveDefinite(),
    "Concatenated": bijections.Concatenated.of((bijections.Positive(), 1), (bijections.Simplex(), 3)),
}
BOUNDS: dict[str, Bound] = {
    "elbo": bounds.elbo,
    "iwae": bounds.iwae,
    "vr_max": bounds.vr_max,
    "Renyi(0.5)": bounds.Renyi(0.5),
    "Renyi(2)": bounds.Renyi(2.0),
    "Cubo": bounds.Cubo(2.0),
    "Miwae": bounds.Miwae(2, 3),
    "Ciwae": bounds.Ciwae(0.5),
    "Tvo left": bounds.Tvo((0.0, 0.3, 1.0), "left"),
    "Tvo right": bounds.Tvo((0.0, 0.3, 1.0), "right"),
    "Jackknife": bounds.Jackknife(1),
    "Sumo": bounds.Sumo(1),
    "Csiszar": bounds.Csiszar(generators.reverse_kl),
    "TailAdaptive": bounds.TailAdaptive(),
}
OF_ANY_Q: dict[str, GradientEstimator] = {
    "pathwise": gradients.pathwise,
    "pathwise, iwae": partial(gradients.pathwise, bound=bounds.iwae),
    "stl": gradients.stl,
    "dreg": gradients.dreg,
    "dreg, Renyi(0.5)": partial(gradients.dreg, bound=bounds.Renyi(0.5)),
    "score": gradients.score,
    "score, leave one out": partial(gradients.score, baseline=baselines.leave_one_out),
    "score, iwae, vimco": partial(gradients.score, bound=bounds.iwae, baseline=baselines.vimco),
    "score, optimal": partial(gradients.score, baseline=baselines.optimal),
    "vargrad": gradients.vargrad,
    "wake": gradients.wake,
    "wake_theta": gradients.wake_theta,
    "wake_phi": gradients.wake_phi,
}
OF_ONE_KIND: dict[str, Special] = {
    "analytic_kl": analytic_kl,
    "muprop": gradients.muprop,
    "rebar": gradients.rebar,
    "relax": partial(gradients.relax, control=control),
    "arm": gradients.arm,
    "disarm": gradients.disarm,
    "arsm": gradients.arsm,
    "measure_valued": gradients.measure_valued,
    "exact": gradients.exact,
    "sum_and_sample": partial(gradients.sum_and_sample, top=5),
    "straight_through": gradients.straight_through,
    "concrete": gradients.concrete,
    "gumbel_straight_through": gradients.gumbel_straight_through,
}
ROWS = {name: getattr(gradients, name) for name in catalogue.ROWS}  # each row, listed above or not
ESTIMATORS = {**ROWS, **OF_ANY_Q, **OF_ONE_KIND}
MODELS: dict[str, LatentModel] = {
    **{
        f"vae, {name}": vae.mlp(6, (5,), 2, likelihood=likelihood)
        for name, likelihood in likelihoods.LIKELIHOODS.items()
    },
    **{f"vae, {name}": vae.mlp(6, (5,), 2, posterior=POSTERIORS[name]) for name in ("full", "mixture", "iaf")},
    "vae, vamp": vae.mlp(6, (5,), 2, prior=MixtureOfPosteriors(3)),
    "vae of convolutions": vae.conv((1, 4, 4), (2,), 2),
    "hvae": hvae.build(6, (3, 2), (5,)),
    "ladder": ladder.build(6, (3, 2), (5,)),
    "sbn": sbn.build(6, 3),
    "sbn of two layers": sbn.build(6, 3, 2),
    "poisson": poisson.build(6, 3),
    "ode": AtTimes(ode.build(2, 2, 2.0, 1, (4,), (), (4,), 2, POSTERIORS["full"]), (0.3, 0.9, 2.0)),
    "longitudinal": AtTimes(longitudinal.build(3, 2, 1, (4,), (), (4,)), (0.3, 0.9)),
    "cvae": cvae.build(4, 2, (5,), 2, learned=True),
    "multimodal": multimodal.build((4, 2), (5,), 2),
    "multimodal, mixture": multimodal.build((4, 2), (5,), 2, "mixture"),
    "multimodal, joint": multimodal.build((4, 2), (5,), 2, "joint"),
    "m2": m2.build(classifier.mlp(6, (4,), 3), (4,), 2),
    "m1-m2": Stacked(
        vae.mlp(6, (4,), 2), m2.build(classifier.mlp(2, (4,), 3), (4,), 1, likelihood=likelihoods.GAUSSIAN)
    ),
}

DENSITIES: dict[str, DensityModel] = {
    "real nvp": normalising.build(3, couplings=2, hidden=(6,)),
    "spline flow": normalising.build(3, SPLINE, 2, (6, 5)),
    "made": made.build(6, 2, (12,)),
    "pixel cnn": pixel_cnn.build((2, 3), 3, 4, 1, first=3),
}

QUANTISERS: dict[str, Quantiser] = {
    "Vq": quantised.Vq(6),
    "Vq by rotation": quantised.Vq(6, path="rotation", start="draw"),
    "GradientVq": quantised.GradientVq(6),
    "ResidualVq": quantised.ResidualVq(quantised.Vq(4), 2),
    "Fsq": quantised.Fsq((4, 3, 2)),
    "Lfq": quantised.Lfq(3),
    "SoftVq": quantised.SoftVq(6),
    "GumbelVq": quantised.GumbelVq(6),
    "Projected": quantised.Projected(quantised.Fsq((5, 4)), 2),
}


CODED: dict[str, CodedModel] = {
    **{
        f"autoencoder of {name}": quantised.autoencoder.mlp(6, (5,), 3, width, quantiser, torch.tanh)
        for name, width, quantiser in (
            ("Vq", 2, quantised.Vq(6)),
            ("GradientVq", 2, quantised.GradientVq(6, path="rotation")),
            ("ResidualVq", 2, quantised.ResidualVq(quantised.Vq(3), 2)),
            ("Fsq", 3, quantised.Fsq((4, 3, 2))),
            ("Lfq", 3, quantised.Lfq(3)),
            ("Projected", 4, quantised.Projected(quantised.GumbelVq(4), 2)),
        )
    },
    "autoencoder of convolutions": quantised.autoencoder.conv((1, 4, 4), (2,), 2, quantised.Vq(4)),
    "two maps": quantised.two_maps.conv((1, 8, 8), (3,), (3,), 2, quantised.Vq(4), quantised.Fsq((3, 4))),
}


def programs() -> "dict[str, LatentProgram]":
    """Training programs: a pathwise one, one that learns a baseline, and one whose objective has a state."""
    from jensen.experiments.data.batches import Epochs
    from jensen.experiments.programs.estimation import Estimation
    from jensen.experiments.programs.latent import LatentProgram
    from jensen.experiments.run.optimisers import Optimiser

    def program(model: "ImageModel", name: str, estimation: Estimation) -> LatentProgram:
        batches, optimiser = Epochs(12, 4), Optimiser()
        return LatentProgram(model, estimation, name, False, batches, optimiser, 6, 5, False, "")

    return {
        "vae, pathwise": program(vae.mlp(6, (5,), 2), "pathwise", Estimation(k=2)),
        "vae, geco": program(vae.mlp(6, (5,), 2), "pathwise", Estimation(k=1, objective="geco(-2)")),
        "sbn, nvil": program(sbn.build(6, 3), "score", Estimation(k=2, baseline="nvil")),
    }


PIXELS = (noise(30, 5, 6) > 0).double()
EXAMPLES: dict[str, object] = {
    **dict.fromkeys(FLOWS, noise(31, 4, 2, 3)),
    **dict.fromkeys(BIJECTIONS, noise(31, 4, 2, 3)),
    **dict.fromkeys(MODELS, PIXELS),
    **dict.fromkeys(("real nvp", "spline flow"), noise(37, 40, 3)),
    "made": (noise(38, 40, 6) > 0).long(),
    "pixel cnn": (noise(38, 40, 6) > 0).long() + (noise(39, 40, 6) > 0).long(),
    **dict.fromkeys(QUANTISERS, noise(34, 5, 4, 3)),
    **dict.fromkeys(CODED, noise(35, 5, 6).sigmoid()),
    "autoencoder of convolutions": noise(36, 5, 16).sigmoid(),
    "two maps": noise(36, 5, 64).sigmoid(),
    "vae of convolutions": (noise(33, 5, 16) > 0).double(),
    **dict.fromkeys(("vae, pathwise", "vae, geco", "sbn, nvil"), (noise(32, 12, 6) > 0).float()),
}
ABOVE = "at_most_the_log_mean_weight"
ORDER = "order_does_not_matter"
BIASED = "mean_gradient_is_exact"
EXPECTED: dict[str, dict[str, str]] = {
    "Between no ends": {"every_field_has_a_gradient": "infinite ends have none"},
    "vr_max": {ABOVE: "the largest weight is above the mean"},
    "Cubo": {ABOVE: "an upper bound"},
    "Tvo right": {ABOVE: "an upper sum"},
    "Jackknife": {ABOVE: "without IWAE's bias it may be on either side"},
    "Sumo": {ABOVE: "unbiased, on either side", ORDER: "its first samples are in every term"},
    "Miwae": {ORDER: "groups are of consecutive samples"},
    "SoftVq": {"quantised_vectors_are_those_of_the_codes": "means over codes, and no code's"},
    "straight_through": {BIASED: "right for theta alone"},
    "concrete": {BIASED: "right for theta, for phi as the temperature tends to 0"},
    "gumbel_straight_through": {BIASED: "right for theta alone"},
    "wake": {BIASED: "phi follows another divergence"},
    "wake_theta": {BIASED: "phi has no gradient"},
    "wake_phi": {BIASED: "theta has no gradient"},
}
