"""The curves of a run show every row: training beside held-out data, each term on its own axis."""

import math

import pytest

from jensen.experiments.report import png, training
from jensen.experiments.report.drawing import apart


def rows(n=100, shift=0.0, every=10):
    train = [
        {"kind": "train", "step": 10 * i, "epoch": i // every, "loss": 30.0 - i, "objective": shift - 30.0 + i / 50,
         "reconstruction": -27.0 + i / 50, "kl": 3.0 + i / 100, "penalty": 0.0, "norm/model": 1.0, "norm/baseline": 2.0,
         "lr/model": 1e-3, "skipped": 0}
        for i in range(1, n + 1)
    ]  # fmt: skip
    held_out = [{"kind": "held-out", "step": 10 * i, "epoch": i // every, "score": -31.0 + i / 50}
                for i in range(every, n + 1, every)]  # fmt: skip
    return train + held_out


def axes(found):
    return {axis.get_title(): axis for axis in found.axes if axis.axison}


def lines(axis):
    return {line.get_label(): line for line in axis.lines}


def test_the_held_out_curve_is_beside_the_training_curve_at_each_epoch():
    drawn = lines(axes(training(rows()))["objective"])
    assert list(drawn["held-out"].get_xdata()) == list(range(100, 1001, 100))
    assert list(drawn["held-out"].get_ydata()) == [-31.0 + i / 50 for i in range(10, 101, 10)]
    assert drawn["held-out"].get_marker() != "None"
    assert len(drawn["training"].get_xdata()) == 100


def test_each_term_has_its_own_axis_and_groups_share_one():
    drawn = axes(training(rows()))
    assert set(drawn) == {
        "objective",
        "reconstruction",
        "KL",
        "norm of gradients",
        "learning rate: model",
    }
    low, high = drawn["KL"].get_ylim()
    assert (low, high) == pytest.approx((3.0, 4.0), abs=0.1)
    assert set(lines(drawn["norm of gradients"])) == {"model", "baseline"}
    assert {text.get_text() for text in drawn["norm of gradients"].texts} == {"model", "baseline"}


def test_a_states_norm_is_named_and_only_norms_that_differ_much_are_on_a_logarithmic_axis():
    falling = [
        {"kind": "train", "step": i, "norm/model": 2.0 ** (3 - i), "norm/state": 1.0, "loss": 1.0} for i in range(9)
    ]
    found = axes(training(falling))
    assert found["norm of gradients, and of the state"].get_yscale() == "log"
    assert axes(training(falling[:3]))["norm of gradients, and of the state"].get_yscale() == "linear"


def test_an_objective_with_a_penalty_is_drawn_beside_the_elbo():
    """Held-out scores are ELBOs: beside an objective that charges more for the KL they would look too good."""
    weighted = [row | {"penalty": 2.0} if row["kind"] == "train" else row for row in rows(shift=-2.0)]
    drawn = axes(training(weighted))
    assert list(drawn) == [
        "objective",
        "reconstruction",
        "KL",
        "penalty",
        "norm of gradients",
        "learning rate: model",
    ]
    elbo = lines(drawn["objective"])["training ELBO"]
    assert list(elbo.get_ydata()) == pytest.approx([row["objective"] for row in rows()[:100]])
    assert "training ELBO" not in lines(axes(training(rows()))["objective"])


@pytest.mark.parametrize("shift", [-9.0, 0.0, 9.0])
def test_no_curve_is_below_the_axis(shift):
    """The objective, which weights move, and the held-out score are both seen, but for the first steps of long runs."""
    axis = axes(training(rows(shift=shift)))["objective"]
    bottom, _ = axis.get_ylim()
    assert all(min(line.get_ydata()[2:]) >= bottom for line in axis.lines)


def test_a_loss_without_an_objective_is_drawn_beside_a_score_of_its_own():
    drawn = axes(training([{"kind": "train", "step": 1, "loss": 3.0, "critic": 2.0},
                           {"kind": "held-out", "step": 1, "score": 0.5}]))  # fmt: skip
    assert set(drawn) == {"score", "loss", "critic"}


@pytest.mark.parametrize(
    "few",
    [
        [],
        rows(1),
        rows(1, every=1),
        [{"kind": "train", "step": 50, "epoch": 0, "skipped": 50}],
        [{"kind": "train", "step": 1, "objective": None}, {"kind": "held-out", "step": 1, "score": None}],
        [{"kind": "train", "step": 1, "objective": math.nan, "kl": math.inf}],
        [*rows(2), {"kind": "train", "step": 30, "objective": math.nan, "kl": None}],
    ],
)
def test_no_drawing_fails_on_few_rows_or_none_that_is_finite(few):
    assert png(training(few)).startswith(b"\x89PNG")


def test_names_are_moved_apart_as_little_as_may_be():
    assert apart([0.1, 0.5, 0.9], 0.2) == pytest.approx([0.1, 0.5, 0.9])
    assert apart([0.5, 0.5, 0.5], 0.2) == pytest.approx([0.3, 0.5, 0.7])
    assert apart([0.0, 0.45, 0.5, 0.9], 0.2) == pytest.approx([0.0, 0.375, 0.575, 0.9])
    assert apart([], 0.1) == []


def test_names_are_beside_the_ends_of_lines_of_any_size():
    """Of an axis whose limits nothing has asked for before: names were placed by those of an empty one."""
    many = [{"kind": "train", "step": i, "perplexity/top": 70.0 + i, "perplexity/bottom": 40.0} for i in range(1, 9)]
    drawn = axes(training(many))["perplexity"]
    assert {text.get_text() for text in drawn.texts} == {"top", "bottom"}
    assert all(0 <= text.get_position()[1] <= 1 for text in drawn.texts)
