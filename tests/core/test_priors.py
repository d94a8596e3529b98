"""Learned priors: their densities by the textbook, the evidence under them by quadrature."""

from functools import partial

import pytest
import torch
from torch.func import grad

from jensen import laws
from jensen.core import keys, objectives, trees
from jensen.core.distributions import DiagNormal
from jensen.core.models.latent import posteriors, priors, vae
from jensen.estimators.evidence import importance
from jensen.laws.oracles import bernoulli_log_density, normal_log_density
from tests.estimators.normalisers import near

KEY, F64 = keys.key(2), torch.float64
X = (keys.uniform(KEY, (4, 6), F64) < 0.4).double()
VAMP, MIXTURE = priors.MixtureOfPosteriors(3), priors.MixtureOfNormals(3)


def model(prior, latent=1, posterior=posteriors.DIAG):
    return vae.mlp(6, (4,), latent, posterior=posterior, prior=prior)


def parameters(model):
    """Away from their start, so that nothing is 0 or symmetric."""
    vector, unravel = trees.ravel(model.init(KEY, X))
    return unravel(vector + 0.5 * keys.normal(keys.key(3), (len(vector),), F64))


def through(network, h):
    first, last = network["0"], network["1"]
    return torch.tanh(h @ first["weight"].T + first["bias"]) @ last["weight"].T + last["bias"]


def components(params, prior):
    """loc, log_scale (k, d) and log weights (k,) of the mixture."""
    own = params["prior"]
    if prior == VAMP:
        loc, log_scale = through(params["encoder"], own["inputs"]).chunk(2, -1)
        return loc, log_scale, torch.full((3,), 1 / 3, dtype=F64).log()
    return own["loc"], own["log_scale"], own["logits"].log_softmax(0)


def density(params, prior, z):
    """log sum_k w_k N(z; loc_k, scale_k), by an oracle: z (s, n, d)."""
    loc, log_scale, log_weights = components(params, prior)
    each = [log_weights[k] + normal_log_density(z, loc[k], log_scale[k]) for k in range(3)]
    return torch.stack(each).logsumexp(0)


@pytest.mark.parametrize("prior", [VAMP, MIXTURE])
@pytest.mark.parametrize("latent", [1, 2])
def test_the_density_is_that_of_the_explicit_mixture(prior, latent):
    made = model(prior, latent)
    params, z = parameters(made), 2 * keys.normal(KEY, (5, 4, latent), F64)
    torch.testing.assert_close(made.log_prior(params, z), density(params, prior, z))
    torch.testing.assert_close(made.prior(params, 4).log_prob(z), density(params, prior, z))
    likelihood = bernoulli_log_density(X, through(params["decoder"], z))
    torch.testing.assert_close(made.log_joint(params, X, z), density(params, prior, z) + likelihood)


def test_one_standard_posterior_is_the_standard_normal():
    made = model(priors.MixtureOfPosteriors(1), 2)
    params = parameters(made)
    params["encoder"] = trees.map(torch.zeros_like, params["encoder"])
    z = 3 * keys.normal(KEY, (5, 4, 2), F64)
    standard = DiagNormal(torch.zeros(4, 2, dtype=F64), torch.zeros(4, 2, dtype=F64))
    torch.testing.assert_close(made.log_prior(params, z), standard.log_prob(z))
    q = made.posterior(params, X)
    assert objectives.kl(q, made.prior(params, 4), q.sample(q.noise(KEY, 3))).abs().max() < 1e-12


@pytest.mark.parametrize("prior", [VAMP, MIXTURE])
def test_the_evidence_is_that_of_quadrature(prior):
    made = model(prior)
    params = parameters(made)
    z = torch.linspace(-30, 30, 20_001, dtype=F64)
    log_p = density(params, prior, z[:, None, None]) + bernoulli_log_density(
        X, through(params["decoder"], z[:, None, None])
    )
    evidence = log_p.logsumexp(0) + (z[1] - z[0]).log()
    log_joint, q = partial(made.log_joint, params, X), made.posterior(params, X)
    wide = DiagNormal(q.loc, q.log_scale.clamp_min(0.7))  # covers every component
    near(importance(log_joint, wide, KEY, 20_000), evidence)
    p = made.prior(params, 4)
    laws.mean_is(p.sample(p.noise(KEY, 40_000)), p.mean())


def test_pseudo_inputs_start_as_training_data_and_learn_through_the_encoder():
    made = model(VAMP)
    start = made.init(KEY, X)["prior"]["inputs"]
    assert all((row == X).all(1).any() for row in start)
    params, z = parameters(made), keys.normal(KEY, (3, 4, 1), F64)
    slopes = grad(lambda params: made.log_prior(params, z).mean())(params)
    assert slopes["prior"]["inputs"].abs().min() > 0
    assert all(t.abs().max() > 0 for t in trees.leaves(slopes["encoder"]))


@pytest.mark.parametrize("posterior", [posteriors.FULL, posteriors.LowRank(1)])
def test_posteriors_of_other_normals_make_a_vampprior(posterior):
    made = model(VAMP, 2, posterior)
    params, z = parameters(made), keys.normal(KEY, (5, 4, 2), F64)
    q = made.posterior_of(params, through(params["encoder"], params["prior"]["inputs"]))
    each = torch.stack([q.log_prob(z[:, :1].expand(5, 3, 2))])[0]
    torch.testing.assert_close(made.log_prior(params, z)[:, 0], each.logsumexp(1) - torch.tensor(3.0, dtype=F64).log())


def test_what_does_not_fit_raises():
    with pytest.raises(ValueError, match="at most 4 pseudo-inputs, one for each datum, got 9: ask for fewer"):
        model(priors.MixtureOfPosteriors(9)).init(KEY, X)
    flow = model(VAMP, 2, posteriors.POSTERIORS["iaf"])
    with pytest.raises(TypeError, match=r"a posterior with closed forms .* got Pushforward: choose diag"):
        flow.prior(flow.init(KEY, X), 4)
    with pytest.raises(ValueError, match=r"unknown prior 'vam' \(the nearest is 'vamp'\)"):
        priors.parse("vam(5)")
    assert priors.parse("vamp(5)") == priors.MixtureOfPosteriors(5)
