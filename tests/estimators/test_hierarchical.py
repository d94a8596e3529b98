"""Two layers of latents: each estimator is right for the parameters of both, and of the model's inner layer."""

from functools import partial
from typing import NamedTuple

import pytest
import torch
from torch.func import grad, vmap

from jensen import laws
from jensen.core import bounds, keys
from jensen.core.distributions import Bernoulli, DiagNormal, Given, Hierarchical
from jensen.estimators import gradients as g
from jensen.estimators.gradients import baselines
from jensen.laws import gates
from jensen.laws.oracles import bernoulli_log_density, normal_log_density

KEY = keys.key(21)
X = torch.tensor([[0.7], [-1.1]], dtype=torch.float64)
SCALAR = partial(torch.tensor, dtype=torch.float64)


def conditional(params, z1):
    return DiagNormal(params["slope"] * z1 + params["shift"], params["log_scale"].expand_as(z1))


def posterior(phi):
    return Hierarchical.of((DiagNormal(**phi["first"]), 1), (Given(phi["second"], conditional), 1))


def log_joint(theta, z):
    """z2 ~ N(0, 1), z1 | z2 ~ N(a tanh z2, 1), x | z1 ~ N(z1, 0.5^2)."""
    z1, z2 = z.split(1, -1)
    inner = normal_log_density(z1, theta["a"] * torch.tanh(z2), SCALAR(0.0))
    return normal_log_density(z2, SCALAR(0.0), SCALAR(0.0)) + inner + normal_log_density(X, z1, SCALAR(-0.7))


PARAMS = {
    "theta": {"a": SCALAR(1.3)},
    "phi": {
        "first": {"loc": SCALAR([[0.2], [0.4]]), "log_scale": SCALAR([[-0.5], [-0.2]])},
        "second": {"slope": SCALAR(-0.4), "shift": SCALAR(0.3), "log_scale": SCALAR([0.1])},
    },
}


def exact(bound, s, nodes=24):
    """By quadrature over both layers of both samples."""
    nodes = nodes if s == 2 else 60
    eps, mass = gates.normal_points(nodes)({"loc": torch.zeros(1, 1), "log_scale": torch.zeros(1, 1).double()})
    index = torch.cartesian_prod(torch.arange(nodes), torch.arange(nodes))
    pairs, weights = eps[index, 0, 0], mass[index, 0].sum(1)  # (nodes^2, 2)

    def value(params):
        first, second = params["phi"]["first"], params["phi"]["second"]
        z1 = first["loc"] + first["log_scale"].exp() * pairs[:, None, :1]
        mean = second["slope"] * z1 + second["shift"]
        z2 = mean + second["log_scale"].exp() * pairs[:, None, 1:]
        log_q = normal_log_density(z1, **first) + normal_log_density(z2, mean, second["log_scale"])
        log_w = log_joint(params["theta"], torch.cat([z1, z2], -1)) - log_q
        if s == 1:
            return (weights.exp()[:, None] * log_w).sum()
        both = torch.stack(torch.broadcast_tensors(log_w[:, None], log_w[None]))
        each = bound(both.flatten(1)).reshape(both.shape[1:])
        return torch.einsum("i,j,ijn->", weights.exp(), weights.exp(), each)

    return grad(value)(PARAMS)


def draws(estimate, s, reps=20_000, key=KEY):
    def value(params, key):
        q = posterior(params["phi"])
        return estimate(partial(log_joint, params["theta"]), q, q.noise(key, s)).sum()

    return vmap(grad(value), in_dims=(None, 0))(PARAMS, keys.split(key, reps))


def flat(tree, lead=0):
    return torch.cat([t.reshape(*t.shape[:lead], -1) for t in torch.utils._pytree.tree_leaves(tree)], -1)


@pytest.mark.parametrize(
    ("estimate", "bound", "s"),
    [
        (g.pathwise, gates.elbo, 1),
        (g.stl, gates.elbo, 1),
        (partial(g.pathwise, bound=bounds.iwae), gates.iwae, 2),
        (g.dreg, gates.iwae, 2),
        (partial(g.dreg, bound=bounds.Renyi(0.5)), gates.renyi_half, 2),
        (partial(g.score, bound=bounds.iwae, baseline=baselines.vimco), gates.iwae, 2),
    ],
    ids=["pathwise", "stl", "pathwise iwae", "dreg", "dreg renyi", "vimco"],
)
def test_both_layers_have_their_exact_gradient(estimate, bound, s):
    laws.mean_is_exact(lambda key, reps: flat(draws(estimate, s, reps, key), 1), flat(exact(bound, s)), KEY)


class FixedSample(NamedTuple):
    """q with another sample."""

    q: Hierarchical
    z: torch.Tensor

    reparameterised = True

    def noise(self, key, s):
        return self.q.noise(key, s)

    def sample(self, noise):
        return self.z

    def log_prob(self, z):
        return self.q.log_prob(z)


def test_the_gate_sees_a_conditional_whose_input_is_cut():
    """The planted bug: z2 drawn from q(z2 | z1) at a detached z1, so that the path from z1 to z2 is missing."""

    def wrong(log_p, q, eps):
        first, second = q.layers
        z1 = first.sample(eps[0])
        cut = torch.cat([z1, conditional(second.params, z1.detach()).sample(eps[1])], -1)
        return g.dreg(log_p, FixedSample(q, cut), eps)

    with pytest.raises(AssertionError, match="standard errors off"):
        laws.mean_is(flat(draws(wrong, 2)["phi"], 1), flat(exact(gates.iwae, 2)["phi"]), errors=10)


def test_discrete_layers_have_their_exact_gradient():
    """q(z1) q(z2 | z1) of one Bernoulli each: four values."""
    phi = {"first": gates.random(0, 2, 1), "slope": SCALAR(1.5), "shift": SCALAR(-0.6)}
    values = SCALAR([[0, 0], [0, 1], [1, 0], [1, 1]])[:, None].expand(-1, 2, 2)

    def q_of(phi):
        second = {"slope": phi["slope"], "shift": phi["shift"]}
        return Hierarchical.of(
            (Bernoulli(phi["first"]), 1), (Given(second, lambda p, z1: Bernoulli(p["slope"] * z1 + p["shift"])), 1)
        )

    def log_p(z):
        return torch.sin(3 * z[..., 0]) + 2 * z[..., 1] * (1 - z[..., 0]) - z.sum(-1) * X[:, 0]

    def value(phi):
        log_q = bernoulli_log_density(values[..., :1], phi["first"])
        log_q = log_q + bernoulli_log_density(values[..., 1:], phi["slope"] * values[..., :1] + phi["shift"])
        log_w = log_p(values) - log_q
        pairs = torch.logaddexp(log_w[:, None], log_w[None]) - torch.log(SCALAR(2.0))
        return torch.einsum("in,jn,ijn->", log_q.exp(), log_q.exp(), pairs)

    def estimate(phi, key):
        q = q_of(phi)
        return g.score(log_p, q, q.noise(key, 2), bound=bounds.iwae, baseline=baselines.vimco).sum()

    found = vmap(grad(estimate), in_dims=(None, 0))
    laws.mean_is_exact(lambda key, reps: flat(found(phi, keys.split(key, reps)), 1), flat(grad(value)(phi)), KEY)
