"""The information bottleneck: both bounds and their gaps against sums over x, y and quadrature nodes of z."""

import math

import pytest
import torch
from torch.func import grad

from jensen.core import keys, trees
from jensen.core.models import classifier
from jensen.core.models.latent import bottleneck, vae
from jensen.core.models.latent.bottleneck import label_entropy

KEY = keys.key(61)
X = torch.eye(4, dtype=torch.float64)
P_X = torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=torch.float64)
P_Y = torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.05, 0.95]], dtype=torch.float64)  # of y given x
MODEL = bottleneck.build(4, (), classifier.mlp(1, (3,), 2))
PARAMS = trees.map(lambda t: t + 0.3 * torch.cos(torch.arange(t.numel()).double()).reshape(t.shape),
                   MODEL.init(KEY, torch.float64))  # fmt: skip
Z = torch.linspace(-30, 30, 2001, dtype=torch.float64)
STEP = Z[1] - Z[0]


def densities(params):
    """q(z | x) (z, x), q(z) (z,) and q(y, z) (z, y), at the nodes."""
    z = Z[:, None, None].expand(-1, 4, 1)
    of_x = MODEL.posterior(params, X).log_prob(z).clamp_min(-500).exp()
    return of_x, of_x @ P_X, of_x @ (P_X[:, None] * P_Y)


def informations(params):
    """I(X; Z) and I(Z; Y)."""
    of_x, q, joint = densities(params)
    about_x = (P_X * of_x * torch.log(of_x / q[:, None])).sum() * STEP
    p_y = P_X @ P_Y
    return about_x, (joint * torch.log(joint / q[:, None] / p_y)).sum() * STEP


def bounds(params):
    """E KL(q(z | x) || r) and H(Y) + E log p(y | z)."""
    _, _, joint = densities(params)
    z = Z[:, None, None].expand(-1, 2, 1)
    log_p = MODEL.log_likelihood(params, z, torch.tensor([0, 1]))
    p_y = P_X @ P_Y
    rate = (P_X * MODEL.posterior(params, X).kl(MODEL.prior(params, 4))).sum()
    return rate, (joint * log_p).sum() * STEP - (p_y * p_y.log()).sum()


def test_the_bounds_are_off_by_what_the_docstring_says():
    _, q, joint = densities(PARAMS)
    (about_x, about_y), (upper, lower) = informations(PARAMS), bounds(PARAMS)
    standard = MODEL.prior(PARAMS, 1).log_prob(Z[:, None, None])[:, 0]
    torch.testing.assert_close(upper - about_x, (q * (q.log() - standard)).sum() * STEP, rtol=1e-8, atol=1e-10)
    log_p = MODEL.log_likelihood(PARAMS, Z[:, None, None].expand(-1, 2, 1), torch.tensor([0, 1]))
    away = (joint * (torch.log(joint / q[:, None]) - log_p)).sum() * STEP
    torch.testing.assert_close(about_y - lower, away, rtol=1e-8, atol=1e-10)
    assert lower + 0.01 < about_y < about_x < upper - 0.01
    assert upper - (q * (q.log() - 2 * standard)).sum() * STEP < about_x - 0.01  # a planted bug: another r


def test_what_is_maximised_ends_at_the_curve_of_the_channel():
    """By gradient ascent of the two exact bounds, whose gaps close; I(Z; Y) grows with I(X; Z) up to I(X; Y)."""
    p_y = P_X @ P_Y
    most = (P_X[:, None] * P_Y * torch.log(P_Y / p_y)).sum()
    found = []
    for beta in (0.5, 0.1, 0.02):
        params = trees.map(torch.clone, PARAMS)
        optimiser = torch.optim.Adam(trees.leaves(params), lr=0.05)

        def loss(params, beta=beta):
            upper, lower = bounds(params)
            return beta * upper - lower

        for _ in range(150):
            trees.set_grads(params, grad(loss)(params))
            optimiser.step()
        (about_x, about_y), (upper, lower) = informations(params), bounds(params)
        assert lower <= about_y <= min(about_x, most) + 1e-9
        assert about_x <= upper
        found.append((about_x.item(), about_y.item(), lower.item()))
    rates, relevances, lowers = zip(*found, strict=True)
    assert list(rates) == sorted(rates)
    assert list(relevances) == sorted(relevances)
    assert relevances[-1] > 0.9 * most
    assert relevances[-1] - lowers[-1] < 0.01


def test_terms_are_of_the_samples_of_their_noise():
    labels = torch.tensor([0, 1, 1, 0])
    q = MODEL.posterior(PARAMS, X)
    noise = q.noise(KEY, 5)
    found = MODEL.terms(PARAMS, X, labels, noise)
    log_p = torch.stack([
        MODEL.classifier.log_prob(PARAMS["classifier"], z, labels) for z in q.sample(noise)
    ])  # fmt: skip
    torch.testing.assert_close(found.log_prob, log_p.mean(0))
    torch.testing.assert_close(found.kl, q.kl(MODEL.prior(PARAMS, 4)))
    torch.testing.assert_close(MODEL.log_prob(PARAMS, X, labels, noise), log_p.exp().mean(0).log())


def test_the_entropy_of_labels_is_that_of_their_frequencies():
    found = label_entropy(torch.tensor([0, 2, 2, 2]), 3)
    torch.testing.assert_close(found, torch.tensor(-(0.25 * math.log(0.25) + 0.75 * math.log(0.75))))


def test_what_is_no_classifier_is_refused():
    with pytest.raises(TypeError, match="expected classifier, such as"):
        bottleneck.build(4, (), vae.mlp(4, (3,), 2))
