import math

import numpy as np
import pytest
import torch
from sklearn.mixture import BayesianGaussianMixture

from jensen.core import keys, trees
from jensen.core.distributions import Dirichlet, Gamma
from jensen.core.exponential import mean_parameters
from jensen.core.models import conjugate
from jensen.estimators.inference import cavi
from tests.estimators.inference.enumerated import assignments, counted, log_total, of_choices, of_normals, partitions

KEY, F = keys.key(3), torch.float64
K, D, N = 4, 2, 120
CENTRES = 4 * keys.normal(keys.key(2), (3, D), F)
X = keys.normal(keys.key(1), (N, D), F) + CENTRES[torch.arange(N) % 3]
WEIGHTS = {
    "shares": conjugate.Shares(torch.full((K,), 0.3, dtype=F)),
    "sticks": conjugate.Sticks(torch.full((K,), 0.7, dtype=F)),
}
FEW = torch.tensor([[0.0], [0.3], [-0.4], [3.0], [3.5], [2.6]], dtype=F)


def mixture(x, weights):
    return conjugate.Mixture(weights, conjugate.normals(x))


@pytest.mark.parametrize("name", WEIGHTS)
def test_each_sweep_is_scikit_learns_and_so_is_the_fixed_point(name):
    """With matched priors, from the same responsibilities. Its lower_bound_ is not the ELBO."""
    model = mixture(X, WEIGHTS[name])
    data, shares = cavi.prepare(model, X), torch.softmax(keys.normal(KEY, (N, K), F), 1)
    kind = {"shares": "dirichlet_distribution", "sticks": "dirichlet_process"}[name]
    peer = BayesianGaussianMixture(
        n_components=K, weight_concentration_prior_type=kind, reg_covar=0,
        weight_concentration_prior=model.weights.concentration[0].item(),
    )  # fmt: skip
    peer._check_parameters(X.numpy())
    peer._initialize(X.numpy(), shares.numpy())
    state, elbos = cavi.State(model.given(shares, data.rows), {}), []
    for sweep in range(60):
        state, info = cavi.update(state, model, data)
        peer._m_step(X.numpy(), peer._e_step(X.numpy())[1])
        elbos.append(info.objective)
        if sweep in (0, 20, 59):
            q = model.posterior(state.natural)["components"]
            torch.testing.assert_close(q.loc, torch.as_tensor(peer.means_), atol=1e-8, rtol=1e-8)
            scatter = torch.as_tensor(peer.covariances_) * q.df[:, None, None]
            torch.testing.assert_close(q.scatter, scatter, atol=1e-8, rtol=1e-8)
            found, expected = model.posterior(state.natural)["weights"], peer.weight_concentration_
            expected = torch.as_tensor(expected if name == "shares" else np.stack(expected))
            torch.testing.assert_close(torch.stack(list(found))[:, 0].reshape(expected.shape), expected)
    assert torch.stack(elbos).diff().min() > -8 * torch.finfo(F).eps * abs(elbos[-1])


