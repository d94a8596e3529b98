from functools import partial
from itertools import pairwise, product

import pytest
import torch
from torch.func import grad, vmap

from jensen import laws
from jensen.core import bounds, keys, trees
from jensen.core.contracts import Distribution, LatentModel
from jensen.core.distributions import Bernoulli, Hierarchical
from jensen.core.models.latent import sbn
from jensen.estimators.gradients import score
from jensen.laws.oracles import SigmoidBelief, bernoulli_log_density

KEY = keys.key(2)
MODELS = {
    "one layer": sbn.build(6, 3),
    "two layers": sbn.build(6, 2, layers=2),
    "three layers": sbn.build(6, 1, layers=3),
    "one layer, hidden": sbn.build(6, 3, hidden=(5, 4)),
    "two layers, hidden": sbn.build(6, 2, layers=2, hidden=(5,)),
}


def data(n=4):
    return (keys.uniform(KEY, (n, 6), torch.float64) < 0.4).double()


def fitted(model):
    """Parameters away from their start, so that nothing is 0 or symmetric."""
    params = model.init(KEY, data(50))
    vector, unravel = trees.ravel(params)
    return unravel(vector + 0.5 * keys.normal(keys.key(3), (len(vector),), torch.float64))


def values(model, n):
    """Every z, (2^d, n, d)."""
    return Bernoulli(torch.zeros(n, model.latent, dtype=torch.float64)).support()


@pytest.mark.parametrize("name", MODELS)
def test_shapes_and_gradients_reach_every_parameter(name):
    model, x = MODELS[name], data()
    params = fitted(model)
    assert isinstance(model, LatentModel)
    assert all(leaf.dtype == torch.float64 for leaf in trees.leaves(params))

    def bound(params):
        q = model.posterior(params, x)
        value = score(partial(model.log_joint, params, x), q, q.noise(KEY, 3))
        assert value.shape == (4,)
        return value.mean()

    slopes = trees.paths(grad(bound)(params))
    assert (slopes.pop("encoder.mean") == 0).all()  # a constant
    for path, slope in slopes.items():
        assert slope.abs().max() > 0, path


def test_one_linear_layer_is_the_textbook_model():
    """In logits: b for z, and W (2z - 1) + c = 2 W z + (c - W 1) for x; the evidence by enumeration."""
    model, x = MODELS["one layer"], data()
    params = fitted(model)
    layer = params["decoder"]["0"]["0"]
    oracle = SigmoidBelief(params["decoder"]["prior"], 2 * layer["weight"], layer["bias"] - layer["weight"].sum(1), x)
    z = values(model, 4)
    torch.testing.assert_close(model.log_joint(params, x, z), oracle.log_joint(z))
    torch.testing.assert_close(model.log_joint(params, x, z).logsumexp(0), oracle.log_evidence())


@pytest.mark.parametrize("name", ["two layers", "three layers"])
def test_layers_are_a_chain(name):
    """log p(x) by a sum over all layers and the densities of an oracle, from the top down."""
    model, x = MODELS[name], data()
    params = fitted(model)
    each = Bernoulli(torch.zeros(1, model.units, dtype=torch.float64)).support()[:, 0]
    terms = []
    for layers in product(each, repeat=model.layers):
        log_p = bernoulli_log_density(layers[0], params["decoder"]["prior"])
        for i, (above, below) in zip(reversed(range(model.layers)), pairwise([*layers, x]), strict=True):
            down = params["decoder"][str(i)]["0"]
            log_p = log_p + bernoulli_log_density(below, down["weight"] @ (2 * above - 1) + down["bias"])
        terms.append(log_p)
    found = model.log_joint(params, x, values(model, 4)).logsumexp(0)
    torch.testing.assert_close(found, torch.stack(terms).logsumexp(0))


@pytest.mark.parametrize("name", MODELS)
def test_densities_sum_to_one(name):
    model, x = MODELS[name], data()
    params, z = fitted(model), values(model, 4)
    ones = torch.ones(4, dtype=torch.float64)
    torch.testing.assert_close(model.log_prior(params, z).exp().sum(0), ones)
    torch.testing.assert_close(model.posterior(params, x).log_prob(z).exp().sum(0), ones)
    every_x = Bernoulli(torch.zeros(1, 6, dtype=torch.float64)).support()[:, 0]
    total = model.log_joint(params, every_x, values(model, 64)).exp().sum()
    torch.testing.assert_close(total, torch.tensor(1.0, dtype=torch.float64))


