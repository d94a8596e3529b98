"""The amortisation gap's parts: they sum, their errors are those of means over data, verdicts name the largest."""

import math

import pytest
import torch

from jensen import laws
from jensen.core import keys
from jensen.estimators.diagnostics import Amortisation, amortisation


def spread(mean, deviation, n=50):
    """n gaps of exactly this mean and standard deviation."""
    z = torch.linspace(-1, 1, n, dtype=torch.float64)
    return mean + deviation * z / z.std()


def test_parts_sum_to_the_gap_and_have_errors_over_data():
    found = amortisation(spread(0.6, 0.2), spread(0.5, 0.1), spread(0.2, 0.1))
    assert [round(part.item(), 6) for part in found[:4]] == [0.6, 0.2, 0.3, 0.1]
    assert found.generalisation_error == pytest.approx(math.hypot(0.2, 0.1) / 50**0.5)
    assert found.optimisation_error < 1e-9  # the same images before and after: their spread is no error
    assert found.gap_error == pytest.approx(0.2 / 50**0.5)


def test_errors_cover():
    """A part over its error is Student's t, of 19 degrees of freedom, or 38 for a difference of two sets of data."""

    def scores(key):
        test, train, on = (keys.normal(each, (20, 1), torch.float64)[:, 0] for each in keys.split(key, 3))
        found = amortisation(test, train, on)
        return torch.stack([found[i] / found[4 + i] for i in range(4)])

    drawn = torch.stack([scores(key) for key in keys.split(keys.key(3), 2000)])
    laws.mean_is(drawn.square(), torch.tensor([19 / 17, 19 / 17, 19 / 17, 38 / 36], dtype=torch.float64))


@pytest.mark.parametrize(
    ("train", "on", "words"),
    [
        (0.5, 0.1, "training the encoder for longer gains most"),
        (0.5, 0.5, "a larger encoder gains most"),
        (0.05, 0.05, "more data, or an encoder that fits the training data less closely, gains most"),
        (0.5, 0.26, "more than one may be the largest"),
    ],
)
def test_verdicts_name_the_largest_part_where_one_is(train, on, words):
    found = amortisation(spread(0.5, 0.1), spread(train, 0.1), spread(on, 0.1))
    assert words in found.verdict()
    assert "of the encoder's 0.500 ± 0.014 nats: capacity" in found.verdict()


def test_verdicts_say_so_where_nothing_is_known():
    none = amortisation(spread(0.01, 1), spread(0.01, 1), spread(0.01, 1))
    assert "no part is 2 standard errors above 0" in none.verdict()
    broken = Amortisation(*(torch.tensor(math.nan),) * 8)
    assert broken.verdict().startswith("no verdict")


def test_bad_gaps_raise():
    with pytest.raises(ValueError, match="expected test of two data or more, got 1"):
        amortisation(torch.zeros(1), torch.zeros(3), torch.zeros(3))
    with pytest.raises(ValueError, match="expected train and trained_on of the same data, got 3 and 4"):
        amortisation(torch.zeros(2), torch.zeros(3), torch.zeros(4))
    with pytest.raises(ValueError, match=r"expected train \(n,\)"):
        amortisation(torch.zeros(2), torch.zeros(3, 1), torch.zeros(3))
