"""M1, M2 and their stack on a small exact case: densities by quadrature over z and a sum over classes, bounds below."""

import dataclasses
from functools import partial

import numpy as np
import pytest
import torch
from torch.func import grad, vmap

from jensen import laws
from jensen.core import keys, trees
from jensen.core.contracts import LatentModel
from jensen.core.models import classifier
from jensen.core.models.latent import likelihoods, vae
from jensen.core.models.latent.semi import M1, M2, Stacked, m2
from jensen.estimators import gradients
from jensen.estimators.evidence import importance
from jensen.estimators.gradients import baselines
from jensen.laws.oracles import bernoulli_log_density, normal_log_density
from tests.estimators.normalisers import near

KEY, F64 = keys.key(2), torch.float64
X = (keys.uniform(KEY, (4, 6), F64) < 0.4).double()
LABELS = torch.tensor([2, 0, 1, 1])
CLASSES = torch.eye(3, dtype=F64)
MODEL = m2.build(classifier.mlp(6, (3,), 3), (4,), 1)
STACKED = Stacked(vae.mlp(6, (3,), 1), m2.build(classifier.mlp(1, (3,), 3), (4,), 1, likelihood=likelihoods.GAUSSIAN))
EPS, WEIGHT = (torch.tensor(t, dtype=F64) for t in np.polynomial.hermite_e.hermegauss(60))
WEIGHT = WEIGHT / WEIGHT.sum()
HOW = {
    "enumerated": ({"y": gradients.exact, "z": gradients.pathwise}, 3),
    "sampled": ({"y": partial(gradients.score, baseline=baselines.leave_one_out), "z": gradients.pathwise}, 2),
}


def away(params):
    """Parameters away from their start, so that nothing is 0 or symmetric."""
    vector, unravel = trees.ravel(params)
    return unravel(vector + 0.5 * keys.normal(keys.key(3), (len(vector),), F64))


def through(network, h, c):
    """The oracle of a conditional perceptron of one hidden layer."""
    first, last = network["input"], network["network"]["0"]
    h = torch.tanh(h @ first["weight"].T + c @ network["condition"].T + first["bias"])
    return h @ last["weight"].T + last["bias"]


def log_joint(params, y, z):
    """log p(x, y, z) of a class y by oracles, z (s, n, 1)."""
    zero = torch.zeros(1, dtype=F64)
    likelihood = bernoulli_log_density(X, through(params["decoder"], z, y))
    return normal_log_density(z, zero, zero) + likelihood - np.log(3)


def exact(params):
    """log p(x, y) of every class, (3, n), by Hermite's rule over p(z)."""
    z = EPS[:, None, None].expand(-1, 4, 1)
    zero = torch.zeros(1, dtype=F64)
    each = [log_joint(params, y, z) - normal_log_density(z, zero, zero) for y in CLASSES]
    return torch.stack([torch.logsumexp(log_p + WEIGHT.log()[:, None], 0) for log_p in each])


def by_class(params):
    """E_q(z | x, y) [log p(x, y, z) - log q(z | x, y)] of every class, (3, n), by the same rule over q."""
    found = []
    for y in CLASSES:
        loc, log_scale = through(params["encoder"], X, y).chunk(2, -1)
        z = loc + log_scale.exp() * EPS[:, None, None]
        found.append((WEIGHT[:, None] * (log_joint(params, y, z) - normal_log_density(z, loc, log_scale))).sum(0))
    return torch.stack(found)


def log_class(params):
    """log q(y | x), (3, n), by oracle."""
    first, last = params["classifier"]["0"], params["classifier"]["1"]
    h = torch.relu(X @ first["weight"].T + first["bias"])
    return torch.log_softmax(h @ last["weight"].T + last["bias"], -1).T


def unlabelled(params):
    """sum_y q(y | x) (the bound of y - log q(y | x)), (n,)."""
    log_q = log_class(params)
    return (log_q.exp() * (by_class(params) - log_q)).sum(0)


