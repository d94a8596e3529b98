"""The multimodal autoencoder: its product of experts against Bayes' rule, its bounds below the exact evidence."""

import pytest
import torch
from torch.func import grad

from jensen import laws
from jensen.core import keys, trees
from jensen.core.contracts import LatentModel
from jensen.core.distributions import DiagNormal, Mixture
from jensen.core.models.latent import multimodal
from jensen.core.models.latent.likelihoods import BERNOULLI, GAUSSIAN, MULTINOMIAL
from tests.core.test_semi import EPS, WEIGHT, away

KEY, F64 = keys.key(2), torch.float64
SIZES = (2, 3)
PRESENT = [(True, True), (True, False), (False, True)]
X = (keys.uniform(KEY, (4, 5), F64) < 0.4).double()
MODELS = {name: multimodal.build(SIZES, (4,), 1, name) for name in multimodal.EXPERTS}
EACH = pytest.mark.parametrize("name", MODELS)

LINEAR = multimodal.build(SIZES, (), 1, likelihoods=GAUSSIAN)
WEIGHTS = (torch.tensor([0.7, -1.2], dtype=F64), torch.tensor([0.4, 0.9, -0.3], dtype=F64))
BIASES = (torch.tensor([0.1, 0.5], dtype=F64), torch.tensor([-0.2, 0.0, 0.3], dtype=F64))
LOG_SCALES = torch.tensor([-0.4, 0.2], dtype=F64)
REAL = keys.normal(KEY, (4, 5), F64)


def linear():
    """Parameters of x_i = w_i z + b_i + scale_i eps, whose experts are p(x_i | z) as densities of z."""
    params = {"encoder": {}, "decoder": {}, "likelihood": {}}
    for i, (w, b, log_scale) in enumerate(zip(WEIGHTS, BIASES, LOG_SCALES, strict=True)):
        up = w / (w @ w)
        bias = torch.stack([-(up @ b), log_scale - 0.5 * torch.log(w @ w)])
        params["encoder"][str(i)] = {"0": {"weight": torch.stack([up, torch.zeros_like(up)]), "bias": bias}}
        params["decoder"][str(i)] = {"0": {"weight": w[:, None], "bias": b}}
        params["likelihood"][str(i)] = {"log_scale": log_scale}
    return params


def joint_normal(present):
    """Weights, biases and the covariance of the modalities that are there."""
    chosen = [i for i, there in enumerate(present) if there]
    w, b = (torch.cat([each[i] for i in chosen]) for each in (WEIGHTS, BIASES))
    noise = torch.cat([(2 * LOG_SCALES[i]).exp().expand(SIZES[i]) for i in chosen])
    return w, b, torch.outer(w, w) + noise.diag()


def some(model, x, present):
    return [part if there else None for part, there in zip(model.parts(x), present, strict=True)]


def check_bayes(model):
    """q given one modality, the other and both is the normal conditional of the joint covariance."""
    for present in PRESENT:
        q = model.given(linear(), some(model, REAL, present))
        w, b, covariance = joint_normal(present)
        x = torch.cat([part for part in some(model, REAL, present) if part is not None], -1)
        gain = torch.linalg.solve(covariance, w)
        torch.testing.assert_close(q.loc[:, 0], (x - b) @ gain)
        torch.testing.assert_close((2 * q.log_scale[:, 0]).exp(), (1 - w @ gain).expand(4))


def check_exact_bound(model):
    """At the exact posterior log p(x, z) - log q(z | x) is log p(x), whatever z."""
    params = linear()
    q = model.posterior(params, REAL)
    z = q.sample(q.noise(KEY, 3))
    _, b, covariance = joint_normal((True, True))
    evidence = torch.distributions.MultivariateNormal(b, covariance).log_prob(REAL)
    torch.testing.assert_close(model.log_joint(params, REAL, z) - q.log_prob(z), evidence.expand(3, 4))


def test_the_product_of_exact_experts_is_the_exact_posterior():
    check_bayes(LINEAR)
    check_exact_bound(LINEAR)


class PriorCountedTwice(multimodal.Multimodal):
    def given(self, params, parts):
        q = super().given(params, parts)
        return multimodal.product([q, self.prior(params, len(q.loc))])


class PrecisionsNotAdded(multimodal.Multimodal):
    def given(self, params, parts):
        q = super().given(params, parts)
        experts = 1 + sum(part is not None for part in parts)
        return DiagNormal(q.loc, q.log_scale + 0.5 * torch.log(torch.tensor(experts, dtype=F64)))


@pytest.mark.parametrize("bug", [PriorCountedTwice, PrecisionsNotAdded])
@pytest.mark.parametrize("check", [check_bayes, check_exact_bound])
def test_planted_bugs_are_seen(bug, check):
    with pytest.raises(AssertionError):
        check(bug(**vars(LINEAR)))


