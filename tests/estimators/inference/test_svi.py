from itertools import combinations

import pytest
import torch

from jensen.core import keys, trees
from jensen.core.distributions import Dirichlet
from jensen.core.models import conjugate
from jensen.estimators.inference import cavi, svi

KEY, F, N = keys.key(4), torch.float64, 6
X = keys.normal(keys.key(1), (N, 2), F) + 6 * (torch.arange(N) % 2)[:, None]


def dirichlet(*shape):
    return Dirichlet(torch.ones(*shape, dtype=F))


def models():
    """Each kind with data of N rows."""
    sequences = keys.normal(KEY, (N, 5, 1), F) + 3 * (torch.arange(5) // 3)[:, None]
    counts = torch.floor(4 * keys.uniform(KEY, (N, 4), F))
    shares, sticks = (kind(torch.ones(2, dtype=F)) for kind in (conjugate.Shares, conjugate.Sticks))
    chain = conjugate.normals(sequences.flatten(0, 1))
    return {
        "mixture": (conjugate.Mixture(shares, conjugate.normals(X)), X),
        "process": (conjugate.Mixture(sticks, conjugate.normals(X)), X),
        "regression": (conjugate.regression(2), {"x": X, "y": X[:, 0] + keys.normal(KEY, (N,), F)}),
        "factors": (conjugate.factor_analysis(X, 1), X),
        "chains": (conjugate.HiddenMarkov(dirichlet(1, 2), dirichlet(2, 2), chain), sequences),
        "topics": (conjugate.Allocation(dirichlet(1, 2), dirichlet(2, 4)), counts),
    }


MODELS = models()


def assert_equal(found, expected, **tolerance):
    for a, b in zip(trees.leaves(found), trees.leaves(expected), strict=True):
        torch.testing.assert_close(a, b, **tolerance)


@pytest.mark.parametrize("name", MODELS)
def test_all_data_and_a_whole_step_are_a_sweep(name):
    model, x = MODELS[name]
    data = cavi.prepare(model, x)
    start = cavi.init(KEY, model, data)
    swept, told = cavi.update(start, model, data)
    moved, info = svi.update(svi.State(start.natural), model, data, N, 1.0)
    assert_equal(moved.natural, swept.natural, rtol=0, atol=0)
    assert info.objective == told.objective
    assert info.standard_error == 0


@pytest.mark.parametrize("name", MODELS)
def test_natural_gradients_and_elbos_of_minibatches_are_unbiased(name):
    """Over every batch of two of six data: a step's mean is all data's; of the first block where there are more."""
    model, x = MODELS[name]
    data = cavi.prepare(model, x)
    state = svi.init(KEY, model, data)
    whole, exact = svi.update(state, model, data, N, 0.3)
    steps, elbos, variances = [], [], []
    for batch in combinations(range(N), 2):
        part = trees.map(lambda t, batch=batch: t[list(batch)], data)
        moved, info = svi.update(state, model, part, N, 0.3)
        steps.append({block: moved.natural[block] for block in model.blocks[0]})
        elbos.append(info.objective)
        variances.append(info.standard_error.square())
    mean = trees.map(lambda *each: torch.stack(each).mean(0), *steps)
    assert_equal(mean, {block: whole.natural[block] for block in model.blocks[0]}, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(torch.stack(elbos).mean(), exact.objective)
    # the squared standard error is unbiased too: that of a mean of draws without replacement
    torch.testing.assert_close(torch.stack(variances).mean(), torch.stack(elbos).var(correction=0))


def test_the_fixed_point_of_a_sweep_is_that_of_steps():
    """The mean natural gradient over all batches is 0 where a sweep moves nothing, and not elsewhere."""
    model, x = MODELS["mixture"]
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
    model, x = MODELS["mixture"]
    data = cavi.prepare(model, x)
    state = svi.init(KEY, model, data)
    with pytest.raises(ValueError, match="num_data = 3 data or fewer, got 6"):
        svi.update(state, model, data, 3, 0.5)
    with pytest.raises(ValueError, match="expected forgetting in"):
        svi.fit(KEY, model, x, 4, forgetting=0.5)
