"""Laws that every instance of a part obeys, with the oracles, strategies and instances that prove them."""

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
    rises,
    roulette_is_unbiased,
    rows_sum_to_one,
    sandwiched,
    shifts_pass_through,
    terms_sum,
    weights_are_slopes,
)

__all__ = [
    "below",
    "bias_falls",
    "chunks_agree",
    "is_invertible",
    "kl_is_nonnegative",
    "kl_is_zero_iff_equal",
    "leave_one_out",
    "mean_is",
    "mean_is_at_most",
    "rises",
    "roulette_is_unbiased",
    "rows_sum_to_one",
    "sandwiched",
    "shifts_pass_through",
    "terms_sum",
    "weights_are_slopes",
]