def check_densities(model):
    """The model's own densities and classifier are the oracles'."""
    params = away(MODEL.init(KEY, X))
    z = keys.normal(KEY, (3, 4, 1), F64)
    for i, y in enumerate(CLASSES):
        joint = log_joint(params, y, z)
        torch.testing.assert_close(model.labelled(params, X, torch.full((4,), i), z), joint)
        latents = {"y": y.expand(3, 4, 1, 3), "z": z}
        torch.testing.assert_close(model.log_joint(params, X, latents), joint)
        loc, log_scale = through(params["encoder"], X, y).chunk(2, -1)
        log_q = normal_log_density(z, loc, log_scale)
        torch.testing.assert_close(model.encoded(params, X, torch.full((4,), i)).log_prob(z), log_q)
        torch.testing.assert_close(model.posterior(params, X).log_prob(latents), log_q + log_class(params)[i])
        torch.testing.assert_close(model.log_prob(params, X, torch.full((4,), i)), log_class(params)[i])


def check_evidence(model):
    """Importance sampling finds log p(x, y) and log p(x); bounds of samples have the mean of the exact ones, below."""
    params = away(MODEL.init(KEY, X))
    truth = exact(params)
    at_labels = truth.gather(0, LABELS[None])[0]
    q_few = model.encoded(params, X, LABELS)
    prior = model.prior(params, 4)
    near(importance(partial(model.labelled, params, X, LABELS), prior.latents["z"], KEY, 5000), at_labels)
    near(importance(partial(model.log_joint, params, X), prior, KEY, 5000), truth.logsumexp(0))
    z = q_few.sample(q_few.noise(KEY, 5000))
    draws = model.labelled(params, X, LABELS, z) - q_few.log_prob(z)
    bound = by_class(params).gather(0, LABELS[None])[0]
    laws.mean_is(draws, bound)
    assert (bound < at_labels).all()
    assert (unlabelled(params) < truth.logsumexp(0)).all()


def check_gradients(model, how):
    """The mean gradient of the unlabelled bound is that of its sum over classes and its quadrature."""
    params, (estimators, rows) = away(MODEL.init(KEY, X)), HOW[how]

    def bound(params, key):
        q = model.posterior(params, X)
        return gradients.mixed(partial(model.log_joint, params, X), q, q.noise(key, rows), how=estimators).sum()

    draws = vmap(grad(bound), (None, 0))(params, keys.split(KEY, 2000))
    for path, slope in trees.paths(grad(lambda p: unlabelled(p).sum())(params)).items():
        laws.mean_is(trees.paths(draws)[path], slope)


def test_the_densities_are_those_of_the_paper():
    assert isinstance(MODEL, LatentModel)
    check_densities(MODEL)


def test_the_bounds_are_below_the_exact_evidence_of_data_and_of_data_with_labels():
    check_evidence(MODEL)


@pytest.mark.parametrize("how", HOW)
def test_the_gradient_of_the_unlabelled_bound_is_the_exact_one(how):
    check_gradients(MODEL, how)


class NoClassPrior(M2):
    def log_prior(self, params, z):
        return self.prior(params, z["z"].shape[-2]).latents["z"].log_prob(z["z"])


class OneClassBehind(M2):
    def likelihood(self, params, z):
        return super().likelihood(params, {**z, "y": z["y"].roll(1, -1)})


class EncoderWithoutClass(M2):
    def encode(self, params, x, y):
        return super().encode(params, x, torch.full_like(y, 1 / 3))


class DetachedClassifier(M2):
    def classify(self, params, x):
        return super().classify(trees.stop(params), x)


PLANTED = {
    NoClassPrior: (check_densities, check_evidence),
    OneClassBehind: (check_densities, check_evidence),
    EncoderWithoutClass: (check_densities,),
    DetachedClassifier: (partial(check_gradients, how="enumerated"),),
}


@pytest.mark.parametrize("bug", PLANTED)
def test_planted_bugs_are_seen(bug):
    spoiled = bug(**{field.name: getattr(MODEL, field.name) for field in dataclasses.fields(MODEL)})
    for check in PLANTED[bug]:
        with pytest.raises(AssertionError):
            check(spoiled)


