from itertools import combinations

import pytest
import torch

from jensen.core import keys, trees
from jensen.core.models import conjugate
from jensen.estimators.inference import cavi, svi
from jensen.laws.conjugate import CONJUGATE, EXAMPLES, N

KEY, F = keys.key(4), torch.float64


def assert_equal(found, expected, **tolerance):
    for a, b in zip(trees.leaves(found), trees.leaves(expected), strict=True):
        torch.testing.assert_close(a, b, **tolerance)


@pytest.mark.parametrize("name", CONJUGATE)
def test_all_data_and_a_whole_step_are_a_sweep(name):
    model, x = CONJUGATE[name], EXAMPLES[name]
    data = cavi.prepare(model, x)
    start = cavi.init(KEY, model, data)
    swept, of_sweep = cavi.update(start, model, data)
    moved, info = svi.update(svi.State(start.natural), model, data, N, 1.0)
    assert_equal(moved.natural, swept.natural, rtol=0, atol=0)
    assert info.objective == of_sweep.objective
    assert info.standard_error == 0


def test_elbos_of_minibatches_and_their_squared_errors_are_unbiased():
    """Over every batch of two of six data; that steps are is a law of conjugate models."""
    model = CONJUGATE["mixture"]
    data = cavi.prepare(model, EXAMPLES["mixture"])
    state = svi.init(KEY, model, data)
    infos = [
        svi.update(state, model, cavi.Data(data.rows[list(batch)]), N, 0.3)[1] for batch in combinations(range(N), 2)
    ]
    elbos = torch.stack([info.objective for info in infos])
    variances = torch.stack([info.standard_error.square() for info in infos])
    torch.testing.assert_close(elbos.mean(), svi.update(state, model, data, N, 0.3)[1].objective)
    torch.testing.assert_close(variances.mean(), elbos.var(correction=0))


def test_the_fixed_point_of_a_sweep_is_that_of_steps():
    """The mean natural gradient over all batches is 0 where a sweep moves nothing, and not elsewhere."""
    model, x = CONJUGATE["mixture"], EXAMPLES["mixture"]
    data = cavi.prepare(model, x)
    state = cavi.init(KEY, model, data)
    for _ in range(100):
        state, _ = cavi.update(state, model, data)

    def mean_step(natural):
        moved = [
            svi.update(svi.State(natural), model, cavi.Data(data.rows[list(batch)]), N, 0.5)[0].natural
            for batch in combinations(range(N), 2)
        ]
        return trees.map(lambda old, *new: torch.stack(new).mean(0) - old, natural, *moved)

    assert trees.norm(mean_step(state.natural)) < 1e-8
    assert trees.norm(mean_step(cavi.init(KEY, model, data).natural)) > 1e-2


def test_fit_comes_near_coordinate_ascent():
    x = keys.normal(keys.key(1), (300, 2), F) + 6 * torch.eye(3, 2, dtype=F)[torch.arange(300) % 3]
    model = conjugate.Mixture(conjugate.Shares(torch.ones(3, dtype=F)), conjugate.normals(x))
    ascent = cavi.fit(KEY, model, x)[1].objective[-1]
    posterior, trace = svi.fit(KEY, model, x, batch_size=30, epochs=5)
    assert ascent - trace.objective[-1] < 0.5
    assert trace.standard_error[-1] == 0
    assert (trace.standard_error[:-1] > 0).all()
    assert posterior.factors["weights"].concentration.sum() == pytest.approx(303)
    again = svi.fit(KEY, model, x, batch_size=30, epochs=5)[1]
    assert torch.equal(again.objective, trace.objective)


def test_what_does_not_fit_raises():
    model, x = CONJUGATE["mixture"], EXAMPLES["mixture"]
    data = cavi.prepare(model, x)
    state = svi.init(KEY, model, data)
    with pytest.raises(ValueError, match="num_data = 3 data or fewer, got 6"):
        svi.update(state, model, data, 3, 0.5)
    with pytest.raises(ValueError, match="expected forgetting in"):
        svi.fit(KEY, model, x, 4, forgetting=0.5)
