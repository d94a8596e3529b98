"""Posterior families of an encoder's outputs: where they start, what reaches them, what a context does."""

import pytest
import torch
from torch.distributions import MultivariateNormal, kl_divergence
from torch.func import grad

from jensen.core import keys, trees
from jensen.core.contracts import ClosedForm, can
from jensen.core.distributions import DiagNormal, Mixture
from jensen.core.models.latent import posteriors, vae
from jensen.core.models.latent.likelihoods import BERNOULLI
from jensen.core.models.latent.posteriors import POSTERIORS
from jensen.estimators.gradients import pathwise

KEY, N, D = keys.key(3), 4, 3
X = (keys.uniform(KEY, (N, 16), torch.float64) < 0.4).double()
EXACT = [name for name in POSTERIORS if name not in ("low-rank", "mixture")]  # of those, an offset starts off 0


def of(name, network="mlp"):
    family = POSTERIORS[name]
    if network == "conv":
        return vae.conv((1, 4, 4), (2,), D, posterior=family)
    return vae.mlp(16, (6,), D, torch.tanh, BERNOULLI, family)


def moved(params):
    """The parameters away from where they start."""
    vector, unravel = trees.ravel(params)
    return unravel(vector + 0.1 * keys.normal(keys.key(8), (len(vector),), torch.float64))


@pytest.mark.parametrize("network", ["mlp", "conv"])
@pytest.mark.parametrize("name", POSTERIORS)
def test_every_family_starts_at_the_diagonal_normal_of_the_encoder(name, network):
    model = of(name, network)
    params = model.init(KEY, X)
    q = model.posterior(params, X)
    normal = DiagNormal(*model.encoded(params, X)[:, : 2 * D].chunk(2, -1))
    z = normal.sample(normal.noise(KEY, 50))
    if name in EXACT:
        torch.testing.assert_close(q.log_prob(z), normal.log_prob(z), rtol=1e-9, atol=1e-9)
    else:
        assert (q.log_prob(z) - normal.log_prob(z)).abs().mean() < 0.2
        assert not torch.equal(q.log_prob(z), normal.log_prob(z))  # at equal components or columns of 0 it would stay


@pytest.mark.parametrize("name", POSTERIORS)
def test_every_parameter_is_reached_by_a_gradient(name):
    model = of(name)
    params = moved(model.init(KEY, X))

    def bound(params):
        q = model.posterior(params, X)
        return pathwise(lambda z: model.log_joint(params, X, z), q, q.noise(KEY, 3)).mean()

    for path, slope in trees.paths(grad(bound)(params)).items():
        assert slope.isfinite().all()
        assert slope.abs().max() > 0, path


@pytest.mark.parametrize("name", ["planar", "sylvester", "iaf", "real-nvp", "spline"])
def test_a_context_tells_data_apart_through_weights_that_they_share(name):
    """Outputs that differ in the context alone give the same noise other samples, and a datum alone gives the same."""
    model = of(name)
    params = moved(model.init(KEY, X))
    outputs = model.encoded(params, X)
    other = torch.cat([outputs[:, : 2 * D], outputs[:, 2 * D :] + 1.0], -1)
    q, changed = model.posterior_of(params, outputs), model.posterior_of(params, other)
    noise = q.noise(KEY, 2)
    assert (q.sample(noise) - changed.sample(noise)).abs().max() > 1e-3
    alone = model.posterior_of(params, outputs[1:2])
    torch.testing.assert_close(alone.sample(noise[:, 1:2]), q.sample(noise)[:, 1:2])


def test_a_full_posterior_is_the_normal_of_its_outputs_and_knows_its_kl():
    model = of("full")
    params = moved(model.init(KEY, X))
    outputs = keys.normal(KEY, (N, 2 * D + 3), torch.float64)
    root = torch.diag_embed(outputs[:, D : 2 * D].exp())
    for place, (i, j) in enumerate([(1, 0), (2, 0), (2, 1)]):
        root[:, i, j] = outputs[:, 2 * D + place]
    exact = MultivariateNormal(outputs[:, :D], scale_tril=root)
    q, z = model.posterior_of(params, outputs), keys.normal(keys.key(9), (5, N, D), torch.float64)
    torch.testing.assert_close(q.log_prob(z), exact.log_prob(z))
    standard = MultivariateNormal(torch.zeros(N, D).double(), torch.eye(D).double())
    torch.testing.assert_close(q.kl(model.prior(params, N)), kl_divergence(exact, standard))


