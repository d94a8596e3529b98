from functools import partial

import pytest
import torch
from torch.func import grad
from torch.nn import functional as F

from jensen import laws
from jensen.core import keys, trees
from jensen.core.distributions import Bernoulli, ContinuousBernoulli, DiagNormal, SoftBernoulli
from jensen.core.models import vae
from jensen.estimators.gradients import pathwise
from jensen.laws.oracles import bernoulli_log_density, normal_log_density

KEY = keys.key(1)
MODELS = {
    "mlp": vae.mlp(64, (10, 7), 3),
    "conv": vae.conv((1, 8, 8), (4, 6), 3),
    "gaussian": vae.mlp(64, (10,), 3, F.relu, DiagNormal),
    "continuous": vae.mlp(64, (10,), 3, likelihood=ContinuousBernoulli),
}


def data(n=5):
    grey = keys.uniform(KEY, (n, 64), torch.float64)
    return grey, (grey < 0.3).double()


@pytest.mark.parametrize("name", MODELS)
def test_shapes_and_gradients_reach_every_parameter(name):
    model, x = MODELS[name], data()[1]
    params = model.init(KEY, x.mean(0))
    assert all(leaf.dtype == torch.float64 for leaf in trees.leaves(params))

    def bound(params):
        q = model.posterior(params["encoder"], x)
        assert q.loc.shape == (5, 3)
        value = pathwise(partial(model.log_joint, params["decoder"], x), q, q.noise(KEY, 2))
        assert value.shape == (5,)
        return value.mean()

    for path, slope in trees.paths(grad(bound)(params)).items():
        assert slope.abs().max() > 0, path


def test_the_log_joint_is_prior_plus_likelihood():
    model, x = MODELS["mlp"], data()[1]
    params, z = model.init(KEY, x.mean(0)), keys.normal(KEY, (4, 5, 3), torch.float64)
    logits = model.decode(params["decoder"]["network"], z)
    zero = torch.zeros(3, dtype=torch.float64)
    expected = normal_log_density(z, zero, zero) + bernoulli_log_density(x, logits)
    torch.testing.assert_close(model.log_joint(params["decoder"], x, z), expected)


def test_prior_samples_are_standard_normal():
    model = MODELS["mlp"]
    decoder = model.init(KEY, data()[1].mean(0))["decoder"]
    z = model.sample_prior(decoder, KEY, 20_000)
    assert z.shape == (1, 20_000, 3)
    assert z.dtype == torch.float64
    laws.mean_is(z[0], torch.zeros(3, dtype=torch.float64))
    laws.mean_is(z[0].square(), torch.ones(3, dtype=torch.float64))


@pytest.mark.parametrize("name", MODELS)
def test_the_decoder_starts_at_the_datas_mean(name):
    """With the last weights at zero, what is left is the output bias, which gives the mean back."""
    model, (grey, binary) = MODELS[name], data(200)
    x = binary if model.likelihood is Bernoulli else grey
    mean = x.mean(0)
    decoder = model.init(KEY, mean)["decoder"]
    last = max(decoder["network"]) if "levels" not in decoder["network"] else None
    layer = decoder["network"][last] if last else decoder["network"]["levels"]["1"]
    layer["weight"].zero_()
    got = model.observation(decoder, torch.zeros(1, 1, 3, dtype=torch.float64)).mean()[0, 0]
    torch.testing.assert_close(got, mean.clamp(0.001, 0.999), rtol=1e-6, atol=1e-6)


def test_a_gaussian_likelihood_learns_one_scale():
    model, x = MODELS["gaussian"], data()[0]
    params = model.init(KEY, x.mean(0))
    assert params["decoder"]["log_scale"].shape == ()
    with pytest.raises(KeyError, match="missing 'log_scale'"):
        model.observation({"network": params["decoder"]["network"]}, torch.zeros(1, 1, 3).double())


def test_a_single_datum_without_its_axis_raises():
    model, x = MODELS["mlp"], data()[1]
    params = model.init(KEY, x.mean(0))
    with pytest.raises(ValueError, match=r"expected x \(n, D\), got \(64,\)"):
        model.posterior(params["encoder"], x[0])
    with pytest.raises(ValueError, match=r"expected x \(n, D\), got \(64,\)"):
        model.log_joint(params["decoder"], x[0], torch.zeros(2, 5, 3).double())


def test_grey_pixels_under_a_bernoulli_raise_unless_asked_for_by_name():
    grey, _ = data()
    model = MODELS["mlp"]
    params, z = model.init(KEY, grey.mean(0)), torch.zeros(2, 5, 3).double()
    with pytest.raises(ValueError, match="binarise the data"):
        model.log_joint(params["decoder"], grey, z)
    soft = model._replace(likelihood=SoftBernoulli)
    assert torch.isfinite(soft.log_joint(params["decoder"], grey, z)).all()


def test_an_encoder_that_lacks_its_last_layer_raises():
    model, x = MODELS["mlp"], data()[1]
    params = model.init(KEY, x.mean(0))
    del params["encoder"]["2"]
    with pytest.raises(ValueError, match="expected an encoder of 6 outputs for 3 latents, got 7"):
        model.posterior(params["encoder"], x)
