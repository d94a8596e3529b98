from dataclasses import replace
from functools import partial

import pytest
import torch
from torch.func import grad, vmap
from torch.nn import functional as F

from jensen import laws
from jensen.core import keys, trees
from jensen.core.contracts import LatentModel
from jensen.core.distributions import DiagNormal
from jensen.core.models.latent import likelihoods, vae
from jensen.core.ops import linear_log_prob
from jensen.estimators.gradients import pathwise
from jensen.laws.oracles import bernoulli_log_density, normal_log_density

KEY = keys.key(1)
MODELS = {
    "mlp": vae.mlp(64, (10, 7), 3),
    "conv": vae.conv((1, 8, 8), (4, 6), 3),
    **{name: vae.mlp(64, (10,), 3, F.relu, likelihood) for name, likelihood in likelihoods.LIKELIHOODS.items()},
}


def data(model, n=5):
    grey = keys.uniform(KEY, (n, 64), torch.float64)
    if model.observation is likelihoods.MULTINOMIAL:
        return (4 * grey).floor()
    if model.observation is likelihoods.DISCRETISED_LOGISTIC:
        return (255 * grey).round() / 255
    return (grey < 0.3).double() if model.observation.binary else grey


@pytest.mark.parametrize("name", MODELS)
def test_shapes_and_gradients_reach_every_parameter(name):
    model = MODELS[name]
    x = data(model)
    params = model.init(KEY, x)
    assert isinstance(model, LatentModel)
    assert all(leaf.dtype == torch.float64 for leaf in trees.leaves(params))

    def bound(params):
        q = model.posterior(params, x)
        assert q.loc.shape == (5, 3)
        value = pathwise(partial(model.log_joint, params, x), q, q.noise(KEY, 2))
        assert value.shape == (5,)
        return value.mean()

    for path, slope in trees.paths(grad(bound)(params)).items():
        assert slope.abs().max() > 0, path


def test_the_densities_are_the_textbooks():
    model = MODELS["mlp"]
    x = data(model)
    params, z = model.init(KEY, x), keys.normal(KEY, (4, 5, 3), torch.float64)
    h = z
    for layer in ("0", "1"):
        h = torch.tanh(h @ params["decoder"][layer]["weight"].T + params["decoder"][layer]["bias"])
    logits = h @ params["decoder"]["2"]["weight"].T + params["decoder"]["2"]["bias"]
    zero = torch.zeros(3, dtype=torch.float64)
    expected = normal_log_density(z, zero, zero) + bernoulli_log_density(x, logits)
    torch.testing.assert_close(model.log_joint(params, x, z), expected)


@pytest.mark.parametrize("name", ["bernoulli", "multinomial"])
def test_a_likelihood_that_stores_no_logits_is_the_one_that_does(name, monkeypatch):
    """Values, and gradients of every parameter and of z, in several chunks; alone, under vmap and compiled."""
    monkeypatch.setattr(linear_log_prob, "CHUNK", 200)
    model = MODELS[name]
    x = data(model)
    params, z = model.init(KEY, x), keys.normal(KEY, (4, 5, 3), torch.float64)

    def log_likelihood(params, z):
        return model.likelihood(params, z).log_prob(x).sin().sum()

    expected = grad(log_likelihood, (0, 1))(params, z)
    monkeypatch.setattr(linear_log_prob, "INLINE", 0)
    each = grad(log_likelihood, (0, 1))
    for got in (each(params, z), torch.compile(each, backend="aot_eager", fullgraph=True)(params, z)):
        torch.testing.assert_close(got, expected)
    mapped = vmap(each, (None, 0))(params, torch.stack([z, -z]))
    torch.testing.assert_close(trees.map(lambda t: t[0], mapped), expected)


def test_prior_samples_are_standard_normal():
    model = MODELS["mlp"]
    p = model.prior(model.init(KEY, data(model)), 20_000)
    z = p.sample(p.noise(KEY, 1))
    assert z.shape == (1, 20_000, 3)
    assert z.dtype == torch.float64
    laws.mean_is(z[0], torch.zeros(3, dtype=torch.float64))
    laws.mean_is(z[0].square(), torch.ones(3, dtype=torch.float64))


