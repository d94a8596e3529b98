"""Coordinate ascent where local latents have a structure: chains, factors, topics."""

from itertools import product

import pytest
import torch
from torch.func import grad

from jensen.core import keys
from jensen.core.distributions import Dirichlet, FullNormal, Gamma
from jensen.core.models import conjugate
from jensen.estimators.inference import cavi
from tests.estimators.inference.enumerated import assignments, counted, log_total, of_choices, of_normals

KEY, F = keys.key(5), torch.float64


def ones(*shape, value=1.0):
    return Dirichlet(torch.full(shape, value, dtype=F))


@pytest.mark.parametrize("t", [1, 2, 5, 6])
def test_chains_and_their_slopes_are_sums_over_every_sequence_of_states(t):
    k = 3
    first, steps = keys.normal(KEY, (2, k), F), keys.normal(keys.key(6), (2, t - 1, k, k), F)
    sequences = torch.tensor(list(product(range(k), repeat=t)))
    log_p = first[:, sequences[:, 0]]
    for i in range(t - 1):
        log_p = log_p + steps[:, i, sequences[:, i], sequences[:, i + 1]]
    found = torch.logsumexp(conjugate.log_chain(first, steps), -1)
    torch.testing.assert_close(found, torch.logsumexp(log_p, -1))
    slopes = grad(lambda f, s: torch.logsumexp(conjugate.log_chain(f, s), -1).sum(), (0, 1))(first, steps)
    shares = torch.softmax(log_p, -1)
    of_first = torch.stack([(shares * (sequences[:, 0] == c)).sum(-1) for c in range(k)], -1)
    torch.testing.assert_close(slopes[0], of_first)
    for i in range(t - 1):
        pair = (sequences[:, i] == 1) & (sequences[:, i + 1] == 2)
        torch.testing.assert_close(slopes[1][:, i, 1, 2], (shares * pair).sum(-1))


@pytest.mark.parametrize("kind", ["normals", "choices"])
def test_the_elbo_of_a_hidden_markov_model_is_below_its_evidence(kind):
    k, t = 2, 6
    if kind == "normals":
        x = torch.tensor([[[0.1], [-0.3], [0.2], [4.0], [4.2], [3.6]]], dtype=F)
        observations = conjugate.normals(x[0])
    else:
        x = torch.tensor([[0, 0, 1, 2, 2, 2]])
        observations = conjugate.Choices(ones(1, 3, value=0.5))
    model = conjugate.HiddenMarkov(ones(1, k), ones(k, k), observations)
    _, trace = cavi.fit(KEY, model, x, restarts=3)
    terms = []
    for z in assignments(t, k):
        moves = torch.stack([counted(z[1:][z[:-1] == c], k) for c in range(k)])
        chain = of_choices(counted(z[:1], k)[None], torch.ones(k, dtype=F)) + of_choices(
            moves, torch.ones(k, k, dtype=F)
        )
        if kind == "normals":
            terms.append(chain + of_normals(x[0], z, observations.prior, k))
        else:
            seen = torch.stack([counted(x[0][z == c], 3) for c in range(k)])
            terms.append(chain + of_choices(seen, torch.full((k, 3), 0.5, dtype=F)))
    assert 0 < log_total(terms) - trace.objective[-1] < 3
    assert trace.fall() < 8


def test_a_hidden_markov_model_finds_its_states():
    states = torch.zeros(3, 60, dtype=torch.long)
    u = keys.uniform(KEY, (3, 60))
    for i in range(1, 60):
        states[:, i] = torch.where(u[:, i] < 0.9, states[:, i - 1], (states[:, i - 1] + 1) % 3)
    places = 4 * torch.tensor([[0.0, 0.0], [1.0, 1.0], [1.0, -1.0]], dtype=F)
    x = keys.normal(KEY, (3, 60, 2), F) + places[states]
    model = conjugate.HiddenMarkov(ones(1, 3), ones(3, 3), conjugate.normals(x.flatten(0, 1)))
    posterior, trace = cavi.fit(KEY, model, x, restarts=2)
    found = posterior.factors["states"].loc
    assert torch.cdist(places, found).amin(1).max() < 0.5
    kept = [(states[:, 1:] == c)[states[:, :-1] == c] for c in range(3)]
    kept = [((1 + each.sum()) / (3 + len(each))).item() for each in kept]  # with the prior's
    found = posterior.factors["transitions"].mean().diagonal()
    assert sorted(found.tolist()) == pytest.approx(sorted(kept), abs=0.02)
    shares = model.responsibilities(posterior.means, model.prepare(x))
    torch.testing.assert_close(shares.sum(-1), torch.ones(3, 60, dtype=F))
    nearest = torch.cdist(places, posterior.factors["states"].loc).argmin(1)
    assert (shares.argmax(-1) == nearest[states]).double().mean() > 0.98
    assert trace.fall() < 8