def test_the_stack_is_a_vae_over_an_m2():
    params = away(STACKED.init(KEY, X))
    first, second = params["first"], params["second"]
    q = STACKED.posterior(params, X)
    z = q.sample(q.noise(KEY, 3))
    assert isinstance(STACKED, LatentModel)
    assert list(z) == ["features", "y", "z"]
    of_vae = STACKED.first.likelihood(first, z["features"]).log_prob(X)
    above = torch.stack(
        [
            STACKED.second.log_joint(second, h, {"y": y[None], "z": rest[None]})[0]
            for h, y, rest in zip(z["features"], z["y"], z["z"], strict=True)
        ]
    )
    torch.testing.assert_close(STACKED.log_joint(params, X, z), of_vae + above)
    q_above = [
        STACKED.second.posterior(second, h).log_prob({"y": y[None], "z": rest[None]})[0]
        for h, y, rest in zip(z["features"], z["y"], z["z"], strict=True)
    ]
    of_q = STACKED.first.posterior(first, X).log_prob(z["features"]) + torch.stack(q_above)
    torch.testing.assert_close(q.log_prob(z), of_q)


def test_the_evidence_of_a_stack_is_that_of_its_marginals():
    """log p(x) by Hermite's rule over z and h given y and z, against importance sampling."""
    params = away(STACKED.init(KEY, X))
    second = params["second"]
    found = []
    for y in CLASSES:
        loc = through(second["decoder"], EPS[:, None, None], y)
        h = loc + second["likelihood"]["log_scale"].exp() * EPS  # (z, 1, h)
        h = h.reshape(-1, 1, 1).expand(-1, 4, 1)
        log_p = STACKED.first.likelihood(params["first"], h).log_prob(X)
        weight = (WEIGHT[:, None] * WEIGHT).log().reshape(-1, 1) - np.log(3)
        found.append(torch.logsumexp(log_p + weight, 0))
    truth = torch.stack(found).logsumexp(0)
    near(importance(partial(STACKED.log_joint, params, X), STACKED.prior(params, 4), KEY, 10_000), truth)


def test_features_are_detached_means_and_a_classifier_reads_them():
    model = M1(vae.mlp(6, (3,), 2), classifier.mlp(2, (3,), 3))
    params = away(model.init(KEY, X))
    means = model.first.posterior(params["first"], X).loc
    expected = model.second.log_prob(params["second"], means, LABELS)
    torch.testing.assert_close(model.log_prob(params, X, LABELS), expected)
    torch.testing.assert_close(model.correct(params, X, LABELS), model.second.correct(params["second"], means, LABELS))
    slopes = grad(lambda params: model.log_prob(params, X, LABELS).sum())(params)
    assert not any(leaf.any() for leaf in trees.leaves(slopes["first"]))
    assert all(leaf.any() for leaf in trees.leaves(slopes["second"]))


def test_what_does_not_fit_raises():
    params = MODEL.init(KEY, X)
    for call in (MODEL.encoded, MODEL.log_prob, MODEL.correct):
        with pytest.raises(ValueError, match="expected labels from 0 to 2, got from 1 to 3: pass classes=4"):
            call(params, X, LABELS + 1)
        with pytest.raises(ValueError, match=r"expected labels \(4,\), got \(3,\): one for each datum"):
            call(params, X, LABELS[1:])
    with pytest.raises(ValueError, match="binarise the data"):
        MODEL.posterior(params, 0.5 * X)
    with pytest.raises(ValueError, match=r'expected z\["y"\] \(..., n, 1, 3\), got \(2, 4, 3\): one-hot classes'):
        MODEL.likelihood(params, {"y": torch.zeros(2, 4, 3), "z": torch.zeros(2, 4, 1)})
    with pytest.raises(ValueError, match="expected hidden, the width of one layer or more, got none"):
        m2.build(MODEL.classifier, (), 1)
    with pytest.raises(ValueError, match="expected second of data as wide as the 1 latents of first, got 6"):
        Stacked(STACKED.first, MODEL)
    with pytest.raises(TypeError, match="expected first, a VAE, and second, a classifier"):
        M1(STACKED.first, MODEL)
