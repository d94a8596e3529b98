"""Gradient estimators: those of any q, those of one kind, and the catalogue's other rows."""

from functools import partial
from typing import Protocol, TypeAlias, TypeVar

import torch
from torch import Tensor

from jensen.core import bounds, trees
from jensen.core.contracts import Enumerable, GradientEstimator, LogDensity, Noise, Relaxable
from jensen.core.distributions import Bernoulli, Categorical, DiagNormal
from jensen.estimators import gradients
from jensen.estimators.gradients import baselines, catalogue

Kind = TypeVar("Kind", contravariant=True)


class Of(Protocol[Kind]):
    """A gradient estimator for one kind of q; it refuses the others."""

    def __call__(self, log_p: LogDensity, q: Kind, noise: Noise, /) -> Tensor: ...


Special: TypeAlias = Of[Relaxable] | Of[Enumerable] | Of[Bernoulli] | Of[Categorical] | Of[DiagNormal]


def analytic_kl(log_p: LogDensity, q: DiagNormal, noise: Noise, /) -> Tensor:
    """`gradients.analytic_kl` with a standard normal for its prior."""
    prior = trees.map(torch.zeros_like, q)
    return gradients.analytic_kl(lambda z: log_p(z) - prior.log_prob(z), q, noise, prior=prior)


def control(t: Tensor) -> Tensor:
    return torch.tanh(t).flatten(2).sum(-1)


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