@pytest.mark.parametrize("name", MODELS)
def test_prior_samples_follow_the_prior(name):
    model = MODELS[name]
    params, z = fitted(model), values(model, 1)
    p = model.prior(params, 20_000)
    drawn = p.sample(p.noise(KEY, 1))
    assert isinstance(p, Distribution)
    assert drawn.shape == (1, 20_000, model.latent)
    laws.mean_is((drawn[0, :, None] == z[:, 0]).all(-1).double(), model.log_prior(params, z)[:, 0].exp())


def test_the_decoder_starts_at_the_datas_mean():
    model, mean = MODELS["one layer, hidden"], torch.tensor([0.0, 0.2, 0.4, 0.5, 0.9, 1.0], dtype=torch.float64)
    params = model.init(KEY, (torch.arange(10)[:, None] < 10 * mean).double())
    params["decoder"]["0"]["2"]["weight"].zero_()
    got = model.likelihood(params, values(model, 1)).mean()[0, 0]
    torch.testing.assert_close(got, mean.clamp(0.001, 0.999))
    torch.testing.assert_close(params["encoder"]["mean"], mean)
    laplace = model.independent((torch.arange(10)[:, None] < 10 * mean).double()).mean()
    torch.testing.assert_close(laplace, (10 * mean + 1) / 12)


@pytest.mark.parametrize("name", MODELS)
def test_relaxed_units_have_a_finite_density_that_joins_the_binary_one(name):
    """Between 0 and 1 the log joint is finite and differentiable, and at the corners it is the model's."""
    model, x = MODELS[name], data()
    params = fitted(model)
    z = keys.uniform(KEY, (3, 4, model.latent), torch.float64)
    slope = grad(lambda z: model.log_joint(params, x, z).sum())(z)
    assert torch.isfinite(slope).all()
    assert (slope.abs().amax((0, 1)) > 0).all()
    corner = z.round()
    near = model.log_joint(params, x, corner + 1e-9 * (0.5 - corner))
    torch.testing.assert_close(near, model.log_joint(params, x, corner), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["one layer", "two layers, hidden"])
def test_gradients_mapped_over_keys_are_a_loop(name):
    model, x = MODELS[name], data()
    params = fitted(model)

    def loss(params, key):
        q = model.posterior(params, x)
        return score(partial(model.log_joint, params, x), q, q.noise(key, 3), bound=bounds.iwae).mean()

    each = keys.split(KEY, 3)
    looped = [grad(loss)(params, key) for key in each]
    mapped = vmap(grad(loss), in_dims=(None, 0))(params, each)
    for path, slope in trees.paths(looped[0]).items():
        assert torch.isfinite(slope).all()
        torch.testing.assert_close(trees.paths(mapped)[path], torch.stack([trees.paths(g)[path] for g in looped]))


def test_the_posterior_of_two_layers_is_hierarchical():
    params = fitted(MODELS["two layers"])
    q = MODELS["two layers"].posterior(params, data())
    assert isinstance(q, Hierarchical)
    assert q.sample(q.noise(KEY, 3)).shape == (3, 4, 4)
    assert isinstance(MODELS["one layer"].posterior(fitted(MODELS["one layer"]), data()), Bernoulli)


def test_what_does_not_fit_raises():
    model, x = MODELS["two layers"], data()
    params = fitted(model)
    with pytest.raises(ValueError, match=r"expected x \(n, 6\), got \(6,\)"):
        model.posterior(params, x[0])
    with pytest.raises(ValueError, match=r"expected z \(..., n, 4\), got \(3, 4, 2\): 2 layers of 2 units"):
        model.log_joint(params, x, torch.zeros(3, 4, 2).double())
    with pytest.raises(ValueError, match="binarise the data"):
        model.log_joint(params, 0.5 * x, torch.zeros(3, 4, 4).double())
    with pytest.raises(KeyError, match="missing '1'"):
        model.posterior(fitted(MODELS["one layer"]), x)
    with pytest.raises(KeyError, match="unknown '1'"):
        MODELS["one layer"].log_prior(params, torch.zeros(3, 4, 3).double())
    with pytest.raises(ValueError, match="expected units, a whole number >= 1"):
        sbn.build(6, 0)
