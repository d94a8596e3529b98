"""Models of codes as programs: the laws of programs, a report whose numbers are those of its data, the command."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from jensen import laws
from jensen.core import keys
from jensen.core.models.latent.likelihoods import BERNOULLI
from jensen.core.models.quantised import Fsq, GumbelVq, ResidualVq, Vq, autoencoder, two_maps, usage
from jensen.experiments import evaluate, train
from jensen.experiments.data.batches import Epochs
from jensen.experiments.data.images import digits, drawn_once
from jensen.experiments.data.pixels import binarise
from jensen.experiments.programs.finished import read_codes, read_finished
from jensen.experiments.programs.quantisation import QuantisationProgram
from jensen.experiments.report.codes import Used, frequency_bits
from jensen.experiments.run import metrics
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.loop import Loop
from tests.experiments.process import run, same_files

KEY = keys.key(0)
DIGITS = digits()
RESETTING = Vq(8, decay=0.5, least=0.9)  # nearly every step restarts a code
PROGRAMS = {
    "a codebook that restarts": QuantisationProgram(autoencoder.mlp(64, (4,), 2, 3, RESETTING), Epochs(30, 10)),
    "levels": QuantisationProgram(autoencoder.mlp(64, (4,), 2, 3, ResidualVq(RESETTING, 2)), Epochs(30, 10)),
    "two maps": QuantisationProgram(
        two_maps.conv((1, 8, 8), (2,), (2,), 2, RESETTING, Fsq((3, 4))), Epochs(30, 10), dynamic=True
    ),
    "a temperature that falls": QuantisationProgram(
        autoencoder.mlp(64, (4,), 2, 3, GumbelVq(8)), Epochs(30, 10), temperature=lambda step: 1 / (1 + step)
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_they_keep_the_laws_of_programs(name):
    """Among them that a resumed run has the same bits, of averages, restarts and use."""
    laws.check(PROGRAMS[name], example=DIGITS.train[:30])


def test_codes_restart_within_the_steps_that_are_resumed():
    program = PROGRAMS["a codebook that restarts"]
    params, state = program.init(KEY, DIGITS.train[:30])
    out = program.loss(params, state, program.batch(DIGITS.train, KEY, 0), KEY, {})
    moved = out.state["model"].vectors
    z = program.model.encode(params["model"]["encoder"], program.batch(DIGITS.train, KEY, 0)["data"]).reshape(-1, 3)
    assert (moved[:, None] == z).all(-1).any()  # a mean of several is none of them
    assert set(out.terms) == {"objective", "reconstruction", "kl", "penalty", "commitment", "perplexity", "used"}


def test_a_temperature_reaches_the_quantiser():
    program = PROGRAMS["a temperature that falls"]
    model = program.at({"temperature": torch.tensor(0.25)})
    assert model.quantiser.temperature == 0.25
    assert dataclasses.replace(model, quantiser=program.model.quantiser) == program.model


def test_the_report_has_the_means_of_its_data():
    model = autoencoder.mlp(64, (4,), 2, 3, Vq(8))
    program = QuantisationProgram(model, Epochs(100, 10), title="of a title\n")
    params, state = program.init(KEY, DIGITS.train)
    what, found, of_use = program.report(params, state, DIGITS, KEY)
    codes = model.codes(params["model"], state["model"], DIGITS.test)
    decoded = model.decode_codes(params["model"], state["model"], codes)
    squared = (decoded - DIGITS.test).double().square().mean(1).numpy()
    (of_data,), (of_codes,) = found.rows, of_use.rows
    assert of_data["squared_error"] == pytest.approx(squared.mean(), rel=1e-6)
    assert of_data["squared_error_error"] == pytest.approx(squared.std(ddof=1) / 360**0.5, rel=1e-6)
    assert of_data["distortion"] == pytest.approx(64 * squared.mean() + 32 * np.log(np.pi), rel=1e-6)
    floor = (DIGITS.test - DIGITS.train.mean(0)).square().mean().item()
    assert of_data["floor"] == pytest.approx(floor, rel=1e-5)
    assert of_data["independent"] == pytest.approx(64 * floor + 32 * np.log(np.pi), rel=1e-5)
    assert of_data["bits"] == 2 * 3
    assert (of_codes["vectors"], of_codes["size"]) == (720, 8)
    assert of_codes["used"] == usage.used(codes, 8)
    assert of_codes["perplexity"] == usage.perplexity(codes, 8)
    assert (of_data["used"], of_data["evenness"]) == (of_codes["used"], of_codes["perplexity"] / 8)
    assert of_data["elbo"] == pytest.approx(-of_data["distortion"] - 6 * np.log(2))
    score = program.score(params, state, DIGITS.test, KEY)  # a bound, as the report's
    assert score.mean().item() == pytest.approx(of_data["elbo"], rel=1e-5)
    assert what.summary == "of a title\n"
    assert "no better than without codes" in found.summary  # an untrained one


def test_pixels_that_are_drawn_anew_are_judged_as_drawn_once():
    """Training data are grey then, and a Bernoulli's codes are of binary ones."""
    model = autoencoder.mlp(64, (4,), 2, 3, Vq(8), likelihood=BERNOULLI)
    program = QuantisationProgram(model, Epochs(100, 10), dynamic=True)
    params, state = program.init(KEY, DIGITS.train)
    _, found, _ = program.report(params, state, DIGITS._replace(test=binarise(KEY, DIGITS.test)), KEY)
    once = drawn_once(DIGITS.train, "dynamic")
    assert set(once.unique().tolist()) == {0, 1}
    assert found.rows[0]["floor"] == pytest.approx(
        (binarise(KEY, DIGITS.test) - once.mean(0)).square().mean().item(), rel=1e-5
    )


