"""Posteriors against exact ones, minibatches, Jacobians, names, and every kind of evidence."""

import itertools
import math

import pytest
import torch
from scipy import integrate, stats

from jensen.core import keys
from jensen.core.distributions import DiagNormal
from jensen.core.models import bayes
from jensen.estimators.diagnostics import quality
from jensen.estimators.evidence import annealed_importance, bridge, find_mode, importance, laplace, linear, smc
from jensen.estimators.gradients import pathwise
from jensen.laws import oracles
from jensen.laws.bayesian import POSTERIORS

KEY = keys.key(3)
X = keys.normal(keys.key(4), (20, 3), torch.float64)
Y = X @ torch.tensor([1.0, -1.0, 0.5], dtype=torch.float64) + keys.normal(keys.key(5), (20,), torch.float64)
SCHOOLS = oracles.EightSchools()
DATA = {"y": SCHOOLS.y, "sigma": SCHOOLS.sigma}


@pytest.fixture(scope="module")
def regression():
    return bayes.condition(bayes.linear_regression(3), {"x": X, "y": Y})


def exact():
    return bayes.exact_regression({"x": X, "y": Y})


def test_the_exact_evidence_is_that_of_the_responses_own_normal():
    covariance = (X @ X.mT + torch.eye(20)).numpy()
    expected = stats.multivariate_normal(torch.zeros(20).numpy(), covariance).logpdf(Y.numpy())
    assert exact().log_evidence.item() == pytest.approx(expected, abs=1e-8)


def test_laplace_is_exact(regression):
    normal = laplace(regression, find_mode(regression, regression.start).z)
    torch.testing.assert_close(normal.log_p[0], exact().log_evidence, rtol=0, atol=1e-8)
    torch.testing.assert_close(normal.mode[0], exact().mean, rtol=0, atol=1e-7)
    torch.testing.assert_close(normal.covariance[0], exact().covariance, rtol=0, atol=1e-8)


def near():
    """A normal a little wider than the posterior."""
    return DiagNormal(exact().mean[None], torch.full((1, 3), -1.2, dtype=torch.float64))


def draws(s):
    noise = keys.normal(KEY, (s, 1, 3), torch.float64)
    return exact().mean + noise @ torch.linalg.cholesky(exact().covariance).mT


METHODS = {
    "smc": lambda p: smc(p, p.prior(), KEY, 200, 10),
    "annealed_importance": lambda p: annealed_importance(p, near(), KEY, 64, linear(5)),
    "importance": lambda p: importance(p, near(), KEY, 2000),
    "bridge": lambda p: bridge(p, near(), draws(500), KEY, 500),
}


@pytest.mark.parametrize("method", METHODS)
def test_evidence_of_every_kind_takes_a_posterior(regression, method):
    found = METHODS[method](regression)
    assert found.standard_error.item() < 0.5
    assert abs(found.log_p.item() - exact().log_evidence.item()) <= 4 * found.standard_error.item()


def test_gradients_of_the_elbo_are_of_the_exact_one(regression):
    """E log p is a quadratic of q's mean: its gradient there is that of log p at the mean."""
    loc = torch.tensor([[0.3, -0.2, 0.1]], dtype=torch.float64)

    def elbo(loc, key):
        q = DiagNormal(loc, torch.full_like(loc, -1.0))
        return pathwise(regression, q, q.noise(key, 4)).sum()

    exact_slope = torch.func.grad(lambda loc: regression(loc[None]).sum())(loc)
    found = quality(lambda key: torch.func.grad(elbo)(loc, key), keys.split(KEY, 200), exact_slope)["all"]
    assert found.errors <= found.limit


def test_draws_of_the_prior_have_float32_too():
    """Those that float32 does not tell from the edge of their support among them."""
    posterior = bayes.condition(bayes.item_response(2, 3), {"y": torch.ones(2, 3)})
    z = posterior.prior().noise(KEY, 400)
    assert z.dtype == torch.float32
    assert posterior.log_prior(z).isfinite().all()


def test_a_flat_regression_of_unscaled_data_is_least_squares():
    x = torch.stack([torch.ones(40), 100 + 15 * keys.normal(KEY, (40,))], 1).double()
    y = x @ torch.tensor([26.0, 0.6], dtype=torch.float64) + 18 * keys.normal(keys.key(9), (40,), torch.float64)
    posterior = bayes.condition(bayes.noisy_regression(2, math.inf), {"x": x, "y": y})
    mode = find_mode(posterior, posterior.start)
    torch.testing.assert_close(mode.z[0, :2], torch.linalg.lstsq(x, y).solution, rtol=1e-5, atol=1e-5)


