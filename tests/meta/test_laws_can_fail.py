"""Each assertion fails on a planted bug, and each strategy reaches the corners it is there for."""

import math

import pytest
import torch
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from torch.func import vmap

from jensen import laws
from jensen.core import bounds, keys, numerics
from jensen.core.distributions import DiagNormal
from jensen.laws import strategies
from tests.core.test_flows import random_coupling

KEY = keys.key(2)
SEARCH = settings(max_examples=2000, derandomize=True, phases=[Phase.generate])


def fails(law, *args):
    with pytest.raises(AssertionError):
        law(*args)


def reaches(strategy, corner):
    """The strategy has an instance in the corner; the first that is found will do."""
    find(strategy, corner, settings=SEARCH)


def fails_somewhere(strategy, law):
    """Hypothesis finds an instance on which the law fails."""

    def broken(instance):
        try:
            law(instance)
        except AssertionError:
            return True
        return False

    reaches(strategy, broken)


def test_kl_is_nonnegative_catches_swapped_and_cancelling_forms():
    def forgetful(pair):  # log scale's sign lost
        q, p = pair
        t = 2 * (numerics.bounded(q.log_scale) - numerics.bounded(p.log_scale))
        laws.kl_is_nonnegative(0.5 * (torch.exp(t) - 1 + t).sum(-1))

    def textbook(pair):  # float32 cancellation
        q = DiagNormal(*(t.float() * 1e-5 for t in pair[0]))
        laws.kl_is_nonnegative(0.5 * (torch.exp(2 * q.log_scale) + q.loc**2 - 1 - 2 * q.log_scale).sum(-1))

    fails_somewhere(strategies.pairs("normal"), forgetful)
    fails_somewhere(strategies.pairs("normal"), textbook)


def test_kl_is_zero_iff_equal_catches_a_constant_and_a_blind_kl():
    q = DiagNormal(torch.zeros(1, 2), torch.zeros(1, 2))
    p = DiagNormal(torch.zeros(1, 2), torch.ones(1, 2))
    fails(laws.kl_is_zero_iff_equal, lambda a, b: a.kl(b) + 1e-3, q, p)
    fails(laws.kl_is_zero_iff_equal, lambda a, b: (a.loc - b.loc).square().sum(-1), q, p)


def test_leave_one_out_catches_wrong_averages():
    unnormalised = [
        lambda log_w: torch.logsumexp(log_w, 0) - 2 * math.log(len(log_w)),  # the count taken off twice
        lambda log_w: -bounds.iwae(-log_w),  # the harmonic mean: falls with s
        lambda log_w: log_w.min(0).values,
    ]
    for wrong in unnormalised:
        fails_somewhere(strategies.log_weights(), lambda log_w, f=wrong: laws.leave_one_out(f, log_w))


def test_below_and_rises_catch_bounds_on_the_wrong_side():
    def forgets_the_count(case):
        oracle, logits = case
        laws.below(oracle.bound(logits, 2) + math.log(2), oracle.log_evidence())

    def falls(case):
        oracle, logits = case
        laws.rises([oracle.bound(logits, 2), oracle.bound(logits, 1)])

    fails_somewhere(strategies.sigmoid_beliefs(), forgets_the_count)
    fails_somewhere(strategies.sigmoid_beliefs(), falls)


def test_mean_is_at_most_catches_an_upper_value():
    fails(laws.mean_is_at_most, keys.normal(KEY, (1000, 1)) + 0.2, torch.zeros(1))


def test_chunks_agree_catches_noise_that_depends_on_the_chunk():
    whole = keys.normal(KEY, (6, 2, 3))
    fails(laws.chunks_agree, whole, [keys.normal(KEY, (3, 2, 3)), keys.normal(KEY, (3, 2, 3))], 0)
    restarted = [keys.normal(k, (3, 2, 3)) for k in keys.split(KEY)]
    fails(laws.chunks_agree, whole, restarted, 0)


def test_vmap_over_one_key_is_not_independent():
    same = vmap(lambda k: keys.normal(k, (1, 1, 2)))(KEY.expand(5, 3))
    assert same.std(0).max() == 0


@pytest.mark.parametrize(
    "corner",
    [
        lambda w: (w == -math.inf).all(0).any(),
        lambda w: (w == -math.inf).any() and torch.isfinite(w).all(0).any(),
        lambda w: w.max() == 1e4,
        lambda w: w.shape[0] >= 5 and w.shape[1] >= 4,
    ],
    ids=["datum without weight", "particle without weight", "huge weight", "large"],
)
def test_log_weights_reach_their_corners(corner):
    reaches(strategies.log_weights(), corner)


@pytest.mark.parametrize("edge", [-100.0, -20.0, 20.5, 100.0])
def test_normals_reach_scales_beyond_the_edge(edge):
    reaches(strategies.normals(), lambda q: bool((q.log_scale == edge).any()))


@given(strategies.linear_gaussians(), st.data())
def test_oracles_are_consistent(oracle, data):
    """The evidence is the joint less the posterior, at any z."""
    mean, covariance = oracle.posterior()
    z = data.draw(strategies.tensors((1, *mean.shape), st.floats(-2, 2)))
    log_posterior = torch.distributions.MultivariateNormal(mean, covariance).log_prob(z)
    torch.testing.assert_close((oracle.log_joint(z) - log_posterior)[0], oracle.log_evidence(), rtol=1e-7, atol=1e-7)


def test_is_invertible_catches_an_inverse_and_a_log_det_that_are_not():
    coupling = random_coupling(KEY, 3, 2)
    z = keys.normal(KEY, (4, 2, 3), torch.float64)

    class NoInverse(type(coupling)):
        def inverse(self, z):
            return self.forward(z)

    class HalfTheVolume(type(coupling)):
        def forward(self, z):
            there, log_det = super().forward(z)
            return there, log_det / 2

        def inverse(self, z):
            back, log_det = super().inverse(z)
            return back, log_det / 2

    laws.is_invertible(coupling, z)
    for wrong in (NoInverse, HalfTheVolume):
        fails(laws.is_invertible, wrong(*coupling), z)
