import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.func import grad

from jensen import laws
from jensen.core import keys, objectives
from jensen.core.distributions import DiagNormal
from jensen.laws import strategies

INF = math.inf
KEY = keys.key(8)
RECONSTRUCTION = torch.tensor([-80.5, -103.25, -95.0])
KL = torch.tensor([[3.0, 0.1, 9.0], [2.0, 0.3, 5.0], [4.0, 0.2, 7.0]])


def gaussians(n, d):
    q = DiagNormal(*(0.7 * keys.normal(KEY, (2, n, d), torch.float64)).unbind())
    prior = DiagNormal(torch.zeros(n, d).double(), torch.zeros(n, d).double())
    return q, prior, q.sample(keys.normal(keys.fold_in(KEY, 1), (4, n, d), torch.float64))


@pytest.mark.law
@given(st.data())
def test_terms_sum_to_the_objective(data):
    """In float32, whatever the weights: objective = reconstruction - kl - penalty, and kl = the sum of its parts."""
    n = data.draw(st.integers(1, 4))
    reconstruction = data.draw(strategies.tensors((n,), st.floats(-1e4, 10))).float()
    kl = data.draw(strategies.tensors((n, 3), st.floats(0, 300))).float()
    weight, aim = data.draw(st.floats(0, 1000)), data.draw(st.floats(0, 50))
    whole = kl.sum(-1)
    multiplier = objectives.Multiplier.start(kl).update(reconstruction, aim, 0.01)
    parts = objectives.Decomposition(*kl.T)
    for terms in (
        objectives.beta(reconstruction, whole, weight),
        objectives.capacity(reconstruction, whole, weight, aim),
        objectives.free_bits(reconstruction, kl, aim, (1, 2)),
        objectives.free_bits(reconstruction, kl, aim, (1, 2), per_datum=True, weight=weight),
        objectives.geco(reconstruction, whole, multiplier, aim, weight),
        objectives.beta_tc(reconstruction, parts, weight, 0.5, 2.0),
    ):
        laws.terms_sum(terms.objective, [terms.reconstruction, -terms.kl, -terms.penalty])
        torch.testing.assert_close(terms.kl, whole)
        assert torch.equal(terms.elbo, terms.reconstruction - terms.kl)
        if terms.parts:
            laws.terms_sum(terms.kl, list(terms.parts.values()))


def test_the_formulas():
    kl = KL.sum(-1)
    assert torch.equal(objectives.beta(RECONSTRUCTION, kl, 1.0).objective, RECONSTRUCTION - kl)
    assert torch.equal(objectives.beta(RECONSTRUCTION, kl, 4.0).objective, RECONSTRUCTION - 4 * kl)
    aimed = objectives.capacity(RECONSTRUCTION, kl, 10.0, 9.0).objective
    torch.testing.assert_close(aimed, RECONSTRUCTION - 10 * torch.tensor([3.1, 1.7, 2.2]))
    free = objectives.free_bits(RECONSTRUCTION, KL, 0.5)
    torch.testing.assert_close(free.objective, RECONSTRUCTION - KL[:, 0] - 0.5 - KL[:, 2])
    torch.testing.assert_close(free.penalty, 0.5 - KL[:, 1])
    parts = objectives.Decomposition(*KL.T)
    torch.testing.assert_close(objectives.beta_tc(RECONSTRUCTION, parts, 1.0).objective, RECONSTRUCTION - parts.kl)
    found = objectives.beta_tc(RECONSTRUCTION, parts, 6.0, 0.5, 2.0)
    torch.testing.assert_close(found.objective, RECONSTRUCTION - 0.5 * KL[:, 0] - 6 * KL[:, 1] - 2 * KL[:, 2])
    assert list(found.parts) == ["index_code_mi", "total_correlation", "dimension_wise_kl"]
    assert torch.equal(torch.stack(list(found.parts.values()), -1), KL)
    torch.testing.assert_close(parts.marginal_kl, KL[:, 1] + KL[:, 2])