def test_of_known_loadings_each_datum_has_its_marginal_density():
    """x from N(mean, W W^T + 1 / noise), of q that is all but known."""
    d, k = 4, 2
    x = keys.normal(KEY, (7, d), F)
    model = conjugate.factor_analysis(x, k)
    loc, precision = keys.normal(keys.key(7), (d, k + 1), F), torch.exp(keys.normal(keys.key(8), (1, d), F))
    known = FullNormal(loc, torch.full_like(loc, -14.0), loc.new_zeros(d, k + 1, k + 1))
    q = {"loadings": known, "noise": Gamma(1e12 * precision, torch.full_like(precision, 1e12))}
    natural = {name: model.families[name].natural(value) for name, value in q.items()}
    means = cavi.means_of(model, natural)
    rows = model.prepare(x)
    found, _ = model.log_likelihood(means, rows, {})
    marginal = torch.distributions.MultivariateNormal(
        loc[:, k], loc[:, :k] @ loc[:, :k].mT + torch.diag(1 / precision[0])
    )
    expected = marginal.log_prob(rows) - d * torch.log(model.scale)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    z, weights = model.latents(means, rows), loc[:, :k].mT * precision
    covariance = torch.linalg.inv(torch.eye(k, dtype=F) + weights @ loc[:, :k])
    torch.testing.assert_close(z.loc, (rows - loc[:, k]) @ weights.mT @ covariance, rtol=1e-6, atol=1e-6)


def test_probabilistic_pca_of_many_data_is_the_likeliest():
    """Tipping and Bishop, 1999: the noise is the mean of the discarded eigenvalues."""
    n, d = 400, 5
    z, loadings = keys.normal(KEY, (n, 2), F), 2 * keys.normal(keys.key(9), (2, d), F)
    x = z @ loadings + 0.5 * keys.normal(keys.key(10), (n, d), F) + 100
    posterior, trace = cavi.fit(KEY, conjugate.factor_analysis(x, 3, common_noise=True), x, tolerance=0.02)
    values, vectors = torch.linalg.eigh(x.mT.cov(correction=0))
    assert 1 / posterior.factors["noise"].mean().item() == pytest.approx(values[:3].mean().item(), rel=0.03)
    columns = posterior.factors["loadings"].loc[:, :-1]
    kept = columns @ columns.mT
    expected = (vectors[:, 3:] * (values[3:] - values[:3].mean())) @ vectors[:, 3:].mT
    torch.testing.assert_close(kept, expected, rtol=0.03, atol=0.03 * expected.abs().max().item())
    assert (columns.square().sum(0) > 0.1).sum() == 2  # of three, two that the data call for
    assert trace.fall() < 8


def test_the_elbo_of_topics_is_below_their_evidence():
    """Two documents of three words: every topic of every word."""
    words, k, v = torch.tensor([[0, 0, 1], [2, 2, 1]]), 2, 3
    x = torch.stack([counted(each, v) for each in words])
    model = conjugate.Allocation(ones(1, k, value=0.7), ones(k, v, value=0.6))
    _, trace = cavi.fit(KEY, model, x, restarts=3)
    terms = []
    for z in assignments(6, k):
        documents = torch.stack([counted(part, k) for part in z.view(2, 3)])
        topics = torch.stack([counted(words.flatten()[z == c], v) for c in range(k)])
        shares = of_choices(documents, torch.full((2, k), 0.7, dtype=F))
        terms.append(shares + of_choices(topics, torch.full((k, v), 0.6, dtype=F)))
    assert 0 < log_total(terms) - trace.objective[-1] < 3
    assert trace.fall() < 8


def test_one_topic_is_its_dirichlet_and_the_elbo_the_evidence():
    x = torch.tensor([[3.0, 1.0, 0.0], [0.0, 2.0, 2.0]], dtype=F)
    posterior, trace = cavi.fit(KEY, conjugate.Allocation(ones(1, 1), ones(1, 3)), x)
    torch.testing.assert_close(posterior.factors["topics"].concentration[0], 1 + x.sum(0))
    torch.testing.assert_close(trace.objective[-1], of_choices(x.sum(0)[None], torch.ones(1, 3, dtype=F)))


def test_topics_without_a_common_word_are_told_apart():
    x = torch.zeros(30, 6, dtype=F)
    x[::2, :3], x[1::2, 3:] = 5.0, 4.0
    model = conjugate.Allocation(ones(1, 2, value=0.2), ones(2, 6, value=0.1))
    posterior, _ = cavi.fit(KEY, model, x, restarts=3)
    topics = posterior.factors["topics"].mean()
    shares = model.documents(posterior.means, x).mean()
    assert shares.amax(-1).min() > 0.95
    assert sorted(topics[:, :3].sum(-1).tolist()) == pytest.approx([0.0, 1.0], abs=0.01)
