"""Laplace's approximation of networks: exact where a linear model is, its prior's precision, draws and predictions."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch.distributions import MultivariateNormal

from jensen.core import keys, trees
from jensen.core.nn import linear, mlp
from jensen.estimators.inference import network_laplace
from jensen.estimators.inference.curvature import Bernoulli, Categorical, Gaussian
from jensen.estimators.inference.network_laplace import STRUCTURES

F64, KEY = torch.float64, keys.key(3)
N, SIGMA, PRECISION = 20, 0.5, 2.0
X = keys.normal(keys.key(1), (1, N, 3), F64)[0]
ONES = torch.cat([X, torch.ones(N, 1, dtype=F64)], 1)
Y = X @ torch.tensor([[1.0, -2], [0, 1], [0.5, 1]], dtype=F64) + SIGMA * keys.normal(keys.key(2), (1, N, 2), F64)[0]
LABELS = (X[:, 0] > 0).long() + (X[:, 1] > 0).long()
DEEP = mlp.init(KEY, (3, 4, 3), dtype=F64)


class Exact:
    """Bayesian linear regression of each column of y on covariates a."""

    def __init__(self, a, y, precision=PRECISION):
        unit = torch.eye(a.shape[1], dtype=F64)
        self.covariance = torch.linalg.inv(a.T @ a / SIGMA**2 + precision * unit)
        self.weights = self.covariance @ a.T @ y / SIGMA**2
        marginal = MultivariateNormal(
            torch.zeros(len(a), dtype=F64), SIGMA**2 * torch.eye(len(a)) + a @ a.T / precision
        )
        self.log_evidence = marginal.log_prob(y.T).sum()

    def parameters(self):
        return {"weight": self.weights[:-1].T.contiguous(), "bias": self.weights[-1]}


EXACT = Exact(ONES, Y)
FITTED = {
    curvature: network_laplace.fit(linear.apply, EXACT.parameters(), X, Y, Gaussian(SIGMA), curvature, PRECISION)[0]
    for curvature in STRUCTURES
}


@pytest.mark.parametrize("curvature", ["full", "kfac"])
def test_a_linear_network_is_bayesian_linear_regression(curvature):
    posterior, new = FITTED[curvature], keys.normal(keys.key(9), (1, 4, 3), F64)[0]
    assert posterior.climb < 1e-20
    torch.testing.assert_close(posterior.log_evidence, EXACT.log_evidence, rtol=0, atol=1e-10)
    a = torch.cat([new, torch.ones(4, 1, dtype=F64)], 1)
    found = posterior.outputs(new)
    variance = (a @ EXACT.covariance * a).sum(1)
    torch.testing.assert_close(found.mean, a @ EXACT.weights, rtol=0, atol=1e-10)
    expected = variance[:, None, None] * torch.eye(2, dtype=F64)
    torch.testing.assert_close(found.covariance, expected, rtol=0, atol=1e-10)
    predicted = posterior.predict(new)
    torch.testing.assert_close(predicted.variance, (variance + SIGMA**2)[:, None].expand(4, 2), rtol=0, atol=1e-10)
    drawn = posterior.predict(new, KEY, 2000)
    assert ((drawn.mean - predicted.mean).abs() < 4.5 * (variance / 2000).sqrt()[:, None]).all()


def test_evidence_off_the_mode_lacks_what_a_step_would_gain():
    off = trees.map(lambda t: t + 0.1, EXACT.parameters())
    posterior, trace = network_laplace.fit(linear.apply, off, X, Y, Gaussian(SIGMA), "full", PRECISION)
    assert posterior.climb > 0.1
    torch.testing.assert_close(posterior.log_evidence + posterior.climb, EXACT.log_evidence, rtol=0, atol=1e-9)
    assert f"{posterior.climb.item():.2g}: the parameters are not at a mode" in posterior.verdict()
    assert "; at a mode, to" in FITTED["full"].verdict()
    torch.testing.assert_close(sum(trace.terms.values()), trace.objective)
    assert trace.converged


def with_curvature(posterior, curvature):
    return posterior._replace(curvature=curvature).under(PRECISION)


PLANTED = {
    "the prior's precision dropped": lambda p: p.under(1e-9),
    "the noise dropped": lambda p: with_curvature(p, p.curvature.times(SIGMA**2)),
    "a mean over data": lambda p: with_curvature(p, p.curvature.times(1 / N)),
    "damping": lambda p: with_curvature(p, p.curvature._replace(eigenvalues=p.curvature.eigenvalues + 1e-3)),
    "the basis transposed": lambda p: with_curvature(
        p, p.curvature._replace(basis=type(p.curvature.basis)(p.curvature.basis.vectors.T))
    ),
    "the scale dropped": lambda p: p._replace(scaled=p.curvature),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_planted_faults_are_found(planted):
    wrong = PLANTED[planted](FITTED["full"])
    spread = wrong.outputs(X).covariance[:, 0, 0] - (ONES @ EXACT.covariance * ONES).sum(1)
    assert spread.abs().max() > 1e-6
    assert planted == "the basis transposed" or (wrong.log_evidence - EXACT.log_evidence).abs() > 1e-5


@pytest.mark.parametrize("curvature", STRUCTURES)
def test_the_priors_precision_has_the_most_evidence_which_never_falls(curvature):
    fit = partial(network_laplace.fit, mlp.apply, DEEP, X, LABELS, Categorical(), curvature)
    posterior, trace = fit()
    assert trace.converged
    assert trace.fall() == 0
    assert len(trace.objective) > 3
    torch.testing.assert_close(trace.objective[-1], posterior.log_evidence)
    for factor in (0.9, 1.1):
        assert posterior.under(factor * posterior.prior_precision.item()).log_evidence < posterior.log_evidence
    again, once = fit(3.7)
    assert again.log_evidence == once.objective[0] == posterior.under(3.7).log_evidence


@pytest.mark.parametrize("curvature", STRUCTURES)
def test_batches_are_all_data_at_once(curvature):
    whole, _ = network_laplace.fit(mlp.apply, DEEP, X, LABELS, Categorical(), curvature, PRECISION)
    state, total = network_laplace.init(mlp.apply, DEEP, X, Categorical(), curvature), 0.0
    for at in (slice(0, 7), slice(7, 8), slice(8, N)):
        state, info = network_laplace.update(state, X[at], LABELS[at])
        total = total + info.objective
    parts, _ = network_laplace.finish(state, PRECISION)
    torch.testing.assert_close(total, whole.log_likelihood)
    torch.testing.assert_close(parts.log_evidence, whole.log_evidence)
    torch.testing.assert_close(parts.climb, whole.climb)
    torch.testing.assert_close(parts.outputs(X).covariance, whole.outputs(X).covariance)


@pytest.mark.parametrize("curvature", STRUCTURES)
def test_draws_have_the_covariance_and_the_density_that_the_outputs_rest_on(curvature):
    posterior, _ = network_laplace.fit(mlp.apply, DEEP, X, LABELS, Categorical(), curvature, PRECISION)
    p, (values, basis) = len(posterior.slope), posterior.curvature
    draws = posterior.draws(KEY, 4 * p)
    off = posterior.linearised.layout.value.flat(
        {path: t - trees.paths(DEEP)[path] for path, t in trees.paths(draws).items()}
    )
    inverse = (values + PRECISION).reciprocal()
    unit = torch.eye(p, dtype=F64)
    covariance = basis.into(unit).mul(inverse) @ basis.into(unit).T
    exact = MultivariateNormal(torch.zeros(p, dtype=F64), covariance)
    torch.testing.assert_close(posterior.log_prob(draws), exact.log_prob(off))
    squares = torch.linalg.solve(covariance, off.T).T.mul(off).sum()  # chi-squared
    assert abs(squares - 4 * p * p) < 4.5 * math.sqrt(8 * p * p)
    jacobian = posterior.linearised.jacobian(X)
    torch.testing.assert_close(posterior.outputs(X).covariance, jacobian @ covariance @ jacobian.mT)
    logits = torch.func.vmap(mlp.apply, (0, None))(draws, X)
    assert logits.shape == (4 * p, N, 3)


def test_a_last_layer_is_linear_regression_on_its_inputs():
    network = mlp.init(KEY, (3, 5, 2), dtype=F64)
    a = torch.cat([mlp.features(network, X), torch.ones(N, 1, dtype=F64)], 1)
    exact = Exact(a, Y)
    parameters = {**network, "1": exact.parameters()}
    for curvature in ("full", "kfac"):
        posterior, _ = network_laplace.fit(mlp.apply, parameters, X, Y, Gaussian(SIGMA), curvature, PRECISION, ("1",))
        torch.testing.assert_close(posterior.log_evidence, exact.log_evidence, rtol=0, atol=1e-9)
        spread = posterior.outputs(X).covariance[:, 1, 1]
        torch.testing.assert_close(spread, (a @ exact.covariance * a).sum(1), rtol=0, atol=1e-10)
        draws = posterior.draws(KEY, 3)
        assert torch.equal(draws["0"]["weight"], parameters["0"]["weight"].expand(3, 5, 3))
        assert (draws["1"]["bias"] != parameters["1"]["bias"]).all()
        assert posterior.log_prob(draws).shape == (3,)


def expected_sigmoid(mean, variance):
    return integrate.quad(
        lambda f: stats.norm.pdf(f, mean, math.sqrt(variance)) / (1 + np.exp(-f)), mean - 40, mean + 40, limit=400
    )[0]


def test_probabilities_are_near_quadrature_and_in_the_limit_of_draws_equal():
    y = (X[:, :1] + 0.5 * X[:, 1:2] > 0).double()
    parameters = {"weight": torch.tensor([[2.0, 1, 0]], dtype=F64), "bias": torch.zeros(1, dtype=F64)}
    posterior, _ = network_laplace.fit(linear.apply, parameters, X, y, Bernoulli(), "full", 0.3)
    new = torch.tensor([[0.5, 0, 0], [3, 2, 1], [0, 0, 0]], dtype=F64)
    outputs = posterior.outputs(new)
    mean, variance = outputs.mean[:, 0].tolist(), outputs.covariance[:, 0, 0].tolist()
    exact = torch.tensor([[expected_sigmoid(*each)] for each in zip(mean, variance, strict=True)], dtype=F64)
    off, plain = ((p - exact).abs() for p in (posterior.predict(new).mean, torch.sigmoid(outputs.mean)))
    assert off.max() < 0.02
    assert (off < plain + 1e-8).all()
    assert plain[0] > 5 * off[0]
    drawn = posterior.predict(new, KEY, 20_000)
    assert ((drawn.mean - exact).abs() < 4.5 * 0.5 / math.sqrt(20_000)).all()
    torch.testing.assert_close(drawn.variance, drawn.mean * (1 - drawn.mean))


def test_probabilities_of_classes_sum_to_one_and_are_less_sure_than_the_network():
    posterior, _ = network_laplace.fit(mlp.apply, DEEP, X, LABELS, Categorical(), "kfac", 0.1)
    sure = mlp.apply(DEEP, X).softmax(-1)
    for predicted in (posterior.predict(X), posterior.predict(X, KEY)):
        torch.testing.assert_close(predicted.mean.sum(-1), torch.ones(N, dtype=F64))
        entropy, other = (-(p * p.log()).sum(-1) for p in (predicted.mean, sure))
        assert (entropy > other).all()


def test_spread_widens_where_there_are_no_data():
    x = torch.cat([torch.linspace(-2, -1, 15, dtype=F64), torch.linspace(1, 2, 15, dtype=F64)])[:, None]
    parameters = mlp.init(KEY, (1, 10, 1), dtype=F64)
    adam = torch.optim.Adam(trees.leaves(parameters), 0.02)
    y = torch.sin(2 * x)
    for _ in range(200):
        trees.set_grads(parameters, torch.func.grad(lambda p: (mlp.apply(p, x) - y).square().mean())(parameters))
        adam.step()
    for curvature in STRUCTURES:
        posterior, _ = network_laplace.fit(mlp.apply, parameters, x, y, Gaussian(0.1), curvature)
        at = torch.tensor([[-1.5], [0.0], [1.5]], dtype=F64)
        left, gap, right = posterior.outputs(at).covariance[:, 0, 0]
        assert gap > 4 * max(left, right)


def test_float32_stays_float32():
    small = trees.map(torch.Tensor.float, DEEP)
    for curvature in STRUCTURES:
        posterior, _ = network_laplace.fit(mlp.apply, small, X.float(), LABELS, Categorical(), curvature)
        assert posterior.predict(X.float()).mean.dtype == posterior.draws(KEY, 2)["0"]["weight"].dtype == torch.float32


def test_refusals():
    fit = network_laplace.fit
    wrong = {
        r"y \(n, 2\), got \(20,\).*y\[:, None\]": lambda: fit(linear.apply, EXACT.parameters(), X, Y[:, 0], Gaussian()),
        "as x has, got 3": lambda: fit(linear.apply, EXACT.parameters(), X, Y[:3], Gaussian()),
        "y of 0 and 1, got": lambda: fit(linear.apply, EXACT.parameters(), X, Y, Bernoulli()),
        "y from 0 to 1 for 2 outputs, got 2": lambda: fit(linear.apply, EXACT.parameters(), X, LABELS, Categorical()),
        r"x \(5, c\)|last axis": lambda: fit(linear.apply, EXACT.parameters(), X[:, :2], Y, Gaussian()),
        "prior_precision in": lambda: fit(mlp.apply, DEEP, X, LABELS, Categorical(), "kfac", 0.0),
        "give prior_precision": lambda: fit(
            mlp.apply, trees.map(torch.zeros_like, DEEP), X, LABELS, Categorical(), "diagonal"
        ),
        "one datum or more": lambda: fit(linear.apply, EXACT.parameters(), X[:0], Y[:0], Gaussian()),
        "log likelihood, got nan": lambda: fit(linear.apply, EXACT.parameters(), X * torch.nan, Y, Gaussian()),
        "sigma in": lambda: Gaussian(0.0),
        "change with the second": lambda: fit(
            lambda p, x: linear.apply(p, x - x.mean(0)), EXACT.parameters(), X, Y, Gaussian()
        ),
        "state with data": lambda: network_laplace.finish(
            network_laplace.init(linear.apply, EXACT.parameters(), X, Gaussian())
        ),
    }
    for said, call in wrong.items():
        with pytest.raises(ValueError, match=said):
            call()
    for said, call in {
        "whole numbers": lambda: fit(mlp.apply, DEEP, X, LABELS.double(), Categorical()),
        "likelihood, such as": lambda: fit(mlp.apply, DEEP, X, LABELS, Categorical),
        "float32 or float64": lambda: fit(mlp.apply, trees.map(torch.Tensor.half, DEEP), X, LABELS, Categorical()),
        "functional_call": lambda: fit(torch.nn.Linear(3, 2), EXACT.parameters(), X, Y, Gaussian()),
        "dict of tensors": lambda: fit(mlp.apply, X, X, LABELS, Categorical()),
    }.items():
        with pytest.raises(TypeError, match=said):
            call()
