"""The tests of coverage by themselves, at exact draws of the posterior."""

import torch

from jensen.core import keys
from jensen.estimators.evidence import exploration, hmc
from jensen.estimators.evidence.moves import Step
from jensen.estimators.evidence.paths import Geometric
from tests.estimators import normalisers as gates
from tests.estimators.normalisers import F64, KEY

Q = gates.normal(3, 4)
PATH = Geometric.of(Q.log_prob, Q)
ENDS = exploration.Ends(PATH.start(KEY, 300), torch.zeros(300, 1, 3, dtype=F64), 100)


def test_a_step_that_suits_the_posterior_is_not_stuck_and_one_far_too_long_is():
    for size, stuck in ((0.5, False), (4.0, True)):
        step = Step(torch.full((3,), size, dtype=F64))
        assert (exploration.stuck(PATH, ENDS, hmc, step, keys.fold_in(KEY, 1)) == stuck).all()


def test_draws_of_the_posterior_do_not_move_on_and_draws_of_a_part_of_it_do():
    step, key = Step(torch.full((3,), 0.5, dtype=F64)), keys.fold_in(KEY, 2)
    assert not exploration.still_moving(PATH, ENDS, step, key).any()
    part = ENDS._replace(point=PATH.at(0.5 * ENDS.point.u))
    assert exploration.still_moving(PATH, part, step, key).all()
