"""Mixtures of 10 components over 100,000 data in 10 dimensions, beside scikit-learn's from the same start."""

import pytest
import torch
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture

from jensen.core import keys
from jensen.core.models import conjugate
from jensen.estimators.inference import cavi, em

pytestmark = pytest.mark.slow
KEY, F = keys.key(9), torch.float64
N, D, K, SWEEPS = 100_000, 10, 10, 40
X = keys.normal(KEY, (N, D), F) + 3 * keys.normal(keys.key(10), (K, D), F)[torch.arange(N) % K]


def started(peer):
    """scikit-learn's mixture at the best of blurred clusters, and their responsibilities."""
    shares = torch.softmax(torch.nn.functional.one_hot(torch.arange(N) % K, K).to(F) + keys.normal(KEY, (N, K), F), 1)
    peer._check_parameters(X.numpy())
    peer._initialize(X.numpy(), shares.numpy())
    return shares


def swept(peer):
    for _ in range(SWEEPS):
        peer._m_step(X.numpy(), peer._e_step(X.numpy())[1])
    return torch.as_tensor(peer.means_), torch.as_tensor(peer.covariances_)


def test_em_is_scikit_learns_and_the_same_in_float32_around_1000():
    peer = GaussianMixture(K, reg_covar=0)
    started(peer)
    weights, loc, covariance = (torch.as_tensor(t) for t in (peer.weights_, peer.means_, peer.covariances_))
    start = em.NormalMixture(weights, loc, covariance, torch.zeros(K).bool(), N * weights)
    means, covariances = swept(peer)
    for shift, dtype, tolerance in ((0, F, 1e-6), (1000, torch.float32, 3e-3)):
        data = em.prepare((X + shift).to(dtype))
        state, objectives = em.init_at(start._replace(loc=loc + shift), data), []
        for _ in range(SWEEPS):
            state, info = em.update(state, data)
            objectives.append(info.objective)
        found = em.posterior(state, data)
        torch.testing.assert_close(found.loc.double() - shift, means, atol=tolerance, rtol=0)
        torch.testing.assert_close(found.covariance.double(), covariances, atol=tolerance, rtol=0)
        eps = torch.finfo(dtype).eps
        assert torch.stack(objectives).diff().min() >= -8 * eps * abs(objectives[-1])


def test_coordinate_ascent_is_scikit_learns_and_the_same_in_float32_around_1000():
    peer = BayesianGaussianMixture(
        n_components=K, reg_covar=0, weight_concentration_prior_type="dirichlet_distribution"
    )
    shares = started(peer)
    means, covariances = swept(peer)
    for shift, dtype, tolerance in ((0, F, 1e-6), (1000, torch.float32, 3e-3)):
        x = (X + shift).to(dtype)
        model = conjugate.Mixture(conjugate.Shares(torch.full((K,), 1 / K, dtype=F)), conjugate.normals(x))
        data = cavi.prepare(model, x)
        state, objectives = cavi.State(model.given(shares.to(dtype), data.rows), {}), []
        for _ in range(SWEEPS):
            state, info = cavi.update(state, model, data)
            objectives.append(info.objective)
        found = model.posterior(state.natural)["components"]
        torch.testing.assert_close(found.loc - shift, means, atol=tolerance, rtol=0)
        torch.testing.assert_close(found.scatter / found.df[:, None, None], covariances, atol=tolerance, rtol=0)
        eps = torch.finfo(dtype).eps
        assert torch.stack(objectives).diff().min() >= -8 * eps * abs(objectives[-1])
