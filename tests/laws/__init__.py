"""Laws that a part obeys, for parts of your own as for the library's.

    laws.check(StudentT(loc, log_scale))                   # raises, and names each broken law with its counterexample
    laws.check(my_bound, expected_failures={"at_most_the_log_mean_weight": "an upper bound"})

    @laws.parametrize({"student": StudentT(...), "my bound": my_bound})        # one pytest case per instance and law
    def test_mine(value, law):
        law(value)

Which laws a value owes follows from its kind and capabilities: `laws_for` lists them. Each law stands beside the bugs
that break it. `oracles` and `gates` have exact answers, `strategies` what Hypothesis draws, `instances` the parts of
the library. Needs the extra `test`.
"""

from jensen.laws import (
    bounds,
    closed_forms,
    coded,
    conjugate_models,
    density_models,
    discrete,
    distributions,
    estimators,
    exponential,
    flows,
    generating,
    models,
    one_pass,
    operations,
    posteriors,
    programs,
    quantiles,
    quantisers,
    relaxations,
    supports,
    tempering,
)
from jensen.laws._check import check, kind_of, laws_for, parametrize
from jensen.laws._law import Law, Subject, law
from jensen.laws.assertions import (
    below,
    bias_falls,
    chunks_agree,
    is_invertible,
    kl_is_nonnegative,
    kl_is_zero_iff_equal,
    leave_one_out,
    mean_is,
    mean_is_at_most,
    mean_is_exact,
    rises,
    roulette_is_unbiased,
    rows_sum_to_one,
    sandwiched,
    shifts_pass_through,
    terms_sum,
    weights_are_slopes,
)
from jensen.laws.operations import Operation

__all__ = [
    "Law",
    "Operation",
    "Subject",
    "below",
    "bias_falls",
    "bounds",
    "check",
    "chunks_agree",
    "closed_forms",
    "coded",
    "conjugate_models",
    "density_models",
    "discrete",
    "distributions",
    "estimators",
    "exponential",
    "flows",
    "generating",
    "is_invertible",
    "kind_of",
    "kl_is_nonnegative",
    "kl_is_zero_iff_equal",
    "law",
    "laws_for",
    "leave_one_out",
    "mean_is",
    "mean_is_at_most",
    "mean_is_exact",
    "models",
    "one_pass",
    "operations",
    "parametrize",
    "posteriors",
    "programs",
    "quantiles",
    "quantisers",
    "relaxations",
    "rises",
    "roulette_is_unbiased",
    "rows_sum_to_one",
    "sandwiched",
    "shifts_pass_through",
    "supports",
    "tempering",
    "terms_sum",
    "weights_are_slopes",
]