def test_free_bits_of_each_datum_are_no_average():
    """The second dimension is .1, .3, .2: below a floor of .25 on average, but for one datum."""
    charge = torch.tensor([0.25, 0.3, 0.25])
    each = objectives.free_bits(RECONSTRUCTION, KL, 0.25, per_datum=True)
    torch.testing.assert_close(each.objective, RECONSTRUCTION - KL[:, 0] - charge - KL[:, 2])
    mean = objectives.free_bits(RECONSTRUCTION, KL, 0.25)
    torch.testing.assert_close(mean.objective, RECONSTRUCTION - KL[:, 0] - 0.25 - KL[:, 2])
    whole = objectives.free_bits(RECONSTRUCTION, KL, 11.5, (3,), per_datum=True)
    torch.testing.assert_close(whole.objective, RECONSTRUCTION - KL.sum(-1).clamp_min(11.5))


def test_capacity_pulls_towards_its_target_from_both_sides():
    slope = grad(lambda kl: objectives.capacity(torch.zeros(2), kl, 3.0, 5.0).objective.sum())(torch.tensor([4.0, 6.0]))
    assert torch.equal(slope, torch.tensor([3.0, -3.0]))


def test_geco_reaches_its_target():
    """Maximise -(theta - 2)^2 / 2 subject to -theta^2 >= -1: theta = 1, and the multiplier 1/2 balances the slopes."""
    theta = torch.tensor([1.8], dtype=torch.float64)
    geco = objectives.Multiplier.start(theta)
    assert geco.value == 1
    for _ in range(1500):
        slope = grad(
            lambda t, geco=geco: objectives.geco(-t.square(), (t - 2).square() / 2, geco, -1.0).objective.sum()
        )(theta)
        theta = theta + 0.05 * slope
        geco = geco.update(-theta.square(), -1.0, rate=0.05, decay=0.5)
    torch.testing.assert_close(theta, torch.ones(1, dtype=torch.float64), rtol=0, atol=1e-4)
    torch.testing.assert_close(geco.value, torch.tensor(0.5, dtype=torch.float64), rtol=0, atol=1e-4)


def test_geco_moves_by_the_average_violation_and_keeps_its_limit():
    geco = objectives.Multiplier.start(torch.zeros(1))
    broken = geco.update(torch.tensor([-5.0, -7.0]), -4.0, rate=0.1, decay=0.9)
    assert broken.log.item() == pytest.approx(0.2)  # the average is 2, not a tenth of it
    kept = broken.update(torch.tensor([-3.0]), -4.0, rate=0.1, decay=0.9)
    assert kept.log.item() == pytest.approx(0.2 + 0.1 * (0.9 * 0.1 * 2 - 0.1) / 0.19)
    for far, edge in ((-1e9, 100), (1e9, 0.01)):
        assert broken.update(torch.tensor([far]), 0.0, rate=1.0, limit=100.0).value.item() == pytest.approx(edge)


def test_geco_has_no_gradient_for_its_state():
    x, kl = torch.tensor([-5.0, -7.0]), torch.tensor([2.0, 3.0])
    state = objectives.Multiplier(torch.tensor(0.5), torch.tensor(0.0), torch.tensor(0.0))
    assert grad(lambda t: objectives.geco(x, kl, state._replace(log=t), -1.0).objective.sum())(torch.tensor(0.5)) == 0
    assert (grad(lambda t: sum(state.update(t, -1.0)))(x) == 0).all()


def test_geco_forgets_an_infinite_violation_and_keeps_its_dtype():
    geco = objectives.Multiplier.start(torch.zeros(1)).update(torch.tensor([-5.0]), -4.0)
    after = geco.update(torch.tensor([-INF, -5.0]), -4.0)
    assert all(torch.equal(a, b) for a, b in zip(after, geco, strict=True))
    assert all(t.isnan() for t in geco.update(torch.tensor([math.nan]), -4.0)[:2])
    assert {t.dtype for t in geco.update(torch.zeros(3).double(), -4.0)} == {torch.float32}
    assert {t.dtype for t in geco.update(torch.zeros(3).half(), -4.0)} == {torch.float32}