def test_one_component_is_the_exact_posterior_and_its_elbo_the_evidence():
    model = mixture(X, conjugate.Shares(torch.ones(1, dtype=F)))
    posterior, trace = cavi.fit(KEY, model, X)
    prior = model.observations.prior
    for found, expected in zip(posterior.factors["components"], prior.posterior(X[:, None]), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(trace.objective[-1], prior.log_evidence(X[:, None])[0], rtol=1e-10, atol=0)


@pytest.mark.parametrize("name", WEIGHTS)
def test_the_elbo_of_a_mixture_is_below_its_evidence(name):
    """By every assignment of six data to two components, and by every partition of a Dirichlet process."""
    weights = trees.map(lambda t: t[:2], WEIGHTS[name])
    model = mixture(FEW, weights)
    _, trace = cavi.fit(KEY, model, FEW)
    prior, a = model.observations.prior, weights.concentration
    if name == "shares":
        terms = [of_choices(counted(z, 2)[None], a) + of_normals(FEW, z, prior, 2) for z in assignments(6, 2)]
    else:
        rising = torch.log(a[0] + torch.arange(6)).sum()
        terms = [
            (torch.log(a[0]) + torch.lgamma(counted(z, int(z.max()) + 1))).sum()
            - rising + of_normals(FEW, z, prior, int(z.max()) + 1)
            for z in partitions(6)
        ]  # fmt: skip
    gap = log_total(terms) - trace.objective[-1]
    assert 0 < gap < 3
    torch.testing.assert_close(torch.stack(list(trace.terms.values())).sum(0), trace.objective)


def test_data_far_from_0_in_float32_are_as_near_ones_in_float64():
    weights = WEIGHTS["shares"]
    near, _ = cavi.fit(KEY, mixture(X, weights), X, steps=25)
    x = (X + 1000).float()
    far, trace = cavi.fit(KEY, mixture(x, weights), x, steps=25)
    torch.testing.assert_close(far.factors["components"].loc - 1000, near.factors["components"].loc, atol=5e-3, rtol=0)
    assert trace.fall() < 8 * torch.finfo(torch.float32).eps / torch.finfo(F).eps


def test_components_that_the_data_do_not_call_for_lose_them():
    x = X + 2 * CENTRES[torch.arange(N) % 3]
    model = mixture(x, conjugate.Shares(torch.full((6,), 0.01, dtype=F)))
    posterior, _ = cavi.fit(KEY, model, x, restarts=2)
    counts = posterior.factors["weights"].concentration[0] - 0.01
    assert (counts > 1).sum() == 3
    shares = model.responsibilities(posterior.means, model.prepare(x))
    torch.testing.assert_close(shares.sum(0), counts, atol=0.05, rtol=0)
    torch.testing.assert_close(model.weights.mean(posterior.natural["weights"]), (counts + 0.01) / (N + 0.06))


def test_expected_weights_of_sticks_are_those_of_their_draws():
    sticks = conjugate.Sticks(torch.tensor([2.0, 1.0, 0.5], dtype=F))
    v = sticks.posterior(sticks.natural())
    drawn = v.sample(v.noise(KEY, 4000))[:, 0]
    weights = drawn * torch.cat([torch.ones(4000, 1, dtype=F), (1 - drawn).cumprod(-1)[:, :-1]], 1)
    error = weights.std(0) / 4000**0.5
    assert ((weights.mean(0) - sticks.mean(sticks.natural())).abs() < 5 * error).all()


def test_a_mixture_of_choices_of_one_component_is_its_dirichlet():
    x = torch.tensor([0, 2, 2, 1, 2])
    model = conjugate.Mixture(
        conjugate.Shares(torch.ones(1, dtype=F)), conjugate.Choices(Dirichlet(torch.ones(1, 3, dtype=F)))
    )
    posterior, trace = cavi.fit(KEY, model, x)
    torch.testing.assert_close(posterior.factors["components"].concentration[0], 1 + counted(x, 3))
    torch.testing.assert_close(trace.objective[-1], of_choices(counted(x, 3)[None], torch.ones(3, dtype=F)))


def regression_data():
    x = keys.normal(KEY, (40, 5), F)
    return {
        "x": x,
        "y": x @ torch.tensor([1.5, -2.0, 0.0, 0.0, 0.0], dtype=F) + 0.5 * keys.normal(keys.key(8), (40,), F),
    }


def test_regression_of_known_precisions_is_the_normal_posterior_in_closed_form():
    """Precisions from Gammas that are all but known: relevance 2, noise 4."""
    data, much = regression_data(), torch.full((1, 5), 1e10, dtype=F)
    model = conjugate.Regression(Gamma(2 * much, much), Gamma(4 * much[:, :1], much[:, :1]))
    posterior, trace = cavi.fit(KEY, model, data)
    precision = 4 * data["x"].mT @ data["x"] + 2 * torch.eye(5, dtype=F)
    loc = torch.linalg.solve(precision, 4 * data["x"].mT @ data["y"])
    torch.testing.assert_close(posterior.factors["weights"].loc[0], loc, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(-2 * posterior.natural["weights"]["outer"][0], precision, rtol=1e-8, atol=1e-8)
    marginal = torch.distributions.MultivariateNormal(
        torch.zeros(40, dtype=F), data["x"] @ data["x"].mT / 2 + torch.eye(40, dtype=F) / 4
    )
    assert trace.objective[-1].item() == pytest.approx(
        marginal.log_prob(data["y"]).item(), abs=1e-3
    )  # of differences of 1e11


def test_relevances_of_weights_that_are_0_are_large():
    posterior, trace = cavi.fit(KEY, conjugate.regression(5), regression_data())
    relevance = posterior.factors["relevance"].mean()[0]
    assert relevance[:2].max() < 1
    assert relevance[2:].min() > 10
    assert trace.fall() < 8
    assert posterior.factors["noise"].mean().item() == pytest.approx(4, rel=0.5)


def test_the_elbo_of_a_regression_is_below_its_evidence():
    """Of one weight: both precisions integrate out in closed form, and the weight by quadrature."""
    data = {
        "x": torch.tensor([[1.0], [2.0], [-1.0], [0.5]], dtype=F),
        "y": torch.tensor([1.2, 1.7, -0.4, 0.9], dtype=F),
    }
    a, b = 2.0, 1.5
    prior = Gamma(torch.full((1, 1), a, dtype=F), torch.full((1, 1), b, dtype=F))
    _, trace = cavi.fit(KEY, conjugate.Regression(prior, prior), data, tolerance=0.0)

    def log_integral(squares, n):
        """Of N(residuals; 0, 1 / precision) over the precision's Gamma."""
        constant = a * math.log(b) - math.lgamma(a) + math.lgamma(a + n / 2) - n / 2 * math.log(2 * math.pi)
        return constant - (a + n / 2) * torch.log(b + squares / 2)

    w = torch.linspace(-60, 60, 200_001, dtype=F)
    squares = (data["y"] - w[:, None] * data["x"][:, 0]).square().sum(-1)
    log_p = torch.logsumexp(log_integral(w.square(), 1) + log_integral(squares, 4), 0) + torch.log(w[1] - w[0])
    assert 0 < log_p - trace.objective[-1] < 0.5


def test_the_family_of_normal_wisharts_has_their_density_and_means():
    family, prior = conjugate.NormalWishartFamily(), conjugate.normals(X, strength=2.5, df=4.5).prior
    eta = family.natural(prior)
    for found, expected in zip(family.from_natural(eta), prior, strict=True):
        torch.testing.assert_close(found, expected)
    means = mean_parameters(family, eta)
    for found, expected in zip(family.from_mean(means), prior, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    wishart = prior.precision()
    precision = wishart.sample(wishart.noise(KEY, 3))
    m = keys.normal(KEY, (3, 1, D), F)
    normal = torch.distributions.MultivariateNormal(prior.loc, precision_matrix=2.5 * precision)
    z = {"loc": m, "precision": precision}
    found = conjugate.contract.inner(family, eta, family.statistics(z)) - family.log_partition(eta)
    torch.testing.assert_close(found, normal.log_prob(m) + wishart.log_prob(precision))
    torch.testing.assert_close(means["z"], wishart.mean())


def test_restarts_keep_the_best():
    once, more = (
        cavi.fit(KEY, mixture(X, WEIGHTS["shares"]), X, restarts=r, steps=15)[1].objective[-1] for r in (1, 3)
    )
    assert more >= once


def dirichlet(*shape):
    return Dirichlet(torch.ones(*shape, dtype=F))


SHARES, OTHERS = WEIGHTS["shares"], torch.zeros(N, dtype=torch.long)
WRONG = {
    "concentration in": lambda: (conjugate.Mixture(conjugate.Shares(-SHARES.concentration), conjugate.normals(X)), X),
    r"concentration \(k,\)": lambda: (mixture(X, conjugate.Shares(SHARES.concentration[None])), X),
    "weights, such as": lambda: (conjugate.Mixture(conjugate.normals(X), SHARES), X),
    r"x \(n, 2\)": lambda: (mixture(X, SHARES), X[:, :1]),
    "x of one datum or more": lambda: (mixture(X, SHARES), X[:0]),
    "x with a covariance of rank 2": lambda: (mixture(X[:2], SHARES), X),
    "x finite": lambda: (mixture(X, SHARES), X / 0),
    "x from 0 to 2": lambda: (conjugate.Mixture(SHARES, conjugate.Choices(dirichlet(1, 3))), OTHERS + 3),
    "x, whole numbers below 3": lambda: (conjugate.Mixture(SHARES, conjugate.Choices(dirichlet(1, 3))), X[:, 0]),
    'x, a dict of "x"': lambda: (conjugate.regression(2), (X, X[:, 0])),
    r'x\["y"\]': lambda: (conjugate.regression(2), {"x": X, "y": X}),
    r"x \(n, t, d\)": lambda: (conjugate.HiddenMarkov(dirichlet(1, 2), dirichlet(2, 2), conjugate.normals(X)), X),
    r"first \(1, 2\)": lambda: (
        conjugate.HiddenMarkov(dirichlet(1, 3), dirichlet(2, 2), conjugate.normals(X)),
        X[None],
    ),
    "observations, such as": lambda: (
        conjugate.HiddenMarkov(dirichlet(1, 2), dirichlet(2, 2), dirichlet(2, 2)),
        X[None],
    ),
    r"shares \(1, 2\)": lambda: (conjugate.Allocation(dirichlet(1, 3), dirichlet(2, 2)), X.abs()),
    "x of counts": lambda: (conjugate.Allocation(dirichlet(1, 2), dirichlet(2, 2)), X),
}


@pytest.mark.parametrize("message", WRONG)
def test_models_and_data_that_do_not_fit_are_refused(message):
    with pytest.raises((TypeError, ValueError), match=f"^expected (Dirichlet's )?{message}"):
        cavi.fit(KEY, *WRONG[message]())


def test_of_more_weights_than_data_the_posterior_is_proper():
    x = keys.normal(KEY, (5, 12), F)
    posterior, trace = cavi.fit(KEY, conjugate.regression(12), {"x": x, "y": torch.ones(5, dtype=F)}, steps=50)
    assert trace.objective.isfinite().all()
    torch.testing.assert_close(x @ posterior.factors["weights"].loc[0], torch.ones(5, dtype=F), atol=0.05, rtol=0)
