"""The autoencoder of several layers: its density by the textbook, its evidence by quadrature."""

from functools import partial

import numpy as np
import pytest
import torch
from torch.func import grad

from jensen.core import bounds, keys, trees
from jensen.core.contracts import LatentModel
from jensen.core.models.latent import hvae
from jensen.estimators.evidence import importance
from jensen.estimators.gradients import dreg
from jensen.laws.oracles import bernoulli_log_density, normal_log_density
from tests.estimators.normalisers import near

KEY, F64 = keys.key(2), torch.float64
MODEL = hvae.build(6, (1, 1), (4,))
X = (keys.uniform(KEY, (4, 6), F64) < 0.4).double()


def parameters(model):
    """Away from their start, so that nothing is 0 or symmetric."""
    vector, unravel = trees.ravel(model.init(KEY, X))
    return unravel(vector + 0.5 * keys.normal(keys.key(3), (len(vector),), F64))


def through(network, h):
    last = max(network)
    for name, layer in sorted(network.items()):
        h = h @ layer["weight"].T + layer["bias"]
        h = h if name == last else torch.tanh(h)
    return h


def joint(params, z1, z2):
    """log N(z2; 0, 1) + log p(z1 | z2) + log p(x | z1), by oracles."""
    zero = torch.zeros(1, dtype=F64)
    below = through(params["decoder"]["1"], z2).chunk(2, -1)
    logits = through(params["decoder"]["0"], z1)
    prior = normal_log_density(z2, zero, zero) + normal_log_density(z1, *below)
    return prior + bernoulli_log_density(X, logits)


def test_the_joint_is_a_chain_from_the_top_layer_down():
    params, z = parameters(MODEL), keys.normal(KEY, (3, 4, 2), F64)
    z1, z2 = z.split(1, -1)
    assert isinstance(MODEL, LatentModel)
    torch.testing.assert_close(MODEL.log_joint(params, X, z), joint(params, z1, z2))
    up = through(params["encoder"]["0"], X).chunk(2, -1)
    above = through(params["encoder"]["1"], z1).chunk(2, -1)
    q = MODEL.posterior(params, X)
    torch.testing.assert_close(q.log_prob(z), normal_log_density(z1, *up) + normal_log_density(z2, *above))


def test_samples_of_the_prior_are_from_the_top_layer_down():
    params = parameters(MODEL)
    p = MODEL.prior(params, 4)
    eps = p.noise(KEY, 3)
    z1, z2 = p.sample(eps).split(1, -1)
    torch.testing.assert_close(z2, eps[0])
    loc, log_scale = through(params["decoder"]["1"], z2).chunk(2, -1)
    torch.testing.assert_close(z1, loc + log_scale.exp() * eps[1])
    torch.testing.assert_close(p.sample_and_log_prob(eps)[1], p.log_prob(torch.cat([z1, z2], -1)))


def test_the_evidence_is_that_of_quadrature():
    """Over both layers: z2 at Hermite's nodes, z1 at those of p(z1 | z2)."""
    params = parameters(MODEL)
    eps, weight = (torch.tensor(t, dtype=F64) for t in np.polynomial.hermite_e.hermegauss(60))
    weight = (weight / weight.sum()).log()
    z2 = eps[:, None, None, None]
    loc, log_scale = through(params["decoder"]["1"], z2).chunk(2, -1)
    z1 = loc + log_scale.exp() * eps[None, :, None, None]
    likelihood = bernoulli_log_density(X, through(params["decoder"]["0"], z1))
    evidence = (weight[:, None, None] + weight[None, :, None] + likelihood).flatten(0, 1).logsumexp(0)
    near(importance(partial(MODEL.log_joint, params, X), MODEL.posterior(params, X), KEY, 20_000), evidence)


@pytest.mark.parametrize(
    "model", [hvae.build(6, (1, 1), (4,)), hvae.build(6, (3, 2, 1), ()), hvae.build(6, (2,), (4,))], ids=["2", "3", "1"]
)
def test_gradients_reach_every_parameter(model):
    def bound(params):
        q = model.posterior(params, X)
        return dreg(partial(model.log_joint, params, X), q, q.noise(KEY, 3), bound=bounds.iwae).mean()

    for path, slope in trees.paths(grad(bound)(parameters(model))).items():
        assert slope.abs().max() > 0, path


def test_what_does_not_fit_raises():
    params = parameters(MODEL)
    with pytest.raises(ValueError, match=r"expected x \(n, 6\), got \(6,\)"):
        MODEL.posterior(params, X[0])
    with pytest.raises(ValueError, match=r"expected z \(..., n, 2\), got \(3, 4, 3\): layers of 1 \+ 1"):
        MODEL.log_joint(params, X, torch.zeros(3, 4, 3).double())
    with pytest.raises(ValueError, match="binarise the data"):
        MODEL.log_joint(params, 0.5 * X, torch.zeros(3, 4, 2).double())
    with pytest.raises(KeyError, match="missing '1'"):
        MODEL.posterior(parameters(hvae.build(6, (1,), (4,))), X)
    with pytest.raises(ValueError, match="expected latents, the size of each layer, got none"):
        hvae.build(6, ())
