"""Flows and bijections."""

import math

import torch

from jensen.core import bijections, keys, trees
from jensen.core.contracts import Bijection, Flow
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
from jensen.laws.instances._noise import noise


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
