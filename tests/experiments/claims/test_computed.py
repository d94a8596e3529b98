"""Means carry their errors, relations hold where they should, and a difference says how far from 0 it is."""

import pytest
import torch

from jensen.experiments.claims.checked import check_at_least, check_seed
from jensen.experiments.claims.computed import Row, mean_and_error, with_error
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.settings import Run


def test_a_mean_has_the_error_of_independent_values():
    assert mean_and_error([1.0, 3.0]) == (2.0, pytest.approx(1.0))
    assert mean_and_error(torch.tensor([1, 2, 3, 6])) == (3.0, pytest.approx((14 / 3 / 4) ** 0.5))


def test_a_difference_in_errors():
    assert with_error(0.25, 0.1) == "+0.250 ± 0.100, 2.5 standard errors"
    assert with_error(-0.02, 0.01, "+.1%") == "-2.0% ± 1.0%, -2.0 standard errors"
    assert with_error(0.5, 0.0) == "+0.500 ± 0.000, without spread"


@pytest.mark.parametrize(
    ("relation", "computed", "holds"),
    [("=", 1.0, True), ("=", 1.5, False), ("≤", 0.0, True), ("≤", 1.5, False), ("≈", 1.01, True), ("≈", 1.03, False)],
)
def test_a_figure_holds(relation, computed, holds):
    assert Row("", "", computed, 1.0, 0.0, relation, digits=0.02).holds == holds
    assert Row("", "", computed, 1.0, 1.0, relation).holds


def test_settings_are_checked_in_order():
    check_at_least(Run(batch=3), batch=3, log_every=1)
    with pytest.raises(InputError, match="expected --log-every of at least 100, got 50"):
        check_at_least(Run(), batch=3, log_every=100, keep=9)
    check_seed(2**63 - 1)
    with pytest.raises(InputError, match=r"expected --seed in \[0, 2\^63\), got -1"):
        check_seed(-1)
