"""Joint distributions of named latents: their density, their tree, what they refuse."""

import numpy as np
import pytest
import torch
from torch.func import grad

from jensen.core import keys, trees
from jensen.core.distributions import (
    Bernoulli,
    Categorical,
    DiagNormal,
    Gamma,
    Given,
    Joint,
    Pushforward,
    draw,
    from_real,
    to_real,
)
from jensen.core.flows import real_nvp
from jensen.estimators.evidence import annealed_importance, importance, linear, smc
from tests.estimators.normalisers import near

KEY, N = keys.key(8), 2


def noise(*shape):
    return keys.normal(keys.key(sum(shape)), shape, torch.float64)


def component(params, earlier):
    loc = earlier["c"][..., 0, :] @ params["means"]
    return DiagNormal(loc, 0.1 * loc)


def mixture():
    """Three components in the plane, and a rate given the position."""
    rate = Given({"scale": noise(1)}, lambda p, z: Gamma(1 + z["z"].square(), p["scale"].exp().expand_as(z["z"])))
    return Joint(c=Categorical(noise(N, 1, 3)), z=Given({"means": noise(3, 2)}, component), y=rate)


def test_the_density_is_the_product_of_the_conditionals():
    q = mixture()
    z = q.sample(q.noise(KEY, 5))
    given = component(q.latents["z"].params, z)
    rate = q.latents["y"].params["scale"].exp()
    expected = q.latents["c"].log_prob(z["c"]) + given.log_prob(z["z"])
    expected = expected + Gamma(1 + z["z"].square(), rate.expand(5, N, 2)).log_prob(z["y"])
    torch.testing.assert_close(q.log_prob(z), expected)
    assert {name: tuple(t.shape) for name, t in z.items()} == {"c": (5, N, 1, 3), "z": (5, N, 2), "y": (5, N, 2)}
    assert not q.reparameterised


def test_a_draw_is_one_walk_with_the_noise_of_its_key():
    q = mixture()
    z, log_q = draw(q, KEY, 4)
    again = q.sample(q.noise(KEY, 4))
    assert all(torch.equal(z[name], again[name]) for name in z)
    torch.testing.assert_close(log_q, q.log_prob(z))
    part = q.noise(keys.at(KEY, particle=2), 2)
    assert all(torch.equal(a, b[2:]) for a, b in zip(trees.leaves(part), trees.leaves(q.noise(KEY, 4)), strict=True))


def test_a_latent_outside_its_support_leaves_no_gradient():
    """y = -1 has no density, whatever is given it is asked at a value inside."""
    q = Joint(y=Gamma(*torch.ones(2, N, 2).double()), z=Given({}, lambda p, z: DiagNormal(z["y"].log(), z["y"].log())))
    z = {"y": torch.tensor([[[1.0, -1.0], [1.0, 2.0]]]).double(), "z": torch.zeros(1, N, 2).double()}
    log_q = q.log_prob(z)
    assert log_q[0, 0] == -torch.inf
    assert log_q[0, 1].isfinite()
    slopes = grad(lambda y: q.log_prob({**z, "y": y})[0, 0])(z["y"])
    assert (slopes[0, 0] == 0).all()


def test_its_tree_has_the_latents_parameters_and_no_function():
    q = mixture()
    assert list(trees.paths(q)) == ["c.logits", "z.params.means", "y.params.scale"]
    doubled = trees.map(lambda t: 2 * t, q)
    torch.testing.assert_close(doubled.latents["z"].params["means"], 2 * q.latents["z"].params["means"])
    stopped = grad(lambda q: trees.stop(q).log_prob(Z).sum())(q)
    assert all((t == 0).all() for t in trees.leaves(stopped))


def test_constrained_fields_of_its_latents_move_freely():
    q = Joint(y=Gamma(*torch.ones(2, N, 2).double()), c=Bernoulli(noise(N, 2)))
    free = to_real(q)
    moved = from_real(q, trees.map(lambda t: t - 5, free))
    assert (moved.latents["y"].rate > 0).all()
    for back, field in zip(trees.leaves(from_real(q, free)), trees.leaves(q), strict=True):
        torch.testing.assert_close(back, field)