def test_eight_schools_are_the_oracle():
    posterior = bayes.condition(bayes.eight_schools(), DATA)
    z = keys.normal(KEY, (5, 1, 10), torch.float64)
    torch.testing.assert_close(posterior(z), SCHOOLS.log_joint(z))


def test_centred_schools_are_the_others_in_other_coordinates():
    raw, centred = (bayes.condition(bayes.eight_schools(centred=c), DATA) for c in (False, True))
    z = keys.normal(KEY, (5, 1, 10), torch.float64)
    theta = raw.reported(z)
    there = centred.unconstrained({name: theta[name] for name in ("mu", "tau", "theta")})
    torch.testing.assert_close(centred(there) + 8 * theta["tau"].log(), raw(z))


@pytest.mark.parametrize(
    ("support", "log_density", "low", "high"),
    [
        (bayes.real(), lambda t: -t.square(), -math.inf, math.inf),
        (bayes.positive(), lambda t: 1.5 * t.log() - 2 * t, 0, math.inf),
        (bayes.above(-1), lambda t: -3 * t, -1, math.inf),
        (bayes.unit_interval(), lambda t: t.log() + 2 * torch.log1p(-t), 0, 1),
        (bayes.between(-1, 3), lambda t: -t.square(), -1, 3),
    ],
    ids=["real", "positive", "above", "unit interval", "between"],
)
def test_the_integral_over_z_is_that_over_the_parameter(support, log_density, low, high):
    posterior = bayes.condition(bayes.Model({"t": support}, lambda theta: log_density(theta["t"])))
    z = torch.linspace(-60, 60, 20_001, dtype=torch.float64)
    found = torch.trapezoid(posterior(z[:, None, None])[:, 0].exp(), z).item()
    f = lambda t: log_density(torch.tensor(t, dtype=torch.float64)).exp().item()  # noqa: E731
    assert found == pytest.approx(integrate.quad(f, low, high)[0], rel=1e-6)


@pytest.mark.parametrize("k", [3, 4])
def test_a_flat_dirichlet_stays_flat(k):
    """Its evidence is the simplex's volume, 1 / (k - 1)!, and its shares have mean 1 / k."""
    log_density = lambda theta: torch.zeros_like(theta["shares"][..., 0])  # noqa: E731
    posterior = bayes.condition(bayes.Model({"shares": bayes.simplex(k)}, log_density))
    q = DiagNormal(torch.zeros(1, k - 1).double(), torch.full((1, k - 1), math.log(1.8)).double())
    z = q.sample(q.noise(KEY, 40_000))
    weights = (posterior(z) - q.log_prob(z)).exp()
    volume, error = weights.mean(), weights.std() / 200
    assert abs(volume - 1 / math.factorial(k - 1)) <= 4 * error
    first = weights * (posterior.constrained(z)["shares"][..., 0] - 1 / k)
    assert abs(first.mean()) <= 4 * first.std() / 200


@pytest.mark.parametrize(
    ("support", "d"),
    [
        (bayes.simplex(2, 3), 4),
        (bayes.ordered(3), 3),
        (bayes.ordered(2, 3), 6),
        (bayes.correlation_cholesky(3), 3),
        (bayes.positive_definite(2), 3),
        (bayes.positive(2, 3), 6),
    ],
    ids=str,
)
def test_values_of_every_shape(support, d):
    model = bayes.Model({"first": bayes.real(), "t": support}, lambda theta: -theta["first"].square())
    posterior = bayes.condition(model)
    assert posterior.d == d + 1
    z = keys.normal(KEY, (4, 2, d + 1))
    theta = posterior.constrained(z)
    assert theta["t"].shape == (4, 2, *support.shape)
    torch.testing.assert_close(posterior.unconstrained(theta), z, rtol=1e-4, atol=1e-4)
    log_det = posterior(z) + theta["first"].square()
    alone = [support.forward(row)[1] for row in z.flatten(0, 1)[:, 1:]]
    torch.testing.assert_close(log_det.flatten(), torch.stack(alone), rtol=1e-4, atol=1e-5)


