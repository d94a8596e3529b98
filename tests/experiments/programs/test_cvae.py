"""The conditional autoencoder as a program: its rows, the laws of programs, its report, and the same `evaluate`."""

import json

import numpy as np
import pytest
import torch

from jensen import laws
from jensen.core import keys
from jensen.experiments import evaluate, train
from jensen.experiments.data import labelled
from jensen.experiments.data.batches import Epochs
from jensen.experiments.programs.conditions import ConditionalProgram
from jensen.experiments.programs.cvae import ConditionedImages, Cvae
from jensen.experiments.programs.latent import LatentProgram
from jensen.experiments.run.settings import Run
from tests.experiments.process import FEW, run

KEY = keys.key(0)
DIGITS = labelled.digits()
FAST = ["--no-compile", "--steps", 6, "--batch", 20, "--hidden", 8, "--latent", 2, "--evidence-k", 5,
        "--checkpoint-every", 3]  # fmt: skip


def settings(condition="labels", **own):
    return Cvae(
        images=ConditionedImages(condition=condition), hidden=(8,), latent=2, run=Run(batch=20, compile=False), **own
    )


def test_rows_are_images_and_their_labels():
    prepared = settings().prepare()
    x, y = prepared.train[:, :64], prepared.train[:, 64:]
    torch.testing.assert_close(x, DIGITS.train["x"])
    assert torch.equal(y.argmax(-1), DIGITS.train["labels"])
    assert (y.sum(-1) == 1).all()
    batch = prepared.program.batch(prepared.train, KEY, 0)
    assert torch.equal(batch["data"][:, 64:], y[batch["datum"]])
    assert torch.equal(prepared.data.test[:, 64:].argmax(-1), prepared.data.test_labels)  # binarised pixels, not labels


def test_rows_are_lower_halves_and_upper_ones():
    prepared = settings("upper").prepare()
    whole = torch.cat([prepared.train[:, 32:], prepared.train[:, :32]], -1)
    torch.testing.assert_close(whole, DIGITS.train["x"])
    assert prepared.data.shape == (1, 4, 8)


@pytest.mark.parametrize("prior", ["standard", "learned"])
def test_it_keeps_the_laws_of_programs(prior):
    prepared = settings(prior=prior).prepare()
    plain = {name: getattr(prepared.program, name) for name in LatentProgram.__dataclass_fields__}
    made = ConditionalProgram(**{**plain, "batches": Epochs(30, 10)}, labels=True)
    laws.check(made, example=prepared.train[:30].round())


def test_the_bounds_of_classes_are_means_over_their_images():
    prepared = settings().prepare()
    program = prepared.program
    params, _ = program.init(KEY, prepared.train)
    found = program.classes(params["model"], prepared.data, KEY)
    whole = sum(row["mean"] * row["images"] for row in found.rows) / sum(row["images"] for row in found.rows)
    x = prepared.data.test
    q = program.model.posterior(params["model"], x)
    z = q.sample(q.noise(KEY, 200))
    likelihood = program.model.likelihood(params["model"], z).log_prob(x).mean(0)
    expected = (q.kl(program.model.prior(params["model"], len(x))) - likelihood).mean()
    np.testing.assert_allclose(whole, expected.item(), rtol=0.01)
    assert [row["images"] for row in found.rows] == DIGITS.test["labels"].bincount().tolist()


def test_the_command_trains_and_resumes(tmp_path):
    printed = run("cvae", *FAST, "--prior", "learned", "--out", tmp_path / "run")
    assert "cvae on digits: 360 test images of 64 dynamic pixels, bernoulli likelihood, given labels" in printed
    assert "class, nats per datum" in printed
    rows = json.loads((tmp_path / "run" / "report.json").read_text())["findings"]["test"]
    assert rows[0]["pixels"] == 64
    assert {path.name for path in (tmp_path / "run" / "figures").iterdir()} == {"training.png", "classes.png"}
    assert "8 steps" in run("--resume", tmp_path / "run", "--steps", 8)


@pytest.mark.slow
def test_a_run_is_evaluated_as_every_latent_variable_model(tmp_path, capsys, quick_fits):
    run("cvae", *FAST, "--prior", "learned", "--out", tmp_path / "run")
    evaluate.main([str(tmp_path / "run"), *FEW])
    assert "cvae on digits: the first 6 of 360 test images" in capsys.readouterr().out


def test_halves_are_completed(tmp_path):
    printed = run("cvae", *FAST, "--condition", "upper", "--out", tmp_path / "run")
    assert "360 test images of 32 dynamic pixels" in printed
    assert {path.name for path in (tmp_path / "run" / "figures").iterdir()} == {"training.png", "completions.png"}


@pytest.mark.slow
@pytest.mark.parametrize("condition", ["labels", "upper"])
def test_the_recipe_beats_independent_pixels(condition, tmp_path):
    run("cvae-digits", "--no-compile", "--condition", condition, "--out", tmp_path / "run")
    (row,) = json.loads((tmp_path / "run" / "report.json").read_text())["findings"]["test"]
    print(row)
    assert row["nll"] + 3 * row["error"] < 0.9 * row["floor"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data", "sprites"], "--data sprites has no training labels: use digits or mnist"),
        (["--hidden"], "--hidden needs the width of one layer or more, where image and condition meet"),
        (["--latent", "0"], "expected --latent of at least 1, got 0"),
        (["--pixels", "grey"], "binarise with --pixels dynamic"),
        (["--data", "mnist", "--data-dir", "nowhere"], "--data-dir nowhere is no folder"),
    ],
)
def test_what_cannot_work_is_refused_with_the_fix(options, message, tmp_path, monkeypatch, refused):
    monkeypatch.chdir(tmp_path)
    assert message in refused(train.main, "cvae", "--no-compile", *options)
    assert not list(tmp_path.iterdir())
