"""The conditional autoencoder on a small exact case: its density by the textbook, its evidence by quadrature."""

from functools import partial

import pytest
import torch
from torch.func import grad

from jensen import laws
from jensen.core import keys, trees
from jensen.core.contracts import LatentModel
from jensen.core.models.latent import cvae
from jensen.estimators.evidence import importance
from jensen.laws.oracles import bernoulli_log_density, normal_log_density
from tests.core.test_semi import EPS, WEIGHT, through
from tests.estimators.normalisers import near

KEY, F64 = keys.key(2), torch.float64
X = (keys.uniform(KEY, (4, 6), F64) < 0.4).double()
C = torch.eye(3, dtype=F64)[[2, 0, 1, 1]]
ROWS = torch.cat([X, C], -1)
MODELS = {"standard": cvae.build(6, 3, (4,), 1), "learned": cvae.build(6, 3, (4,), 1, learned=True)}
EACH = pytest.mark.parametrize("name", MODELS)
ZERO = torch.zeros(1, dtype=F64)


def parameters(model):
    """Away from their start, so that nothing is 0 or symmetric; the kept conditions stay."""
    start = model.init(KEY, ROWS)
    vector, unravel = trees.ravel(start)
    moved = unravel(vector + 0.5 * keys.normal(keys.key(3), (len(vector),), F64))
    return {**moved, "decoder": {**moved["decoder"], "conditions": start["decoder"]["conditions"]}}


def prior(params, c):
    """loc and log scale of p(z | c), by oracle."""
    if not params["prior"]:
        return ZERO, ZERO
    first, last = params["prior"]["0"], params["prior"]["1"]
    h = torch.tanh(c @ first["weight"].T + first["bias"])
    return (h @ last["weight"].T + last["bias"]).chunk(2, -1)


def log_likelihood(params, z):
    """log p(x | z, c) by oracles."""
    return bernoulli_log_density(X, through(params["decoder"]["network"], z, C))


def check_density(model):
    """log_joint is that of z ~ p(z | c), of which e is the standardised value."""
    params = parameters(model)
    e = keys.normal(KEY, (3, 4, 1), F64)
    loc, log_scale = prior(params, C)
    z = loc + log_scale.exp() * e
    of_z = normal_log_density(z, loc.expand_as(z), log_scale.expand_as(z)) + log_scale.sum(-1)
    torch.testing.assert_close(model.log_joint(params, ROWS, e), of_z + log_likelihood(params, z))


def check_evidence(model):
    """log p(x | c) by Hermite's rule over p(z | c), by importance sampling, and above the bound."""
    params = parameters(model)
    loc, log_scale = prior(params, C)
    nodes = loc + log_scale.exp() * EPS[:, None, None]
    evidence = torch.logsumexp(log_likelihood(params, nodes.expand(-1, 4, 1)) + WEIGHT.log()[:, None], 0)
    near(importance(partial(model.log_joint, params, ROWS), model.prior(params, 4), KEY, 5000), evidence)
    q = model.posterior(params, ROWS)
    of_q = q.loc + q.log_scale.exp() * EPS[:, None, None]
    bound = (WEIGHT[:, None] * (model.log_joint(params, ROWS, of_q) - q.log_prob(of_q))).sum(0)
    assert (bound < evidence).all()
    e = q.sample(q.noise(KEY, 5000))
    laws.mean_is(model.log_joint(params, ROWS, e) - q.log_prob(e), bound)


@EACH
def test_the_density_is_that_of_the_paper(name):
    assert isinstance(MODELS[name], LatentModel)
    check_density(MODELS[name])


@EACH
def test_the_bound_is_below_the_exact_evidence(name):
    check_evidence(MODELS[name])


@EACH
def test_the_kl_is_that_of_the_posterior_from_the_conditional_prior(name):
    model = MODELS[name]
    params = parameters(model)
    q, (loc, log_scale) = model.posterior(params, ROWS), prior(params, C)
    of_z = type(q)(loc + log_scale.exp() * q.loc, q.log_scale + log_scale)
    p = type(q)(loc.expand_as(q.loc), log_scale.expand_as(q.loc))
    torch.testing.assert_close(q.kl(model.prior(params, 4)), of_z.kl(p))


class WithoutCondition(cvae.CVAE):
    def given(self, params, z, c):
        return super().given(params, z, torch.full_like(c, 1 / 3))


class PriorOfZ(cvae.CVAE):
    def given(self, params, z, c):
        return super().given({**params, "prior": trees.map(torch.zeros_like, params["prior"])}, z, c)


@pytest.mark.parametrize(("bug", "name"), [(WithoutCondition, "standard"), (PriorOfZ, "learned")])
def test_planted_bugs_are_seen(bug, name):
    model = MODELS[name]
    spoiled = bug(model.data, model.condition, model.hidden, 1, model.learned, model.activation, model.observation)
    for check in (check_density, check_evidence):
        with pytest.raises(AssertionError):
            check(spoiled)


@EACH
def test_gradients_reach_every_parameter_but_the_kept_conditions(name):
    model = MODELS[name]

    def bound(params):
        q = model.posterior(params, ROWS)
        e = q.sample(q.noise(KEY, 3))
        return (model.log_joint(params, ROWS, e) - q.log_prob(e)).mean()

    for path, slope in trees.paths(grad(bound)(parameters(model))).items():
        assert (slope.abs().max() > 0) == (path != "decoder.conditions"), path


def test_samples_have_conditions_of_the_data_and_pixels_given_them():
    model = MODELS["learned"]
    params = parameters(model)
    z = keys.normal(KEY, (4, 1), F64)
    p = model.likelihood(params, z)
    rows = p.sample(p.noise(KEY, 4000))
    assert rows.shape == (4000, 4, 9)
    assert (rows[..., 6:].sum(-1) == 1).all()
    laws.mean_is(rows[..., 6:], C.mean(0).expand(4, 3))
    for c in C.unique(dim=0):
        chosen = rows[:, 0][(rows[:, 0, 6:] == c).all(-1)][:, :6]
        logits = through(params["decoder"]["network"], prior(params, c)[0] + prior(params, c)[1].exp() * z[:1], c)
        laws.mean_is(chosen[:, None], torch.sigmoid(logits))


def test_what_does_not_fit_raises():
    model = MODELS["standard"]
    params = model.init(KEY, ROWS)
    with pytest.raises(ValueError, match=r"expected x \(n, 9\), got \(4, 6\)"):
        model.posterior(params, X)
    with pytest.raises(ValueError, match="binarise the data"):
        model.log_joint(params, torch.cat([0.5 * X, C], -1), torch.zeros(3, 4, 1).double())
    model.posterior(params, torch.cat([X, 0.5 * C], -1))
    with pytest.raises(ValueError, match=r"expected c \(..., n, 3\), got \(4, 2\): a condition for each datum"):
        model.given(params, torch.zeros(4, 1).double(), C[:, :2])
    with pytest.raises(ValueError, match="expected hidden, the width of one layer or more, got none"):
        cvae.build(6, 3, (), 1)