def test_names_are_as_python_indexes():
    model = bayes.Model(
        {"a": bayes.real(), "b": bayes.real(2), "c": bayes.simplex(2, 2)},
        lambda theta: theta["a"],
        derived=lambda theta: {"twice": 2 * theta["a"]},
    )
    posterior = bayes.condition(model)
    names = ("a", "b[0]", "b[1]", "c[0, 0]", "c[0, 1]", "c[1, 0]", "c[1, 1]", "twice")
    assert posterior.flat_names == names
    z = keys.normal(KEY, (3, posterior.d))
    flat = dict(zip(names, posterior.flat(z).unbind(-1), strict=True))
    torch.testing.assert_close(flat["twice"], 2 * flat["a"])
    torch.testing.assert_close(flat["c[1, 0]"], posterior.constrained(z)["c"][:, 1, 0])


def test_numbers_that_are_the_same_everywhere_are_not_listed():
    """Of a correlation's factor the 0s above the diagonal, and its first number, 1."""
    posterior = bayes.condition(
        bayes.Model({"l": bayes.correlation_cholesky(3)}, lambda theta: 0 * theta["l"][..., 0, 0])
    )
    assert posterior.flat_names == ("l[1, 0]", "l[1, 1]", "l[2, 0]", "l[2, 1]", "l[2, 2]")
    z = keys.normal(KEY, (3, posterior.d))
    rows, columns = torch.tensor([[1, 0], [1, 1], [2, 0], [2, 1], [2, 2]]).T
    assert torch.equal(posterior.flat(z), posterior.constrained(z)["l"][:, rows, columns])
    mixture = POSTERIORS["Gaussian mixture, d = 3"]
    flat = mixture.flat(mixture.starts(KEY, 50))
    assert flat.shape[1] == len(mixture.flat_names) == mixture.d + 1 + 4 + 6  # a share, factors' diagonals, and means
    assert (flat.std(0) > 0).all()


def test_a_batch_of_global_data_is_scaled_by_num_data():
    model = bayes.linear_regression(3)
    batch = bayes.condition(model, {"x": X[:5], "y": Y[:5]}, num_data=20)
    whole = bayes.condition(model, {"x": X, "y": Y})
    z = keys.normal(KEY, (4, 1, 3), torch.float64)
    torch.testing.assert_close(batch(z), whole.minibatch(torch.arange(5))(z))


def test_the_mean_over_every_minibatch_is_the_whole():
    """Of global parameters, and of local ones whose Jacobians are a datum's too."""
    local = bayes.Model(
        {"a": bayes.real(), "b": bayes.positive(5)},
        lambda theta: -theta["a"].square(),
        lambda theta, data: -(data["y"] - theta["a"][..., None] * theta["b"]).square(),
        local=("b",),
        log_local=lambda theta: -theta["b"],
    )
    for model, data in ((bayes.linear_regression(3), {"x": X[:5], "y": Y[:5]}), (local, {"y": Y[:5]})):
        whole = bayes.condition(model, data)
        z = keys.normal(KEY, (4, 1, whole.d), torch.float64)
        parts = [whole.minibatch(torch.tensor(each)) for each in itertools.combinations(range(5), 2)]
        torch.testing.assert_close(sum(part(z) for part in parts) / len(parts), whole(z))
        torch.testing.assert_close(sum(part.log_prior(z) for part in parts) / len(parts), whole.log_prior(z))


def of(support, **parts):
    """A model of one parameter a."""
    return bayes.Model({"a": support}, lambda theta: theta["a"], **parts)


def likelihood_of(f):
    return bayes.condition(of(bayes.real(), log_likelihood=f), {"y": Y})(torch.zeros(1, 1, 1))


