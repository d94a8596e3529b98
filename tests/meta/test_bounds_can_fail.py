"""Each law of bounds, divergences and objectives fails on a planted bug, and each strategy reaches its corners."""

import math

import torch
from hypothesis import strategies as st
from torch import Tensor

from jensen import laws
from jensen.core import bounds, objectives
from jensen.laws import strategies
from tests.core.test_bounds_debiased import two_valued
from tests.core.test_bounds_family import finite_weights
from tests.meta.test_laws_can_fail import fails, fails_somewhere, reaches


def test_sandwiched_catches_swapped_sums_and_a_forgotten_root():
    def swapped(case):  # left and right ends of the thermodynamic sums
        oracle, log_w = case
        right, left = (bounds.Tvo((0.0, 0.5, 1.0), side)(log_w) for side in ("right", "left"))
        laws.sandwiched(right, oracle.log_evidence(), left)

    def rootless(case):  # log E w^2, not its half
        oracle, log_w = case
        laws.sandwiched(bounds.elbo(log_w), oracle.log_evidence(), 2 * bounds.Cubo(2.0)(log_w))

    def chi2_below(case):  # an upper bound for a lower one
        oracle, log_w = case
        laws.below(bounds.Cubo(2.0)(log_w), oracle.log_evidence())

    def right_end(case):  # for a lower bound
        oracle, log_w = case
        laws.below(bounds.Tvo((0.0, 0.5, 1.0), "right")(log_w), oracle.log_evidence())

    for law in (swapped, rootless, chi2_below, right_end):
        fails_somewhere(strategies.populations(), law)


def test_shifts_pass_through_catches_what_is_not_homogeneous():
    wrong = [
        lambda log_w: bounds.iwae(2 * log_w),  # a power without its root
        lambda log_w: log_w.exp().mean(0).log1p(),
        lambda log_w: (torch.softmax(log_w, 0) * log_w).mean(0),
    ]
    for bound in wrong:
        fails_somewhere(finite_weights, lambda log_w, f=bound: laws.shifts_pass_through(f, log_w, 3.0))


def test_weights_are_slopes_catches_wrong_weights():
    def of_iwae(log_w):  # the weights of another bound
        laws.weights_are_slopes(bounds.Cubo(2.0), torch.softmax(log_w, 0), log_w)

    def over_everything(log_w):  # MIWAE's, normalised over all samples instead of each group
        laws.weights_are_slopes(bounds.Miwae(2, 3), torch.softmax(log_w, 0), log_w)

    def without_covariance(log_w):  # the thermodynamic sum's, as if its expectation had fixed weights
        laws.weights_are_slopes(bounds.Tvo((0.0, 1.0), "right"), torch.softmax(log_w, 0), log_w)

    for law in (of_iwae, over_everything, without_covariance):
        fails_somewhere(finite_weights, law)


def test_identities_catch_miwae_normalised_over_groups():
    """A published one divides by M where it means K, which M = K hides."""

    def miwae(log_w: Tensor, m: int, k: int) -> Tensor:
        return (torch.logsumexp(log_w.unflatten(0, (m, k)), 1) - math.log(m)).mean(0)

    log_w = torch.randn(6, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(miwae(log_w[:4], 2, 2), bounds.Miwae(2, 2)(log_w[:4]))
    assert (miwae(log_w, 1, 6) - bounds.iwae(log_w)).abs().min() > 1
    assert (miwae(log_w, 6, 1) - bounds.elbo(log_w)).abs().min() > 1


def test_bias_falls_catches_coefficients_of_another_order():
    def with_count(s, count):  # count L_s - (count - 1) L_{s-1}; the jackknife's count is s
        log_w, mass, evidence = two_valued(s)
        whole = bounds.iwae(log_w)
        others = (whole - bounds.Jackknife(1)(log_w)) / (s - 1) + whole  # mean over those left out
        return (mass * (count * whole - (count - 1) * others)).sum() - evidence

    right = [with_count(s, s) for s in (8, 16, 32)]
    laws.bias_falls(right, 2, 0.4)
    fails(laws.bias_falls, right, 1, 0.4)
    fails(laws.bias_falls, [with_count(s, s / 2) for s in (8, 16, 32)], 2, 0.4)
    fails(laws.bias_falls, [with_count(s, 1) for s in (8, 16, 32)], 2, 0.4)


def test_roulette_is_unbiased_catches_terms_unweighted_or_weighted_by_the_wrong_chance():
    survival = [1 / k for k in range(1, 6)]

    def law(chance):
        def of(log_w):
            levels = torch.stack([bounds.iwae(log_w[: k + 1]) for k in range(6)])
            steps = levels.diff(dim=0)
            values = [levels[0] + sum(steps[i] / chance(i) for i in range(k)) for k in range(1, 6)]
            laws.roulette_is_unbiased(values, survival, levels[5])

        return of

    law(lambda i: survival[i])(torch.arange(12.0, dtype=torch.float64).reshape(6, 2).sin())
    for wrong in (lambda i: 1.0, lambda i: survival[min(i + 1, 4)], lambda i: survival[max(i - 1, 0)]):
        fails_somewhere(finite_weights, law(wrong))


def test_terms_sum_catches_a_weight_forgotten_and_a_sign():
    reconstruction, kl = torch.tensor([-80.0]), torch.tensor([7.0])
    terms = objectives.beta(reconstruction, kl, 4.0)
    laws.terms_sum(terms.objective, [terms.reconstruction, -terms.kl, -terms.penalty])
    fails(laws.terms_sum, terms.objective, [terms.reconstruction, -terms.kl])
    fails(laws.terms_sum, terms.objective, [terms.reconstruction, terms.kl, -terms.penalty])
    fails(laws.terms_sum, terms.objective * (1 + 3e-6), [terms.reconstruction, -terms.kl, -terms.penalty])


def test_rows_sum_to_one_catches_two_columns_for_a_diagonal():
    """A published stride fills the first two columns; minibatch-weighted rows sum to 1 / N."""

    def published(n, data):
        m = n - 1
        weights = torch.full((n, n), 1 / m, dtype=torch.float64)
        weights.view(-1)[:: m + 1] = 1 / data
        weights.view(-1)[1 :: m + 1] = (data - m) / (data * m)
        weights[m - 1, 0] = (data - m) / (data * m)
        return weights

    fails(laws.rows_sum_to_one, published(4, 20))
    assert (published(4, 20).diagonal() != 1 / 20).any()
    fails(laws.rows_sum_to_one, objectives.batch_weights(4, 20, "weighted", torch.zeros(1).double()))
    for n, data in ((2, 2), (3, 8)):  # and the stratum counted twice
        doubled = torch.full((n, n), 1 / n, dtype=torch.float64) + torch.eye(n) / data
        fails(laws.rows_sum_to_one, doubled)


def test_kl_is_nonnegative_catches_a_generator_whose_slope_at_one_is_not_zero():
    """u log u without - u + 1 is negative at some ratio, and a divergence of it at some unnormalised pair."""
    fails_somewhere(strategies.tensors((3,), st.floats(-3, 3)), lambda t: laws.kl_is_nonnegative(t.exp() * t))


def test_populations_reach_unequal_counts_and_enclose_the_evidence():
    reaches(strategies.populations(), lambda case: len(case[1]) > len(case[0].support()))
    reaches(strategies.populations(), lambda case: bool((case[1].std(0) > 1).any()))