def test_a_latent_may_be_a_flow_whose_weights_all_samples_share():
    flows = real_nvp(KEY, 2, 2, dtype=torch.float64)

    def moved(params, earlier):
        loc = earlier["c"] + params["shift"]
        return Pushforward(DiagNormal(loc, 0 * loc), params["flows"])

    q = Joint(c=Bernoulli(noise(N, 2)), z=Given({"shift": noise(2), "flows": flows}, moved))
    z, log_q = q.sample_and_log_prob(q.noise(KEY, 6))
    torch.testing.assert_close(q.log_prob(z), log_q)


def rates():
    """A normal, and gammas given it."""
    scale = Given({"scale": noise(1)}, lambda p, z: Gamma(1.5 + z["z"].square(), p["scale"].exp().expand_as(z["z"])))
    return Joint(z=DiagNormal(noise(N, 2), 0.1 * noise(N, 2)), y=scale)


def test_evidence_takes_named_latents_and_moves_them_within_their_support():
    """log p = q times e^-y1, a likelihood of the rate: the gamma's Laplace transform, averaged over the normal."""
    q = rates()

    def log_p(z):
        return q.log_prob(z) - z["y"][..., 0]

    eps, weight = (torch.tensor(t) for t in np.polynomial.hermite_e.hermegauss(60))
    normal, rate = q.latents["z"], q.latents["y"].params["scale"].exp()
    z1 = normal.loc[:, 0] + normal.log_scale[:, 0].exp() * eps[:, None]
    mean = (weight[:, None] / weight.sum() * (1 + 1 / rate) ** -(1.5 + z1.square())).sum(0)
    near(importance(log_p, q, KEY, 4000), mean.log())
    near(annealed_importance(log_p, q, KEY, 40, linear(3)), mean.log())
    particles = smc(log_p, q, KEY, 20, islands=4, repeats=1).z
    assert (particles["y"] > 0).all()
    assert particles["z"].shape == (20, N, 2)


def test_its_bijection_is_that_of_each_latent():
    q = rates()
    onto = q.bijection()
    z = q.sample(q.noise(KEY, 3))
    u, log_det = onto.inverse(z)
    assert u.shape == (3, N, 4)
    torch.testing.assert_close(log_det, -z["y"].log().sum(-1))
    back, again = onto.forward(u)
    torch.testing.assert_close(back, z)
    torch.testing.assert_close(again, -log_det)
    assert onto.contains(z).all()
    assert not onto.contains({**z, "y": -z["y"]}).any()
    with pytest.raises(TypeError, match="expected c continuous, got Categorical"):
        mixture().bijection()


Z = mixture().sample(mixture().noise(KEY, 3))
REFUSED = {
    "no latents": (lambda: Joint(), ValueError, "expected latents by name, got none"),
    "nothing before": (lambda: Joint(z=Given({}, component)), TypeError, "expected z, the first latent, to be a dist"),
    "a tensor": (lambda: mixture().log_prob(Z["z"]), TypeError, "expected z, a dict of the latents c, z, y, got a ten"),
    "a missing latent": (lambda: mixture().log_prob({"c": Z["c"], "z": Z["z"]}), KeyError, "missing 'y'"),
    "another name": (lambda: mixture().sample({"c": 0, "zz": 0, "y": 0}), KeyError, "unknown 'zz' .the nearest is 'z'"),
    "integers": (
        lambda: mixture().log_prob({**Z, "z": Z["z"].long()}), TypeError, r"expected z\['z'\] in floating point"
    ),
    "no distribution": (
        lambda: Joint(c=Bernoulli(noise(N, 2)), z=Given({}, lambda p, z: z["c"])).noise(KEY, 2),
        TypeError, r"expected condition\(params, z\), a distribution, got a tensor",
    ),
    "no function": (
        lambda: Joint(c=Bernoulli(noise(N, 2)), z=Given({}, Bernoulli)).noise(KEY, 2), TypeError, "expected condition,"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_joint_is_refused(name):
    call, error, message = REFUSED[name]
    with pytest.raises(error, match=message):
        call()
