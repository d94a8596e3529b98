"""Classifiers as programs: the laws of programs, and a report whose numbers are those of its data."""

import numpy as np
import pytest

from jensen import laws
from jensen.core import keys, trees
from jensen.core.models import classifier
from jensen.experiments import evaluate, train
from jensen.experiments.data import labelled
from jensen.experiments.data.batches import Epochs
from jensen.experiments.programs.classification import ClassifierProgram
from jensen.experiments.run.folder import RunFolder
from jensen.experiments.run.loop import fit
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.settings import Run
from tests.experiments.data.test_images import write_mnist
from tests.experiments.process import run

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


FAST = ["--no-compile", "--steps", 6, "--batch", 10, "--channels", 2, "--hidden", 4, "--checkpoint-every", 3]


def test_the_command_trains_resumes_and_is_not_taken_for_a_latent_model(tmp_path, refused):
    printed = run("classifier", *FAST, "--labels", 4, "--held-out", 0.25, "--out", tmp_path / "run")
    assert "classifier on digits, 6 steps on 30 labels: 360 test images of 10 classes\naccuracy " in printed
    assert {path.name for path in (tmp_path / "run" / "figures").iterdir()} == {"training.png"}
    longer = run("--resume", tmp_path / "run", "--steps", 8)
    assert "classifier on digits, 8 steps on 30 labels" in longer
    assert "holds a classifier, which has no latents" in refused(evaluate.main, tmp_path / "run")


def test_the_command_takes_mnists_files(tmp_path):
    write_mnist(tmp_path, n=40, test=12)
    data = ["classifier", "--data", "mnist", "--data-dir", tmp_path]
    assert "30 labels: 12 test images" in run(*data, *FAST, "--labels", 3, "--out", tmp_path / "run")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--labels", "900"], "expected from 1 to 136 data of each class, got 900: class 8 has no more"),
        (["--channels", "4", "4", "4", "4"], "--channels 4 4 4 4 on images (1, 8, 8): expected channels of fewer"),
        (["--hidden", "0"], "expected --hidden of at least 1, got (0,): leave it out"),
        (["--data-dir", "."], "digits needs none: use --data mnist, or drop it"),
        (["--data", "mnist", "--data-dir", "nowhere"], "--data-dir nowhere is no folder"),
        (["--labels", "2"], "--batch 100 exceeds the 20 training data: pass at most that many"),
        (["--device", "quantum"], "--device quantum cannot be used"),
    ],
)
def test_what_cannot_work_is_refused_with_the_fix(options, message, tmp_path, monkeypatch, refused):
    monkeypatch.chdir(tmp_path)
    assert message in refused(train.main, "classifier", "--no-compile", *options)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_twenty_epochs_know_the_digits(tmp_path):
    """Above 95 % of held-out digits."""
    program = ClassifierProgram(classifier.conv((1, 8, 8), (16, 32), (64,), 10), Epochs(1437, 64), Optimiser(lr=3e-3))
    settings = Run(epochs=20, batch=64, compile=False)
    fitted = fit(program, settings, DIGITS.train, DIGITS.test, RunFolder(tmp_path, settings, ""))
    (found,) = program.report(fitted.params, fitted.state, DIGITS.test, KEY)
    print(found.summary)
    assert found.rows[0]["mean"] > 95
