import warnings

import pytest
import torch
from sklearn.mixture import GaussianMixture

from jensen.core import keys
from jensen.core.distributions import FullNormal
from jensen.estimators.inference import em
from jensen.estimators.inference.covariances import KINDS

KEY, K, D, N = keys.key(3), 3, 2, 240
CENTRES = 4 * keys.normal(keys.key(2), (K, D), torch.float64)
X = keys.normal(keys.key(1), (N, D), torch.float64) * torch.tensor([1.0, 0.5]) + CENTRES[torch.arange(N) % K]
UPDATES = 300
SPELLING = {"full": "full", "tied": "tied", "diagonal": "diag", "spherical": "spherical"}  # scikit-learn's


def peer(start, kind):
    """scikit-learn's fixed point from the same start, after as many updates."""
    inverse = torch.linalg.inv(start.covariance)
    precisions = {
        "full": inverse, "tied": inverse[0],
        "diagonal": inverse.diagonal(dim1=1, dim2=2), "spherical": inverse[:, 0, 0],
    }[kind]  # fmt: skip
    mixture = GaussianMixture(
        K, covariance_type=SPELLING[kind], reg_covar=0, max_iter=UPDATES, tol=0.0,
        weights_init=start.weights, means_init=start.loc, precisions_init=precisions,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a tolerance of 0 is not met
        return mixture.fit(X.numpy())


@pytest.mark.parametrize("kind", KINDS)
def test_it_ends_where_scikit_learn_does_from_the_same_start(kind):
    data = em.prepare(X, kind)
    state = em.init(KEY, data, K)
    start = em.posterior(state, data)
    for _ in range(UPDATES):
        state, info = em.update(state, data)
    mixture = em.posterior(state, data)
    other = peer(start, kind)
    torch.testing.assert_close(mixture.weights, torch.as_tensor(other.weights_), atol=1e-6, rtol=0)
    torch.testing.assert_close(mixture.loc, torch.as_tensor(other.means_), atol=1e-6, rtol=0)
    if kind in ("full", "tied"):
        covariances = torch.as_tensor(other.covariances_).expand(K, D, D)
        torch.testing.assert_close(mixture.covariance, covariances, atol=1e-6, rtol=0)
    shares = torch.as_tensor(other.predict_proba(X.numpy()))
    torch.testing.assert_close(mixture.responsibilities(X), shares, atol=1e-6, rtol=0)
    assert info.objective.item() == pytest.approx(N * other.score(X.numpy()), abs=1e-9)
    _, trace = em.fit(KEY, X, K, kind)
    assert trace.converged
    assert trace.fall() < 8


@pytest.mark.parametrize("kind", KINDS)
def test_far_from_0_in_float32_it_is_what_it_is_in_float64(kind):
    near, _ = em.fit(KEY, X, K, kind)
    far, trace = em.fit(KEY, (X + 1000).float(), K, kind)
    own = (X + 1000).float().double() - X - 1000  # what float32 makes of the data
    error = 5 * own.std().item()
    torch.testing.assert_close(far.loc.double() - 1000, near.loc, atol=2e-3, rtol=0)
    torch.testing.assert_close(far.covariance.double(), near.covariance, atol=2e-3 + error, rtol=1e-3)
    assert trace.fall() < 8


def test_the_log_likelihood_is_the_distributions_and_its_terms_sum_to_it():
    mixture, trace = em.fit(KEY, X, K)
    log_p = mixture.distribution().log_prob(X[:, None])
    torch.testing.assert_close(trace.objective[-1], log_p.sum())
    torch.testing.assert_close(trace.terms["one_normal"] + trace.terms["gain"], trace.objective)
    one = FullNormal.from_covariance(X.mean(0)[None], X.T.cov(correction=0))
    torch.testing.assert_close(trace.terms["one_normal"][0], one.log_prob(X[:, None]).sum())
    assert trace.terms["gain"][-1] > 100


def test_more_starts_are_no_worse_and_one_component_is_one_normal():
    x = keys.normal(KEY, (60, D), torch.float64)
    once, more = (em.fit(KEY, x, 6, restarts=restarts)[1].objective[-1] for restarts in (1, 4))
    assert more >= once
    mixture, trace = em.fit(KEY, X, 1)
    torch.testing.assert_close(mixture.loc[0], X.mean(0))
    torch.testing.assert_close(mixture.covariance[0], X.T.cov(correction=0))
    assert trace.terms["gain"][-1].abs() < 1e-9


def raised(key, x, k):
    """One start's mixture and log likelihoods, with nothing moved."""
    data = em.prepare(x)
    state, objectives = em.init(keys.split(key, 1)[0], data, k), []
    for _ in range(250):
        state, info = em.update(state, data)
        objectives.append(info.objective)
    return em.posterior(state, data), torch.stack(objectives)


def test_a_component_on_equal_data_is_at_the_floor_and_is_named():
    """Its likelihood has no bound; the log likelihood does not fall while the floor is met."""
    x = torch.cat([X, X[:1].expand(30, -1) + 20])
    mixture, objective = raised(KEY, x, 4)
    assert mixture.floored.sum() == 1
    assert objective.diff().min() > -1e-10  # rounding, of covariances of 1e-6
    lone = mixture.covariance[mixture.floored][0]
    torch.testing.assert_close(lone, torch.diag(1e-6 * x.var(0, correction=0)), rtol=1e-3, atol=1e-12)
    assert "at their floor" in mixture.verdict()


@pytest.mark.parametrize(
    ("key", "x"),
    [
        (KEY, torch.cat([X, torch.tensor([[30.0, -20.0]], dtype=X.dtype)])),  # one datum far from all others
        (keys.key(3), (2 * keys.normal(keys.key(1), (300, D), X.dtype)).round()),  # many rows alike
    ],
)
def test_components_that_collapse_on_equal_data_are_moved(key, x):
    before, _ = raised(key, x, 5)
    assert before.degenerate().any()
    mixture, trace = em.fit(key, x, 5)
    assert not mixture.degenerate().any()
    assert "every component has data" in mixture.verdict()
    assert trace.fall() < 8
    assert trace.objective[-1] > em.fit(key, x, 1)[1].objective[-1] + 5


def test_no_more_components_than_distinct_data_and_as_many_are_at_the_floor():
    x = X[:4].repeat(5, 1)
    assert em.fit(KEY, x, 4)[0].degenerate().all()
    with pytest.raises(ValueError, match="no more than the distinct data, got 5"):
        em.fit(KEY, x, 5)


def test_a_component_without_data_is_named_and_harms_nothing():
    data = em.prepare(X)
    fitted, _ = em.fit(KEY, X, K)
    idle = em.NormalMixture(
        torch.cat([fitted.weights, torch.zeros(1)]), torch.cat([fitted.loc, fitted.loc[:1] + 1]),
        torch.cat([fitted.covariance, fitted.covariance[:1]]), torch.zeros(K + 1).bool(), torch.ones(K + 1),
    )  # fmt: skip
    state, info = em.update(em.init_at(idle, data), data)
    assert info.objective.isfinite()
    assert info.counts[-1] < 1e-300
    named = em.posterior(state, data)
    assert "less than one datum" in named.verdict()
    moved = named.reseeded(X)
    torch.testing.assert_close(moved.loc[-1], X[named.log_prob(X).argmin()])
    torch.testing.assert_close(moved.weights, torch.cat([named.weights[:K] * K / (K + 1), torch.ones(1) / (K + 1)]))
    state = em.init_at(moved, data)
    for _ in range(200):
        state, after = em.update(state, data)
    assert after.objective > info.objective + 1
    assert not em.posterior(state, data).degenerate().any()


def test_one_dimension_and_half_precision():
    mixture, _ = em.fit(KEY, X[:, :1], 2)
    assert mixture.covariance.shape == (2, 1, 1)
    assert mixture.loc.dtype == torch.float64
    assert em.fit(KEY, X.half(), 2)[0].loc.dtype == torch.float32


def test_columns_may_be_of_any_units_in_float32():
    units = torch.tensor([1e-4, 1e4])
    one, other = em.fit(KEY, X.float(), 2)[0], em.fit(KEY, X.float() * units, 2)[0]
    torch.testing.assert_close(one.loc * units, other.loc, rtol=1e-3, atol=0)
    torch.testing.assert_close(
        one.responsibilities(X.float()), other.responsibilities(X.float() * units), atol=1e-3, rtol=0
    )


def test_an_update_is_pure():
    data = em.prepare(X)
    state = em.init(KEY, data, K)
    first, again = (em.update(state, data)[0] for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_an_update_compiles(kind):
    data = em.prepare(X, kind)
    state = em.init(KEY, data, K)
    compiled = torch.compile(lambda state: em.update(state, data)[0], fullgraph=True, backend="aot_eager")(state)
    torch.testing.assert_close(tuple(compiled), tuple(em.update(state, data)[0]))


def test_what_has_no_mixture_is_refused():
    with pytest.raises(ValueError, match="expected x finite"):
        em.fit(KEY, torch.cat([X, torch.full((1, D), torch.nan)]), K)
    with pytest.raises(ValueError, match="constant columns 1"):
        em.fit(KEY, torch.cat([X[:, :1], torch.full((N, 1), 0.1)], 1), K)
    with pytest.raises(ValueError, match="expected components of 2 data or fewer, got 3"):
        em.fit(KEY, X[:2], K)
