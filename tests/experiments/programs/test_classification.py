"""Classifiers as programs: the laws of programs, and a report whose numbers are those of its data."""

import numpy as np
import pytest

from jensen import laws
from jensen.core import keys, trees
from jensen.core.models import classifier
from jensen.experiments.data import labelled
from jensen.experiments.data.batches import Epochs
from jensen.experiments.programs.classification import ClassifierProgram
from jensen.experiments.run.folder import RunFolder
from jensen.experiments.run.loop import fit
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.settings import Run

KEY = keys.key(0)
DIGITS = labelled.digits()


def test_it_keeps_the_laws_of_programs():
    data = trees.map(lambda leaf: leaf[:30], DIGITS.train)
    laws.check(ClassifierProgram(classifier.mlp(64, (4,), 10), Epochs(30, 10)), example=data)


def test_the_report_has_the_means_and_errors_of_its_data():
    program, data = ClassifierProgram(classifier.mlp(64, (), 10), Epochs(30, 10)), DIGITS.test
    params, state = program.init(KEY, data)
    (found,) = program.report(params, state, data, KEY)
    scores = data["x"].double().numpy() @ params["model"]["0"]["weight"].double().numpy().T
    log_p = scores - np.log(np.exp(scores).sum(1, keepdims=True))
    nll, correct = -log_p[range(360), data["labels"].numpy()], 100.0 * (log_p.argmax(1) == data["labels"].numpy())
    for row, values in zip(found.rows, (correct, nll), strict=True):
        expected = values.mean(), values.std(ddof=1) / 360**0.5
        np.testing.assert_allclose((row["mean"], row["error"]), expected, rtol=1e-5)
        assert f"{row['name']:<28}{row['mean']:>9.2f} ± {row['error']:.2f} {row['unit']}" in found.summary


@pytest.mark.slow
def test_twenty_epochs_know_the_digits(tmp_path):
    """Above 95 % of held-out digits."""
    program = ClassifierProgram(classifier.conv((1, 8, 8), (16, 32), (64,), 10), Epochs(1437, 64), Optimiser(lr=3e-3))
    run = Run(epochs=20, batch=64, compile=False)
    fitted = fit(program, run, DIGITS.train, DIGITS.test, RunFolder(tmp_path, run, ""))
    (found,) = program.report(fitted.params, fitted.state, DIGITS.test, KEY)
    print(found.summary)
    assert found.rows[0]["mean"] > 95