@pytest.mark.law
@given(strategies.normals(), st.floats(0, 19))
def test_a_committed_posterior_cannot_collapse(q, rate):
    prior = DiagNormal(*(torch.zeros_like(t) for t in q))
    committed = objectives.committed(q, rate)
    for collapsed in (committed, committed._replace(loc=torch.zeros_like(q.loc))):
        kl = collapsed.kl_per_dimension(prior)
        assert (kl >= rate * (1 - 1e-9) - 1e-12).all()
    assert (committed.log_scale <= q.log_scale.clamp_min(-20) + 1e-9).all()


def test_the_committed_rate_is_reached_and_left_with_a_gradient():
    q, prior = (DiagNormal(torch.zeros(1, 4), torch.full((1, 4), value)) for value in (19.0, 0.0))
    for rate in (0.0, 0.05, 0.5, 3.0):
        kl = objectives.committed(q, rate).kl_per_dimension(prior)
        torch.testing.assert_close(kl, torch.full((1, 4), rate), rtol=1e-4, atol=1e-6)
    slope = grad(lambda t: objectives.committed(DiagNormal(t, t), 0.5).log_scale.sum())(torch.zeros(1, 4))
    assert (slope > 0.01).all()
    edge = torch.full((1, 4), -19.5).half()
    slope = grad(lambda t: objectives.committed(DiagNormal(t, t), 19.0).log_scale.sum())(edge)
    assert (slope > 0.3).all()
    narrow = DiagNormal(torch.zeros(1, 1), torch.full((1, 1), -9.0))
    torch.testing.assert_close(objectives.committed(narrow, 0.1).log_scale, narrow.log_scale, rtol=1e-4, atol=0)
    for rate in (-1.0, 20.0, math.nan):
        for refused in (objectives.Committed, lambda rate: objectives.committed(q, rate)):
            with pytest.raises(ValueError, match=r"rate in \[0, 19\]"):
                refused(rate)


@pytest.mark.law
@given(st.integers(2, 9), st.integers(0, 50))
def test_stratified_rows_sum_to_one(n, more):
    like = torch.zeros(1, dtype=torch.float64)
    weights = objectives.batch_weights(n, n + more, "stratified", like)
    laws.rows_sum_to_one(weights)
    assert torch.allclose(weights.diagonal(), torch.full((n,), 1 / (n + more), dtype=torch.float64))
    weighted = objectives.batch_weights(n, n + more, "weighted", like)
    torch.testing.assert_close(weighted.sum(-1), torch.full((n,), 1 / (n + more), dtype=torch.float64))


def test_stratified_weights_are_unbiased_for_the_aggregated_posterior():
    """Over every minibatch that holds a datum; weights that forget the stratum are far off."""
    q, _, z = gaussians(5, 2)
    density = torch.distributions.Normal(q.loc, torch.exp(q.log_scale)).log_prob(z[0][:, None]).sum(-1).exp()
    gaps = []
    for i in range(5):
        batches = [(i, *rest) for rest in itertools.combinations([j for j in range(5) if j != i], 2)]
        weights = objectives.batch_weights(3, 5, "stratified", z)
        estimates = torch.stack([(weights[0] * density[i, list(b)]).sum() for b in batches])
        torch.testing.assert_close(estimates.mean(), density[i].mean())
        plain = torch.stack([density[i, list(b)].mean() for b in batches]).mean()
        gaps.append((plain / density[i].mean() - 1).abs())
    assert max(gaps) > 0.2


