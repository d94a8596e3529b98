"""A step that is not finite is named by its first cause, and changes nothing."""

import math
from dataclasses import replace

import pytest
import torch

from jensen.core import trees
from jensen.experiments.run import metrics
from jensen.experiments.run.errors import NonFiniteError
from jensen.experiments.run.folder import series
from jensen.experiments.run.loop import fit
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.program import Out
from tests.experiments.run.toys import RUN, Codebook, Regression, folder, interrupted, points


class Bad(Regression):
    """NaN for one datum from step 13 on."""

    def loss(self, params, state, batch, key, weights):
        out = super().loss(params, state, batch, key, weights)
        error = torch.where((batch["datum"] == 7) & (weights["pull"] >= 13 / 40), math.nan, out.terms["error"])
        return Out(out.loss + 0 * error.mean(), {**out.terms, "error": error}, state)


def test_a_step_that_is_not_finite_names_its_term_and_datum_and_changes_nothing(tmp_path):
    data = points()
    with pytest.raises(NonFiniteError, match=r"the term error is nan at datum 7 \(row \d of the batch, 1 of 10 data\)"):
        fit(Bad(), RUN, data, data, folder(tmp_path / "bad"))
    stopped = series(tmp_path / "bad")[-1]
    step = int(stopped.stem.split("-")[1])
    assert step >= 13
    plain = replace(RUN, checkpoint_every=1, keep=100)
    fit(Regression(), plain, data, data, folder(tmp_path / "good", plain))
    bad = folder(tmp_path / "bad").load(stopped)[0]
    good = folder(tmp_path / "good", plain).load(tmp_path / "good" / stopped.name)[0]
    assert all(torch.equal(bad[name], good[name]) for name in good)


def test_a_step_that_is_not_finite_leaves_state_and_average_as_they_were(tmp_path):
    class BadCodes(Codebook):
        def loss(self, params, state, batch, key, weights):
            out = super().loss(params, state, batch, key, weights)
            return out._replace(loss=torch.where(weights["pull"] >= 13 / 40, math.nan, out.loss))

    data, run = points(), replace(RUN, average=0.9, steps=20, checkpoint_every=13)
    good, raised = folder(tmp_path / "good", run), folder(tmp_path / "raised", run)
    interrupted(Codebook(), run, data, data, good, 15)
    with pytest.raises(NonFiniteError, match="step 13: the loss, or the norm of a gradient"):
        fit(BadCodes(), run, data, data, raised)
    run = replace(run, on_nan="skip")
    skipped = folder(tmp_path / "skipped", run)
    assert fit(BadCodes(), run, data, data, skipped).progress.skipped == 7
    expected = good.load(series(good.path)[-1])[0]
    for where, step in ((raised, 13), (skipped, 20)):
        tensors, stand = where.load(series(where.path)[-1])
        assert stand["step"] == step
        assert [name for name in expected if not torch.equal(tensors[name], expected[name])] == []


def test_parameters_that_an_update_spoils_are_never_saved(tmp_path):
    """The last good checkpoint stays: it is the one that something can be learned from."""
    data, run = points(), replace(RUN, checkpoint_every=3, keep=1)
    program = Regression(optimiser=Optimiser("sgd", lr=1e10))
    where = folder(tmp_path, run)
    with pytest.raises(NonFiniteError) as stopped:
        fit(program, run, data, data, where)
    assert "start anew with a lower --lr" in str(stopped.value) or "parameters are unchanged" in str(stopped.value)
    (path,) = series(tmp_path)
    assert all(t.isfinite().all() for t in where.load(path)[0].values())


def test_steps_that_are_not_finite_are_skipped_by_choice(tmp_path):
    data, run = points(), replace(RUN, on_nan="skip")
    fitted = fit(Bad(), run, data, data, folder(tmp_path, run))
    assert fitted.progress.skipped > 0
    assert all(leaf.isfinite().all() for leaf in trees.leaves(fitted.params))
    assert metrics.read(tmp_path)[-1]["skipped"] == fitted.progress.skipped


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (lambda p, s: (trees.map(lambda t: t / 0, p), s), "the parameter model.shift is not finite"),
        (lambda p, s: (p, {**s, "count": s["count"] / 0}), "the state count is not finite"),
    ],
)
def test_what_was_not_finite_before_the_step_is_named(tmp_path, spoil, line):
    class Spoiled(Codebook):
        def init(self, key, data):
            return spoil(*super().init(key, data))

    with pytest.raises(NonFiniteError, match=line):
        fit(Spoiled(), RUN, points(), points(), folder(tmp_path))


def test_a_gradient_that_overflows_is_named(tmp_path):
    class Steep(Regression):
        def loss(self, params, state, batch, key, weights):
            out = super().loss(params, state, batch, key, weights)
            return out._replace(loss=out.loss + (params["model"]["weight"].sum() ** 0.5))

    with pytest.raises(NonFiniteError, match=r"gradient of model\.weight is not finite"):
        fit(Steep(), RUN, points(), points(), folder(tmp_path))
