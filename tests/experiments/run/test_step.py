"""One step over two groups: each has its norm and is clipped by it, and none hides another's."""

import math

import pytest
import torch

from jensen.core import keys, trees
from jensen.experiments.run.step import gradient
from jensen.laws import instances

PROGRAM, DATA = instances.programs()["sbn, nvil"], instances.EXAMPLES["sbn, nvil"].double()
KEY = keys.key(3)
GROUPS = ("model", "baseline")


def step(clip=None, bias=None):
    """Gradients by group, and the numbers by name, at the first step."""
    params, state = PROGRAM.init(KEY, DATA)
    if bias is not None:
        params["baseline"][max(params["baseline"])]["bias"][0] = bias
    weights = {name: torch.tensor(f(0)) for name, f in PROGRAM.schedules.items()}
    batch, (turn,) = PROGRAM.batch(DATA, KEY, 0), PROGRAM.turns
    slopes, _, names, numbers = gradient(turn, clip)(params, state, batch, KEY, torch.tensor(0), weights)
    assert turn.groups == GROUPS
    return slopes, dict(zip(names, numbers.tolist(), strict=True))


def test_clipping_bounds_each_groups_gradient_and_not_the_reported_norms():
    free, numbers = step()
    clipped, reported = step(clip=1e-3)
    assert reported == numbers
    for group in GROUPS:
        assert numbers[f"norm/{group}"] == pytest.approx(trees.norm(free[group]).item(), rel=1e-6)
        assert trees.norm(clipped[group]).item() == pytest.approx(1e-3, rel=1e-5)
    for loose, whole in zip(trees.leaves(step(clip=1e6)[0]), trees.leaves(free), strict=True):
        assert torch.equal(loose, whole)


def test_a_gradient_that_overflows_in_one_group_is_seen_in_its_norm_alone():
    """The model's gradient and the objective are finite, the baseline's is not."""
    slopes, numbers = step(bias=1e153)
    assert math.isfinite(numbers["objective"])
    assert math.isfinite(numbers["norm/model"])
    assert torch.isfinite(trees.norm(slopes["model"]))
    assert not math.isfinite(numbers["norm/baseline"])
