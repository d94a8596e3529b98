"""Held-out scores are recorded at each epoch, and stop a run that is judged by the best of them."""

import math
from dataclasses import replace

import torch

from jensen.experiments.run import metrics
from jensen.experiments.run.loop import fit
from jensen.experiments.run.optimisers import Optimiser
from tests.experiments.run.toys import RUN, Regression, folder, interrupted, points


def test_held_out_scores_are_recorded_at_each_epoch_and_stop_the_run(tmp_path):
    data, run = points(), replace(RUN, steps=1000, patience=2)
    program = Regression(optimiser=Optimiser("sgd", lr=0.4))
    fitted = fit(program, run, data, data, folder(tmp_path, run))
    scores = [row["score"] for row in metrics.read(tmp_path) if row["kind"] == "held-out"]
    assert fitted.progress.stopped
    assert fitted.progress.step < 1000
    assert fitted.progress.best == max(scores)
    assert max(scores[-2:]) <= max(scores[:-2])
    kept = Regression().score(fitted.params, {}, data, None).double().mean().item()
    assert math.isclose(kept, max(scores), rel_tol=1e-6)


def test_a_run_that_has_stopped_early_stays_so(tmp_path):
    data, run = points(), replace(RUN, steps=1000, patience=2)
    program, where = Regression(optimiser=Optimiser("sgd", lr=0.4)), folder(tmp_path, run)
    stopped = fit(program, run, data, data, where)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    again = fit(program, run, data, data, where)
    assert again.progress == stopped.progress
    assert torch.equal(again.params["model"]["bias"], stopped.params["model"]["bias"])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_best_is_that_of_the_run_whose_score_it_was(tmp_path):
    """A killed run has found a better one after its last checkpoint.

    The longer run that follows does not come to it, for its rates are others.
    """
    data, run = points(), replace(RUN, steps=25, patience=3, checkpoint_every=13, lr_final=0.0)
    program = Regression(optimiser=Optimiser("sgd", lr=0.45))
    interrupted(program, run, data, data, folder(tmp_path, run), 20)
    before = scores(tmp_path)
    longer = replace(run, steps=1000)
    fitted = fit(program, longer, data, data, folder(tmp_path, longer))
    after = scores(tmp_path)
    assert before[18] > max(after.values()) > after[18]
    kept = Regression().score(fitted.params, {}, data, None).double().mean().item()
    assert fitted.progress.best == max(after.values())
    assert math.isclose(kept, max(after.values()), rel_tol=1e-6)


def scores(path):
    """The held-out score by step."""
    return {row["step"]: row["score"] for row in metrics.read(path) if row["kind"] == "held-out"}


def test_a_score_that_is_no_number_is_never_the_best(tmp_path):
    class Sick(Regression):
        def score(self, params, state, batch, key):
            return super().score(params, state, batch, key) + math.nan

    data, run = points(), replace(RUN, steps=1000, patience=2)
    fitted = fit(Sick(), run, data, data, folder(tmp_path, run))
    assert fitted.progress.best is None
    assert fitted.progress.step == 12
    assert [row["score"] for row in metrics.read(tmp_path) if row["kind"] == "held-out"] == [None, None]