@pytest.mark.parametrize("kind", ["stratified", "weighted"])
def test_decomposition_sums_to_the_sampled_kl(kind):
    q, prior, z = gaussians(6, 3)
    parts = objectives.decompose(q, prior, z, 40, kind)
    torch.testing.assert_close(parts.kl, (q.log_prob(z) - prior.log_prob(z)).mean(0))
    single = objectives.decompose(*(DiagNormal(*(t.float() for t in d)) for d in (q, prior)), z.float(), 40, kind)
    laws.terms_sum((q.log_prob(z) - prior.log_prob(z)).mean(0), [t.double() for t in single])


def test_decomposition_of_all_the_data_is_exact():
    """By loops over data, dimensions and samples, with torch's densities."""
    q, prior, z = gaussians(4, 2)
    parts = objectives.decompose(q, prior, z, 4)
    normal = torch.distributions.Normal
    for i in range(4):
        expected = torch.zeros(3, dtype=torch.float64)
        for s in range(4):
            each = torch.stack([normal(q.loc[j], torch.exp(q.log_scale[j])).log_prob(z[s, i]) for j in range(4)])
            joint = torch.log(each.sum(-1).exp().mean())
            marginals = torch.log(each.exp().mean(0)).sum()
            base = normal(0.0, 1.0).log_prob(z[s, i]).sum()
            expected += torch.stack([each[i].sum() - joint, joint - marginals, marginals - base]) / 4
        torch.testing.assert_close(torch.stack([t[i] for t in parts]), expected)


def test_decomposition_of_known_aggregates():
    """Equal posteriors carry no information about the datum; independent coordinates have no total correlation."""
    n, grid = 9, torch.tensor([-6.0, 0.0, 6.0], dtype=torch.float64)
    same = DiagNormal(torch.zeros(n, 2).double(), torch.zeros(n, 2).double())
    z = same.sample(keys.normal(KEY, (50, n, 2), torch.float64))
    parts = objectives.decompose(same, same, z, n)
    for t in parts:
        torch.testing.assert_close(t, torch.zeros(n).double(), rtol=0, atol=1e-12)
    square = torch.cartesian_prod(grid, grid)
    line = torch.stack([torch.linspace(-40, 40, n).double()] * 2, -1)
    for loc, mi, tc in ((square, math.log(9), 0.0), (line, math.log(9), math.log(9))):
        q = DiagNormal(loc, torch.full_like(loc, -1.0))
        prior = DiagNormal(torch.zeros_like(loc), torch.zeros_like(loc))
        parts = objectives.decompose(q, prior, q.sample(keys.normal(KEY, (50, n, 2), torch.float64)), n)
        torch.testing.assert_close(parts.index_code_mi, torch.full((n,), mi).double(), rtol=0, atol=1e-6)
        torch.testing.assert_close(parts.total_correlation, torch.full((n,), tc).double(), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: objectives.beta(RECONSTRUCTION, KL, 2.0), r"expected kl \(n,\), got \(3, 3\)"),
        (lambda: objectives.capacity(RECONSTRUCTION[:, None], KL.sum(-1), 1.0, 1.0), "average over samples"),
        (lambda: objectives.batch_weights(5, 4, "stratified", KL), "n of 1 to data = 4, got 5"),
        (lambda: objectives.batch_weights(1, 4, "stratified", KL), "at least two data"),
        (lambda: objectives.batch_weights(3, 4, "other", KL), "expected weights"),  # pyright: ignore
        (lambda: objectives.batch_weights(3, 10.5, "stratified", KL), "expected data, a whole number >= 1, got 10.5"),
        (lambda: objectives.decompose(*gaussians(3, 2)[:2], torch.zeros(3, 2), 9), r"expected z \(s, n, d\)"),
        (lambda: objectives.decompose(*gaussians(3, 2)[:2], torch.zeros(0, 3, 2), 9), "s >= 1"),
        (lambda: objectives.decompose(*gaussians(3, 2), 10.5), "expected data, a whole number >= 1, got 10.5"),
    ],
)
def test_what_does_not_fit_raises(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()
