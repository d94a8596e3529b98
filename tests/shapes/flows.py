"""Flows and bijections of a normal."""

import torch

from jensen.core import bijections, flows, keys
from jensen.core.distributions import DiagNormal, Pushforward

KEY = keys.key(0)
NORMAL = DiagNormal(torch.zeros(5, 3), torch.zeros(5, 3))


def pushforwards():
    context, planar = torch.zeros(5, 2), flows.Planar.identity(KEY, 3)
    builders = (flows.real_nvp, flows.spline_couplings, flows.iaf, flows.maf)
    for layers in (
        *(build(KEY, 3) for build in builders),
        *(build(KEY, 3, n=5) for build in builders),
        (planar, flows.Radial.identity(KEY, 3)),
        (flows.Triangular.of(torch.zeros(3), torch.eye(3)),),
        (flows.Actnorm.identity(3), flows.PLU.rotation(KEY, 3), flows.Continuous.identity(KEY, 3, probes=2)),
        (flows.Sylvester.orthogonal(KEY, 3, 2), flows.Sylvester.householder(KEY, 3, 2)),
        (flows.Permutation.random(KEY, 3),),
        (flows.Conditional((*flows.real_nvp(KEY, 3, context=2), *flows.maf(KEY, 3, context=2)), context),),
        (flows.Conditional((flows.Hypernetwork.of(KEY, planar, 2),), context),),
        (bijections.Simplex(),),
        (bijections.CorrelationCholesky(),),
    ):
        q = Pushforward(NORMAL, layers)
        q.log_prob(q.sample(q.noise(KEY, 4))), q.draw(KEY, 4), q.sample_and_log_prob(q.noise(KEY, 4))
        q.sample_and_score(q.noise(KEY, 4))


def normalised():
    flows.normalised((flows.Actnorm.identity(3),), NORMAL.sample(NORMAL.noise(KEY, 2)))
