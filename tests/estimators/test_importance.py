import math

import pytest
import torch

from jensen import laws
from jensen.core import keys, trees
from jensen.core.bounds import iwae
from jensen.core.distributions import DiagNormal
from jensen.estimators.evidence import draw, from_log_weights, importance
from jensen.estimators.evidence.chunks import BUDGET
from tests.estimators.normalisers import untouched
from tests.estimators.test_pathwise import model, parameters

KEY = keys.key(11)
ORACLE = model(n=6)
Q = DiagNormal(parameters(ORACLE)["loc"], parameters(ORACLE)["log_scale"] + 0.4)


@pytest.mark.parametrize("chunk", [1, 7, 100, 1000, 5000])
def test_particle_chunks_change_nothing(chunk):
    whole = importance(ORACLE.log_joint, Q, KEY, 1000, chunk=1000)
    chunked = importance(ORACLE.log_joint, Q, KEY, 1000, chunk=chunk)
    for a, b in zip(trees.leaves(whole), trees.leaves(chunked), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("hidden", [1, 500, 10**6])
def test_the_default_chunk_follows_the_bytes_of_the_density(hidden):
    """What the density makes of a particle decides; all calls are of one size, and results those of any chunk."""
    sizes = []

    def log_p(z):
        wide = z.new_ones(len(z), 6, hidden)
        sizes.append(wide.nbytes)
        return ORACLE.log_joint(z) + 0 * wide.sum(-1)

    k = 2000 if hidden == 500 else 2
    estimate = importance(log_p, Q, KEY, k)
    assert len(set(sizes[1:])) == 1
    assert sizes[1] <= BUDGET or sizes[1] == sizes[0] > BUDGET
    assert len(sizes) == 1 + math.ceil(k / min(k, max(1, BUDGET // sizes[0])))
    for a, b in zip(
        trees.leaves(estimate), trees.leaves(importance(ORACLE.log_joint, Q, KEY, k, chunk=3)), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_many_particles_of_a_small_problem_are_few_calls():
    calls = []
    importance(lambda z: calls.append(len(z)) or -z.square().sum(-1), DiagNormal(*torch.zeros(2, 1, 2)), KEY, 100_000)
    assert calls == [1, 50_000, 50_000]


def test_it_compiles():
    compiled = torch.compile(lambda key: importance(ORACLE.log_joint, Q, key, 100), backend="eager", fullgraph=True)
    for a, b in zip(trees.leaves(compiled(KEY)), trees.leaves(importance(ORACLE.log_joint, Q, KEY, 100)), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("size", [1, 4, 5])
def test_data_chunks_change_nothing(size):
    whole = importance(ORACLE.log_joint, Q, KEY, 200)
    parts = []
    for start in range(0, 6, size):
        part = slice(start, start + size)
        oracle, q = ORACLE._replace(x=ORACLE.x[part]), DiagNormal(Q.loc[part], Q.log_scale[part])
        parts.append(importance(oracle.log_joint, q, keys.at(KEY, datum=start), 200))
    for i, field in enumerate(trees.leaves(whole)):
        laws.chunks_agree(field, [trees.leaves(p)[i] for p in parts], 0, 1e-11)


def test_it_is_the_iwae_bound_of_its_weights():
    log_w = draw(ORACLE.log_joint, Q, 300, KEY)
    assert torch.allclose(importance(ORACLE.log_joint, Q, KEY, 300, chunk=64).log_p, iwae(log_w), rtol=1e-13)


def test_the_truth_is_within_its_standard_errors():
    estimate = importance(ORACLE.log_joint, Q, KEY, 20_000)
    gap = (estimate.log_p - ORACLE.log_evidence()).abs()
    assert (gap < 4 * estimate.standard_error).all()
    assert (estimate.standard_error < 0.05).all()


def test_the_standard_error_is_the_spread_of_repeated_estimates():
    estimates = [importance(ORACLE.log_joint, Q, k, 500, chunk=500) for k in keys.split(KEY, 400)]
    spread = torch.stack([e.log_p for e in estimates]).std(0)
    claimed = torch.stack([e.standard_error for e in estimates])
    known = claimed.isfinite()
    mostly = known.double().mean(0) > 0.9
    assert mostly.sum() >= 4
    assert ((spread / claimed.where(known, torch.nan).nanmean(0) - 1).abs() < 0.2)[mostly].all()


def test_the_exact_posterior_has_no_error_and_full_sample_size():
    oracle = model(n=4, d=1)
    mean, covariance = oracle.posterior()
    q = DiagNormal(mean, covariance[0].sqrt().log().expand(4, 1))
    estimate = importance(oracle.log_joint, q, KEY, 50, chunk=7)
    torch.testing.assert_close(estimate.log_p, oracle.log_evidence())
    assert (estimate.standard_error < 1e-12).all()
    torch.testing.assert_close(estimate.ess, torch.full((4,), 50.0, dtype=torch.float64))


def test_extreme_weights():
    columns = {
        "no support": [-math.inf] * 6,
        "one in the support": [-math.inf, -math.inf, -math.inf, -900.0, -math.inf, -math.inf],
        "one dominant": [0.0, 1000.0, 0.0, 0.0, 0.0, 0.0],
        "far below": [-1e5] * 6,
    }
    log_w = torch.tensor(list(columns.values()), dtype=torch.float64).T
    for chunk in (1, 2, 6):
        estimate = from_log_weights(lambda key, c=chunk: log_w[int(key[1]) : int(key[1]) + c], keys.key(0), 6)
        expected = torch.tensor([-math.inf, -900 - math.log(6), 1000 - math.log(6), -1e5], dtype=torch.float64)
        torch.testing.assert_close(estimate.log_p, expected)
        torch.testing.assert_close(estimate.ess, torch.tensor([0.0, 1, 1, 6], dtype=torch.float64))
        assert (estimate.standard_error[:3] == math.inf).all()  # one draw of six carries the second and the third
        assert estimate.standard_error[3] == 0


def test_what_is_beyond_k_is_left_out():
    log_w = torch.tensor([[0.0], [1.0], [2.0], [50.0]], dtype=torch.float64)
    estimate = from_log_weights(lambda key: log_w[int(key[1]) : int(key[1]) + 2], keys.key(0), 3)
    torch.testing.assert_close(estimate.log_p, iwae(log_w[:3]))


def test_no_graph_is_kept():
    x = ORACLE.weight.clone().requires_grad_()
    assert not importance(ORACLE._replace(weight=x).log_joint, Q, KEY, 3).log_p.requires_grad


def test_bad_k_and_shapes_raise():
    for bad in ({"k": 0}, {"k": 10.5}, {"k": 10, "chunk": 0}):
        name, value = list(bad.items())[-1]
        with pytest.raises((TypeError, ValueError), match=f"expected {name}, a whole number >= 1, got {value}"):
            importance(untouched, Q, KEY, **bad)
    with pytest.raises(ValueError, match=r"expected log_weights\(key\) \(s, n\)"):
        from_log_weights(lambda key: torch.zeros(3), KEY, 3)


def test_a_density_that_sums_over_data_raises():
    for wrong in (lambda z: ORACLE.log_joint(z).sum(-1), lambda z: ORACLE.log_joint(z)[:, :1]):
        with pytest.raises(ValueError, match="one value per sample and datum"):
            importance(wrong, Q, KEY, 10)