def test_a_low_rank_posterior_has_the_covariance_of_its_factors_and_knows_its_kl():
    model = vae.mlp(16, (), D, posterior=posteriors.LowRank(1))
    params = model.init(KEY, X)
    outputs = keys.normal(KEY, (N, 3 * D), torch.float64)
    factor = params["posterior"]["factor"] + outputs[:, 2 * D :, None]
    covariance = torch.diag_embed((2 * outputs[:, D : 2 * D]).exp()) + factor @ factor.mT
    exact = MultivariateNormal(outputs[:, :D], covariance)
    q = model.posterior_of(params, outputs)
    standard = MultivariateNormal(torch.zeros(N, D).double(), torch.eye(D).double())
    torch.testing.assert_close(q.kl(model.prior(params, N)), kl_divergence(exact, standard))


def test_a_mixture_posterior_weighs_the_components_of_its_outputs():
    model = of("mixture")
    params = model.init(KEY, X)
    outputs = keys.normal(KEY, (N, 2 * D + 4 * (2 * D + 1)), torch.float64)
    q = model.posterior_of(params, outputs)
    assert isinstance(q, Mixture)
    each = outputs[:, 2 * D :].unflatten(-1, (4, 2 * D + 1))
    torch.testing.assert_close(q.logits, each[..., -1])
    loc = outputs[:, None, :D] + params["posterior"]["loc"] + each[..., :D]
    torch.testing.assert_close(q.mean(), (q.logits.softmax(-1)[..., None] * loc).sum(1))


@pytest.mark.parametrize("name", POSTERIORS)
def test_families_with_a_closed_kl_have_a_prior_of_their_kind(name):
    model = of(name)
    params = model.init(KEY, X)
    q, prior = model.posterior(params, X), model.prior(params, N)
    assert can(q, ClosedForm) == (name in ("diag", "full", "low-rank"))
    assert not can(q, ClosedForm) or type(prior) is type(q)
    z = prior.sample(prior.noise(KEY, 2))
    torch.testing.assert_close(prior.log_prob(z), model.log_prior(params, z))


def test_a_model_of_independent_pixels_is_the_same_with_any_posterior():
    """Nothing else of the model changes: the networks of one key are those of the diagonal normal."""
    plain, rich = of("diag").init(KEY, X), of("iaf").init(KEY, X)
    for path, leaf in trees.paths(plain["decoder"]).items():
        assert torch.equal(leaf, trees.paths(rich["decoder"])[path])


def test_names_have_sizes():
    assert posteriors.parse("iaf(8, hidden=5)") == posteriors.InverseAutoregressive(8, hidden=5)
    assert posteriors.parse("low-rank") == posteriors.LowRank() == POSTERIORS["low-rank"]
    for text, words in {
        "iaff": "the nearest is 'iaf'",
        "low-rank(0)": "expected rank, a whole number >= 1, got 0",
        "spline(3)": "expected an even number of layers, got 3",
        "spline(4, bins=1)": "expected bins",
        "mixture(2.5)": "expected the posterior as mixture",
        "planar(2, columns=3)": "expected the posterior as planar",
    }.items():
        with pytest.raises(ValueError, match=words):
            posteriors.parse(text)


def test_an_encoder_of_another_family_and_a_name_for_a_family_raise():
    params = of("diag").init(KEY, X)
    with pytest.raises(ValueError, match=r"expected outputs \(n, 9\), got \(4, 6\): an encoder's for 3 latents"):
        of("full").posterior(params, X)
    with pytest.raises(KeyError, match="missing 'posterior'"):
        of("diag").posterior({name: part for name, part in params.items() if name != "posterior"}, X)
    with pytest.raises(TypeError, match=r"expected posterior, such as posteriors\.DIAG, got 'iaf'"):
        vae.mlp(16, (6,), D, posterior="iaf")