@EACH
def test_bounds_are_below_the_exact_evidence(name):
    """log p(x), and log p of one modality, by Hermite's rule over the prior; the bound by it over each component."""
    model = MODELS[name]
    assert isinstance(model, LatentModel)
    params = away(model.init(KEY, X))
    nodes, log_weight = EPS[:, None, None].expand(-1, 4, 1), WEIGHT.log()[:, None]
    for present in PRESENT:
        parts = some(model, X, present)

        def log_likelihood(z, parts=parts):
            each = [model.decode(params, z, i).log_prob(x) for i, x in enumerate(parts) if x is not None]
            return torch.stack(each).sum(0)

        evidence = torch.logsumexp(log_likelihood(nodes) + log_weight, 0)
        q = model.given(params, parts)
        components = (
            [DiagNormal(*(field[:, k] for field in q.components)) for k in range(q.logits.shape[1])]
            if isinstance(q, Mixture)
            else [q]
        )
        assert len(components) == (sum(present) if name == "mixture" else 1)
        bounds = []
        for each in components:
            z = each.loc + each.log_scale.exp() * nodes
            bounds.append((WEIGHT[:, None] * (log_likelihood(z) + model.log_prior(params, z) - q.log_prob(z))).sum(0))
        assert (torch.stack(bounds).mean(0) < evidence).all()
        assert (torch.stack(bounds).mean(0) > evidence - 10).all()


def test_a_missing_modality_leaves_the_others():
    model = MODELS["mixture"]
    params, z = away(model.init(KEY, X)), keys.normal(KEY, (3, 4, 1), F64)
    first, second = (model.given(params, some(model, X, present)).log_prob(z) for present in PRESENT[1:])
    both = model.posterior(params, X).log_prob(z)
    torch.testing.assert_close(both.exp(), 0.5 * (first.exp() + second.exp()))


def test_the_joint_encoder_tells_a_missing_modality_from_zeros():
    model = MODELS["joint"]
    params, (x, y) = away(model.init(KEY, X)), model.parts(X)
    missing, zeros = model.given(params, [x, None]), model.given(params, [x, torch.zeros_like(y)])
    assert ((missing.loc - zeros.loc).abs() > 1e-3).all()


@EACH
def test_gradients_reach_every_parameter_and_no_missing_expert(name):
    model = MODELS[name]
    params = away(model.init(KEY, X))

    def bound(params, parts):
        q = model.given(params, parts)
        z = q.sample(q.noise(KEY, 3))
        return (model.log_joint(params, X, z) - q.log_prob(z)).mean()

    for path, slope in trees.paths(grad(bound)(params, model.parts(X))).items():
        assert slope.abs().max() > 0, path
    for path, slope in trees.paths(grad(bound)(params, [None, model.parts(X)[1]])).items():
        assert (slope.abs().max() > 0) == (not path.startswith("encoder.0")), path


def test_modalities_have_likelihoods_of_their_own():
    model = multimodal.build((5, 3), (4,), 2, likelihoods=(BERNOULLI, MULTINOMIAL))
    rows = torch.cat([X, torch.eye(3, dtype=F64)[[2, 0, 1, 1]]], -1)
    params = away(model.init(KEY, rows))
    z = keys.normal(KEY, (4, 2), F64)
    p = model.likelihood(params, z[None])
    log_label = torch.log_softmax(model.decode(params, z[None], 1).logits(), -1)
    expected = model.decode(params, z[None], 0).log_prob(X) + (rows[:, 5:] * log_label).sum(-1)
    torch.testing.assert_close(p.log_prob(rows), expected)
    p = model.likelihood(params, z)
    laws.mean_is(p.sample(p.noise(KEY, 2000)), p.mean())
    torch.testing.assert_close(
        model.independent(rows).mean()[5:], (rows[:, 5:].sum(0) + 1) / (len(rows) + 3)
    )  # Laplace


def test_what_does_not_fit_raises():
    model = MODELS["product"]
    params = model.init(KEY, X)
    x, y = model.parts(X)
    for parts, message in (
        ((None, None), "expected parts, one modality or more, got none: then q is the prior"),
        ((x,), "expected parts, 2 of them, got 1: None for a missing one"),
        ((y, x), r"expected parts\[0\] \(n, 2\), got \(4, 3\)"),
        ((x, y[:3]), "expected parts of the same data, got 4, 3 rows"),
        ((0.5 * x, y), "binarise the data"),
    ):
        with pytest.raises(ValueError, match=message):
            model.given(params, parts)
    with pytest.raises(ValueError, match="expected modality below 2, got 2: they are numbered from 0"):
        model.decode(params, torch.zeros(3, 4, 1).double(), 2)
    with pytest.raises(ValueError, match="expected data, the sizes of two modalities or more, got 1"):
        multimodal.build((5,), (4,), 1)
    with pytest.raises(ValueError, match="expected likelihoods, one for all or 2, got 3: one per modality"):
        multimodal.build(SIZES, (4,), 1, likelihoods=[BERNOULLI] * 3)