def test_bits_by_frequencies_and_uniform_use_by_hand():
    train, codes = torch.tensor([[0, 1], [0, 1], [0, 0]]), torch.tensor([[0, 1], [1, 1]])
    expected = -(np.log2(4 / 5) + np.log2(1 / 5)) / 2 - np.log2(3 / 5)
    assert frequency_bits(train, codes, 2) == pytest.approx(expected)
    assert 512 * Used("", 196, 512, 0.0, 0.0).expected == pytest.approx(512 * (1 - (511 / 512) ** 196))


FAST = [
    "vq", "--no-compile", "--steps", 6, "--batch", 20, "--hidden", 4, "--positions", 2,
    "--quantiser", "vq(8,least=0.9)", "--checkpoint-every", 3, "--log-every", 2,
]  # fmt: skip


def test_a_run_resumes_to_the_same_files_and_is_evaluated(tmp_path, capsys, monkeypatch):
    printed = run(*FAST, "--out", tmp_path / "whole")
    first = "vq on digits: 360 test images of 64 grey pixels, squared-error likelihood, 2 codes of vq(8,least=0.9)"
    assert first in printed
    assert {path.name for path in (tmp_path / "whole" / "figures").iterdir()} == {"training.png", "reconstructions.png"}
    row = next(row for row in metrics.read(tmp_path / "whole") if row["kind"] == "train")
    assert {"reconstruction", "commitment", "perplexity", "used"} <= set(row)
    with monkeypatch.context() as patch:
        patch.setattr(Loop, "step", lambda loop, step=Loop.step: {}[0] if loop.progress.step == 4 else step(loop))
        with pytest.raises(KeyError):
            run(*FAST, "--out", tmp_path / "halves")
    run("--resume", tmp_path / "halves")
    same_files(tmp_path / "whole", tmp_path / "halves")
    evaluate.main([str(tmp_path / "whole")])
    said = capsys.readouterr().out
    assert said.startswith("vq on digits: 360 test images, vq(8,least=0.9)\ntest")
    report = json.loads((tmp_path / "whole" / "report.json").read_text())["findings"]
    evaluation = tmp_path / "whole" / "evaluation"
    assert json.loads((evaluation / "report.json").read_text()) == report["test"][0]
    assert {path.name for path in evaluation.iterdir()} == {
        "report.txt", "report.json", "rows.jsonl", "codes.png", "reconstructions.png", "manifest.json",
    }  # fmt: skip
    done = read_codes(tmp_path / "whole")
    codes = done.model.codes(done.params, done.state, done.images.test)
    assert usage.perplexity(codes, 8).item() == pytest.approx(report["codes"][0]["perplexity"])
    with pytest.raises(InputError, match="holds a vq, which has no latents"):
        read_finished(tmp_path / "whole")


def test_runs_of_codes_are_on_one_curve_with_others(tmp_path, capsys):
    for name, quantiser in (("one", "fsq(3, 3)"), ("two", "lfq(4)")):
        run(*FAST, "--quantiser", quantiser, "--out", tmp_path / name)
    evaluate.main([str(tmp_path / "one"), str(tmp_path / "two")])
    said = capsys.readouterr().out
    assert "fsq(3, 3)" in said.split("objective")[1]
    assert f"{2 * np.log(9):.2f}" in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--quantiser", "vqq(8)"], "--quantiser vqq(8): unknown quantiser 'vqq' (the nearest is 'vq')"),
        (
            ["--quantiser", "vq(9999)", "--positions", 2],
            "--quantiser vq(9999): expected size, at most the 2874 vectors",
        ),
        (["--quantiser", "lfq(17,groups=17)"], "has 131072 codes: expected 65536 or fewer"),
        (["--hidden", 0], "expected --hidden of at least 1, got (0,): leave it out"),
        (["--width", 0], "expected --width of at least 1, got 0"),
        (["--channels", 8], "--network mlp has no --channels: leave it out"),
        (["--network", "two-maps", "--channels", 4, 4, 4], "--channels 4 4 4: expected above of fewer levels"),
        (["--network", "conv", "--channels", 4, 4, 4, 4], "--channels 4 4 4 4: expected channels of one level or more"),
        (["--temperature-final", 0.1], "--temperature-final is for soft-vq and gumbel-vq"),
        (["--quantiser", "soft-vq(8)", "--temperature-final", 0], "expected a positive --temperature-final, got 0"),
        (["--likelihood", "bernoulli"], "a bernoulli likelihood needs binary pixels"),
    ],
)
def test_what_cannot_work_is_refused_with_the_fix(options, message, tmp_path, monkeypatch, refused):
    monkeypatch.chdir(tmp_path)
    assert message in refused(train.main, "vq", "--no-compile", *options)
    assert not list(tmp_path.iterdir())


def test_parts_of_a_batch_are_refused_where_codes_are_compared_with_their_mean(tmp_path, refused):
    said = refused(train.main, *FAST, "--quantiser", "lfq(3)", "--accumulate", 2, "--out", tmp_path / "run")
    assert "the diversity of codes is a batch's" in said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "number", "least"),
    [("vq-digits", "evenness", 0.8), ("fsq-digits", "used", 0.95), ("vqgan-digits", "used", 0.95)],
)
def test_recipes_beat_their_floors_and_use_their_codes(recipe, number, least, tmp_path):
    """A fifth of the mean image's squared error, and a nat below independent pixels, within 90 s on two cores."""
    run(recipe, "--out", tmp_path / "run")
    (found,) = json.loads((tmp_path / "run" / "report.json").read_text())["findings"]["test"]
    print(found)
    assert found["squared_error"] < found["floor"] / 5
    assert found["distortion"] < found["independent"] - 1
    assert found[number] >= least
