"""The ladder: its posterior by the textbook, its evidence and its bound by quadrature, its KL layer by layer."""

from functools import partial

import numpy as np
import pytest
import torch
from torch.func import grad

from jensen import laws
from jensen.core import bounds, keys, trees
from jensen.core.contracts import LatentModel
from jensen.core.models.latent import hvae, ladder
from jensen.estimators.evidence import importance
from jensen.estimators.gradients import dreg
from jensen.laws.oracles import normal_log_density
from tests.core.test_hvae import X, joint, parameters, through
from tests.estimators.normalisers import near

KEY, F64 = keys.key(2), torch.float64
MODEL = ladder.build(6, (1, 1), (4,))


def messages(params):
    """Each layer's loc and log scale by the deterministic pass upwards."""
    first, second = params["encoder"]["0"], params["encoder"]["1"]
    h = torch.tanh(X @ first["0"]["weight"].T + first["0"]["bias"])
    up = h @ first["1"]["weight"].T + first["1"]["bias"]
    return up.chunk(2, -1), through(second, h).chunk(2, -1)


def posterior(params, z1, z2):
    """log q(z2 | x) and log q(z1 | z2, x), whose density is that of a product of two normals, by precisions."""
    (loc, log_scale), top = messages(params)
    loc_p, log_scale_p = through(params["decoder"]["1"], z2).chunk(2, -1)
    a, b = (-2 * log_scale).exp(), (-2 * log_scale_p).exp()
    mean, log_sd = (a * loc + b * loc_p) / (a + b), -0.5 * (a + b).log()
    return normal_log_density(z2, *top), normal_log_density(z1, mean, log_sd), (mean, log_sd), (loc_p, log_scale_p)


def test_the_posterior_combines_by_precision_what_comes_up_with_the_prior():
    params, z = parameters(MODEL), keys.normal(KEY, (3, 4, 2), F64)
    z1, z2 = z.split(1, -1)
    assert isinstance(MODEL, LatentModel)
    q = MODEL.posterior(params, X)
    above, below, (mean, log_sd), _ = posterior(params, z1, z2)
    torch.testing.assert_close(q.log_prob(z), above + below)
    torch.testing.assert_close(MODEL.log_joint(params, X, z), joint(params, z1, z2))
    eps = q.noise(KEY, 3)
    drawn1, drawn2 = q.sample(eps).split(1, -1)
    _, _, (mean, log_sd), _ = posterior(params, drawn1, drawn2)
    torch.testing.assert_close(drawn1, mean + log_sd.exp() * eps[1])
    torch.testing.assert_close(q.sample_and_log_prob(eps)[1], q.log_prob(torch.cat([drawn1, drawn2], -1)))


def test_that_gate_can_fail(monkeypatch):
    """Scales that are averaged instead of precisions that are added."""
    params, z = parameters(MODEL), keys.normal(KEY, (3, 4, 2), F64)
    right = MODEL.posterior(params, X).log_prob(z)
    monkeypatch.setattr(ladder, "_product", lambda a, b: type(a)((a.loc + b.loc) / 2, (a.log_scale + b.log_scale) / 2))
    assert (MODEL.posterior(params, X).log_prob(z) - right).abs().min() > 1e-3


def quadrature(f, params, count=60):
    """sum over nodes of q(z2 | x) q(z1 | z2, x) of weight * f(z1, z2), with z1 (k, k, n, 1) and z2 (k, 1, n, 1)."""
    eps, weight = (torch.tensor(t, dtype=F64) for t in np.polynomial.hermite_e.hermegauss(count))
    weight = weight / weight.sum()
    _, (loc, log_scale) = messages(params)
    z2 = loc + log_scale.exp() * eps[:, None, None, None]
    _, _, (mean, log_sd), _ = posterior(params, z2, z2)
    z1 = mean + log_sd.exp() * eps[None, :, None, None]
    return (weight[:, None, None] * weight[None, :, None] * f(z1, z2.expand_as(z1))).sum((0, 1))


def test_the_bound_and_its_kl_by_layer_are_those_of_quadrature():
    params = parameters(MODEL)

    def elbo(z1, z2):
        above, below, *_ = posterior(params, z1, z2)
        return joint(params, z1, z2) - above - below

    def kl(z1, z2):
        """Of both layers together, by densities."""
        above, below, _, of_prior = posterior(params, z1, z2)
        zero = torch.zeros(1, dtype=F64)
        return above - normal_log_density(z2, zero, zero), below - normal_log_density(z1, *of_prior)

    q = MODEL.posterior(params, X)
    z = q.sample(q.noise(KEY, 20_000))
    log_w = MODEL.log_joint(params, X, z) - q.log_prob(z)
    laws.mean_is(log_w, quadrature(elbo, params))
    exact = torch.stack([quadrature(lambda a, b, i=i: kl(a, b)[i], params) for i in (1, 0)], -1)
    found = torch.stack([MODEL.kl_per_layer(params, X, part) for part in z.split(100)])
    torch.testing.assert_close(found[0, :, 1], exact[:, 1])  # that of the top layer needs no samples
    laws.mean_is(found[..., 0], exact[:, 0])


def test_the_evidence_is_that_of_quadrature():
    params = parameters(MODEL)

    def weights(z1, z2):
        above, below, *_ = posterior(params, z1, z2)
        return (joint(params, z1, z2) - above - below).exp()

    evidence = quadrature(weights, params, 100).log()
    near(importance(partial(MODEL.log_joint, params, X), MODEL.posterior(params, X), KEY, 20_000), evidence)


@pytest.mark.parametrize("latents", [(2,), (2, 1), (3, 2, 1)])
@pytest.mark.parametrize("hidden", [(), (4,)])
def test_gradients_reach_every_parameter(latents, hidden):
    model = ladder.build(6, latents, hidden)

    def bound(params):
        q = model.posterior(params, X)
        return dreg(partial(model.log_joint, params, X), q, q.noise(KEY, 3), bound=bounds.iwae).mean()

    for path, slope in trees.paths(grad(bound)(parameters(model))).items():
        assert slope.abs().max() > 0, path


def test_with_one_layer_there_is_no_direction():
    up, down = hvae.build(6, (2,), (4,)), ladder.build(6, (2,), (4,))
    params = parameters(up)
    z = keys.normal(KEY, (3, 4, 2), F64)
    torch.testing.assert_close(up.posterior(params, X).log_prob(z), down.posterior(params, X).log_prob(z))


def test_extreme_scales_stay_finite():
    params = parameters(MODEL)
    params["encoder"]["0"]["1"]["bias"][1] = 1000.0  # nothing comes up, and q is the prior
    z = keys.normal(KEY, (3, 4, 2), F64)
    assert (MODEL.kl_per_layer(params, X, z)[:, 0] < 1e-12).all()
    params["encoder"]["0"]["1"]["bias"][1] = -1000.0
    assert MODEL.posterior(params, X).log_prob(z).isfinite().all()


def test_what_does_not_fit_raises():
    params = parameters(MODEL)
    with pytest.raises(ValueError, match=r"expected x \(n, 6\), got \(6,\)"):
        MODEL.posterior(params, X[0])
    with pytest.raises(ValueError, match="expected x and z of as many data, got 4 and 3"):
        MODEL.kl_per_layer(params, X, torch.zeros(3, 3, 2).double())
    with pytest.raises(ValueError, match="expected latents, the size of each layer, got none"):
        ladder.build(6, ())