REGRESSION, EIGHT = bayes.linear_regression(3), bayes.eight_schools()
OUTSIDE = {"mu": torch.zeros(()), "tau": -torch.ones(()), "theta_raw": torch.zeros(8)}
WRONG = {
    "a batch larger than the set": (lambda: bayes.condition(REGRESSION, {"x": X, "y": Y}, 5), "num_data"),
    "a batch with local parameters": (lambda: bayes.condition(EIGHT, DATA, 9), "num_data"),
    "too few rows": (lambda: bayes.condition(bayes.eight_schools(9), DATA), "theta_raw"),
    "rows that differ": (lambda: bayes.condition(REGRESSION, {"x": X, "y": Y[1:]}), "19 in y"),
    "data unknown": (lambda: bayes.condition(REGRESSION, {"x": X, "z": Y}), "'z'"),
    "data that are no dict": (lambda: bayes.condition(REGRESSION, Y), "data"),
    "data in two dtypes": (lambda: bayes.condition(REGRESSION, {"x": X.float(), "y": Y}), "y in"),
    "NaN in the data": (lambda: bayes.condition(EIGHT, {**DATA, "y": DATA["y"] * math.nan}), "data['y']"),
    "an error of 0": (lambda: bayes.condition(EIGHT, {**DATA, "sigma": 0 * DATA["y"]}), "data['sigma']"),
    "another width": (lambda: bayes.condition(bayes.linear_regression(2), {"x": X, "y": Y}), "data['x'] (n, 2)"),
    "no data": (lambda: bayes.condition(REGRESSION), "missing 'x'"),
    "a class": (lambda: bayes.condition(bayes.Model, DATA), "model"),
    "a value outside": (lambda: bayes.condition(EIGHT, DATA).unconstrained(OUTSIDE), "tau"),
    "a prior without draws": (lambda: bayes.condition(of(bayes.real())).prior(), "draw"),
    "z of another width": (lambda: bayes.condition(EIGHT, DATA)(torch.zeros(1, 1, 9)), "z (s, n, 10)"),
    "no support": (lambda: bayes.Model({}, lambda theta: theta["a"]), "support"),
    "a support by name": (lambda: of("positive"), "support of a"),
    "ends the wrong way": (lambda: of(bayes.between(1, 0)), "support of a"),
    "an infinite end": (lambda: of(bayes.above(-math.inf)), "support of a"),
    "a simplex of one": (lambda: of(bayes.simplex(1)), "support of a"),
    "no numbers": (lambda: of(bayes.real(0)), "support of a"),
    "local without a prior": (lambda: of(bayes.real(3), local=("a",)), "local"),
    "local of one number": (lambda: of(bayes.real(), local=("a",), log_local=lambda theta: theta["a"]), "local"),
    "a series shorter than its lags": (
        lambda: bayes.condition(bayes.autoregression(20), {"y": Y})(torch.zeros(1, 1, 22)),
        "20 lags",
    ),
    "a number for a name": (lambda: bayes.Model({1: bayes.real()}, lambda theta: theta[1]), "support"),
    "one name for a tuple": (lambda: of(bayes.real(3), local="a", log_local=lambda theta: theta["a"]), "local"),
    "a word for a column": (lambda: of(bayes.real(), columns={"y": "real"}), "columns"),
    "a list for a tensor": (lambda: bayes.condition(EIGHT, {**DATA, "y": [1.0] * 8}), "data['y']"),
    "a number for a density": (
        lambda: bayes.condition(bayes.Model({"a": bayes.real()}, lambda theta: 0.0))(torch.zeros(1, 1, 1)),
        "log_prior",
    ),
    "no samples": (lambda: bayes.condition(EIGHT, DATA)(torch.zeros(1, 10)), "z"),
    "a prior of a name that there is not": (
        lambda: bayes.condition(bayes.Model({"a": bayes.real()}, lambda theta: theta["b"]))(torch.zeros(1, 1, 1)),
        "'b'",
    ),
    "a likelihood of a name that there is not": (lambda: likelihood_of(lambda theta, data: data["x"]), "'x'"),
    "a sum over data": (lambda: likelihood_of(lambda theta, data: theta["a"] * data["y"].sum()), "log_likelihood"),
    "a prior not summed": (lambda: bayes.condition(of(bayes.real(2)))(torch.zeros(1, 1, 2)), "log_prior"),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_mistakes_are_named_in_one_line(mistake):
    call, named = WRONG[mistake]
    with pytest.raises((TypeError, ValueError, KeyError)) as raised:
        call()
    assert named in str(raised.value)
    assert "\n" not in str(raised.value)


def test_densities_that_raise_for_nan_are_asked_at_numbers_alone():
    """As those of torch.distributions are, of which a model may be made: elsewhere log p is NaN."""

    def log_prior(theta):
        return torch.distributions.Normal(0.0, 1.0).log_prob(theta["a"])

    posterior = bayes.condition(bayes.Model({"a": bayes.real()}, log_prior))
    z = torch.tensor([0.0, math.nan, math.inf])[:, None, None].requires_grad_()
    value = posterior(z)
    assert value.squeeze().isnan().tolist() == [False, True, True]
    (slope,) = torch.autograd.grad(value[0].sum(), z)
    assert slope.isfinite().all()
