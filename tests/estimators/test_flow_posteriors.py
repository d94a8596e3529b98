"""Estimators through a flow posterior are those of its density by the inverse, and call no inverse that is dear."""

from functools import partial
from typing import NamedTuple

import pytest
import torch
from torch.func import grad, vmap

from jensen.core import bounds, flows, keys, trees
from jensen.core.distributions import DiagNormal, Gamma, Pushforward, sample_and_log_prob, sample_and_score
from jensen.estimators import gradients
from jensen.laws import transforms
from tests.core.test_flows import F64, KEY, scattered


class OneWay(flows.Autoregressive):
    def inverse(self, z, context=None, /):
        raise AssertionError("neither a sample's density nor its gradient needs an inverse")


class Inverted(NamedTuple):
    """The same posterior, whose density is by the flows' inverses alone."""

    q: Pushforward
    reparameterised = True

    def noise(self, key, s, /):
        return self.q.noise(key, s)

    def sample(self, noise, /):
        return self.q.sample(noise)

    def log_prob(self, z, /):
        return self.q.log_prob(z)


BASE = DiagNormal(keys.normal(KEY, (2, 3), F64), 0.3 * keys.normal(keys.key(1), (2, 3), F64))
LAYERS = scattered(
    KEY,
    (
        *flows.iaf(KEY, 3, 2, (6, 5), dtype=F64),
        flows.Planar.identity(KEY, 3, F64),
        flows.Sylvester.orthogonal(KEY, 3, 2, F64),
    ),
    0.4,
)
Q = Pushforward(BASE, LAYERS)
ONE_WAY = Q._replace(flows=tuple(OneWay(*f) if isinstance(f, flows.Autoregressive) else f for f in LAYERS))
NOISE = Q.noise(KEY, 4)
ESTIMATORS = {
    "pathwise": gradients.pathwise,
    "pathwise, iwae": partial(gradients.pathwise, bound=bounds.iwae),
    "stl": gradients.stl,
    "dreg": gradients.dreg,
    "dreg, Renyi(0.5)": partial(gradients.dreg, bound=bounds.Renyi(0.5)),
    "score": gradients.score,
    "score, iwae": partial(gradients.score, bound=bounds.iwae),
    "vargrad": gradients.vargrad,
    "wake": gradients.wake,
    "wake_phi": gradients.wake_phi,
}


def log_p(z):
    return -0.5 * (z - 1).square().sum(-1) + z.sin().sum(-1)


def of(estimator):
    return lambda q, noise: (estimator(log_p, q, noise) * torch.tensor([1.0, 2.0], dtype=F64)).sum()


def close(found, exact, most=1e-12):
    for a, b in zip(trees.leaves(found), trees.leaves(exact), strict=True):
        assert b.numel() == 0 or (a - b).abs().max() <= most * (1 + b.abs().max()), (a - b).abs().max()


@pytest.mark.parametrize("name", ESTIMATORS)
def test_gradients_are_those_by_the_inverse(name):
    value = of(ESTIMATORS[name])
    torch.testing.assert_close(value(ONE_WAY, NOISE), value(Inverted(Q), NOISE), rtol=0, atol=1e-12)
    slope = grad(value)(ONE_WAY, NOISE)
    close(slope, grad(value)(Inverted(Q), NOISE).q)
    both = torch.stack([NOISE.flip(0), NOISE])
    close(trees.map(lambda t: t[1], vmap(grad(value), (None, 0))(ONE_WAY, both)), slope)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["stl", "dreg", "score"])
def test_compiled_gradients_are_eager(name):
    gradient = grad(of(ESTIMATORS[name]))
    close(transforms.compiled(gradient)(ONE_WAY, NOISE), gradient(ONE_WAY, NOISE))


def test_a_context_is_followed():
    layers = scattered(KEY, (*flows.iaf(KEY, 3, 1, (6,), 2, dtype=F64), *flows.maf(KEY, 3, 1, (6,), 2, dtype=F64)), 0.4)
    planar = scattered(KEY, flows.Hypernetwork.of(KEY, flows.Planar.identity(KEY, 3, F64), 2))
    q = Pushforward(BASE, (flows.Conditional((*layers, planar), keys.normal(KEY, (2, 2), F64)),))
    close(grad(of(gradients.stl))(q, NOISE), grad(of(gradients.stl))(Inverted(q), NOISE).q)


def test_of_any_base_and_of_any_distribution():
    gammas = Gamma(torch.full((2, 2), 2.0, dtype=F64), torch.ones(2, 2, dtype=F64))
    q = Pushforward(gammas, (flows.Inverse(flows.Planar.identity(KEY, 2, F64)),))
    for each in (gammas, q, Inverted(q)):
        noise = each.noise(KEY, 3)
        z, log_q, score = sample_and_score(each, noise)
        close(sample_and_log_prob(each, noise), (each.sample(noise), each.log_prob(z)))
        close((log_q, score), (each.log_prob(z), -1 + 1 / z))  # density z e^-z in each component