@pytest.mark.parametrize("name", MODELS)
def test_the_decoder_starts_at_the_datas_mean(name):
    """With the last weights at zero, what is left is the output bias, which gives the mean back."""
    model = MODELS[name]
    x = data(model, 200)
    params = model.init(KEY, x)
    decoder = params["decoder"]
    layer = decoder["levels"]["1"] if name == "conv" else decoder[max(decoder)]
    layer["weight"].zero_()
    got = model.likelihood(params, torch.zeros(1, 1, 3, dtype=torch.float64)).mean()[0, 0]
    mean = x.mean(0) if name != "multinomial" else (x.sum(0) + 1) / (x.sum() + 64)
    error = 5e-3 if name == "discretised-logistic" else 1e-6  # its cells of 0 and 1 reach to infinity
    torch.testing.assert_close(got, mean.clamp(0.001, 0.999), rtol=error, atol=error)


@pytest.mark.parametrize("name", MODELS)
def test_pixels_by_themselves_are_fitted_to_their_mean(name):
    """As likely as any other of its family at the data: a step of its parameters in any direction is no better."""
    model = MODELS[name]
    x = data(model, 4000)
    fitted = model.independent(x)
    best = fitted.log_prob(x).mean()
    tolerance = 1e-3  # Laplace's rule is not the maximum
    for scale in (-0.1, 0.1):
        moved = trees.map(lambda t, scale=scale: t + scale * keys.normal(KEY, t.shape, torch.float64), fitted)
        assert moved.log_prob(x).mean() < best + tolerance


def test_a_gaussian_likelihood_learns_one_scale():
    model = MODELS["gaussian"]
    params = model.init(KEY, data(model))
    assert params["likelihood"]["log_scale"].shape == ()
    z = torch.zeros(1, 1, 3).double()
    with pytest.raises(KeyError, match="missing 'log_scale'"):
        model.likelihood({**params, "likelihood": {}}, z)
    with pytest.raises(KeyError, match=r"missing 'likelihood' \(did you write 'likelihoods'\?\)"):
        model.likelihood({"encoder": {}, "decoder": {}, "likelihoods": {}}, z)


def test_a_single_datum_without_its_axis_raises():
    model = MODELS["mlp"]
    x = data(model)
    params = model.init(KEY, x)
    calls = (
        lambda: model.init(KEY, x[0]),
        lambda: model.posterior(params, x[0]),
        lambda: model.log_joint(params, x[0], torch.zeros(2, 5, 3).double()),
        lambda: model.independent(x[0]),
    )
    for call in calls:
        with pytest.raises(ValueError, match=r"expected x \([nN], 64\), got \(64,\)"):
            call()


def test_grey_pixels_under_a_bernoulli_raise_unless_asked_for_by_name():
    model = MODELS["mlp"]
    grey = data(MODELS["gaussian"])
    params, z = model.init(KEY, grey), torch.zeros(2, 5, 3).double()
    for call in (lambda: model.log_joint(params, grey, z), lambda: model.posterior(params, grey)):
        with pytest.raises(ValueError, match="binarise the data"):
            call()
    soft = replace(model, observation=likelihoods.SOFT_BERNOULLI)
    assert torch.isfinite(soft.log_joint(params, grey, z)).all()
    assert isinstance(soft.posterior(params, grey), DiagNormal)


def test_counts_need_a_decoder_that_ends_in_a_linear_layer():
    model = vae.conv((1, 8, 8), (4,), 3, likelihood=likelihoods.MULTINOMIAL)
    params = model.init(KEY, torch.ones(4, 64))
    with pytest.raises(TypeError, match=r"use vae\.mlp"):
        model.likelihood(params, torch.zeros(1, 1, 3))


def test_an_encoder_that_lacks_its_last_layer_raises():
    model = MODELS["mlp"]
    x = data(model)
    params = model.init(KEY, x)
    del params["encoder"]["2"]
    with pytest.raises(ValueError, match=r"expected outputs \(n, 6\), got \(5, 7\): an encoder's for 3 latents"):
        model.posterior(params, x)
