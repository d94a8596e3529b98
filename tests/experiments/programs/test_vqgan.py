"""VQ-GAN as a program: the laws of programs, a critic that begins at its step, the command, a classifier's features."""

import dataclasses
import json
import shutil

import pytest
import torch

from jensen import laws
from jensen.core import keys, trees
from jensen.core.models.adversarial.patches import Patches
from jensen.core.models.quantised import GumbelVq, Vq, VqGan, autoencoder
from jensen.experiments import evaluate, train
from jensen.experiments.data.batches import Epochs
from jensen.experiments.data.images import digits
from jensen.experiments.programs.adversarial_codes import AdversarialCodesProgram
from jensen.experiments.programs.finished import read_codes
from jensen.experiments.run import metrics
from jensen.experiments.run.loop import Loop
from jensen.experiments.run.optimisers import Optimiser
from tests.experiments.process import run, same_files

KEY = keys.key(0)
DIGITS = digits()


def program(quantiser, start=2, **options):
    coder = autoencoder.conv((1, 8, 8), (2,), 2, quantiser)
    gan = VqGan(coder, Patches((1, 8, 8), (2,)), lambda x: x[:, 20:40])
    return AdversarialCodesProgram(
        coder, Epochs(30, 10), gan=gan, critic_optimiser=Optimiser(), start=start, **options
    )  # fmt: skip


PROGRAMS = {
    "a codebook that restarts": program(Vq(8, decay=0.5, least=0.9)),
    "a temperature that falls": program(GumbelVq(8), dynamic=True, temperature=lambda step: 1 / (1 + step)),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_they_keep_the_laws_of_programs(name):
    """Among them that a resumed run has the same bits, with two optimisers and a codebook."""
    laws.check(PROGRAMS[name], example=DIGITS.train[:30])


def test_the_critic_counts_from_its_step_on():
    """Until then the coder's gradient is that of the same without a critic, and the critic has none."""
    one = PROGRAMS["a codebook that restarts"]
    params, state = one.init(KEY, DIGITS.train[:30])
    batch = one.batch(DIGITS.train, KEY, 0)
    assert [one.schedules["game"](step) for step in range(4)] == [0, 0, 1, 1]

    def slopes(turn, group, factor):
        weights = {"game": torch.tensor(factor)}
        own = torch.func.grad(lambda own: turn({**params, group: own}, state, batch, KEY, weights).loss)(params[group])
        return torch.cat([t.flatten() for t in trees.leaves(own)])

    def alone(own):
        step = one.gan.coder_step({**params, "model": own}, state["model"], batch["data"], keys.split(KEY)[1])
        return (step.perceptual - step.coded.terms.objective).mean()

    expected = torch.cat([t.flatten() for t in trees.leaves(torch.func.grad(alone)(params["model"]))])
    torch.testing.assert_close(slopes(one.loss, "model", 0.0), expected)
    whole = slopes(one.loss, "model", 1.0)
    assert not torch.allclose(whole, expected)
    half = dataclasses.replace(one, weight=0.5)
    torch.testing.assert_close(slopes(half.loss, "model", 1.0), (whole + expected) / 2)
    assert not slopes(one.critic, "critic", 0.0).any()
    assert slopes(one.critic, "critic", 1.0).any()


FAST = [
    "vqgan", "--no-compile", "--steps", 8, "--batch", 20, "--channels", 4, "--quantiser", "vq(8,least=0.9)",
    "--patches", 4, "--game-start", 4, "--checkpoint-every", 3, "--log-every", 2,
]  # fmt: skip


@pytest.fixture(scope="module")
def of_labels(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classifier") / "run"
    run("classifier", "--no-compile", "--steps", 3, "--channels", "--hidden", 8, "--out", folder)
    return folder


def test_a_run_resumes_to_the_same_files_and_is_read_as_one_of_codes(of_labels, tmp_path, capsys, monkeypatch, refused):
    printed = run(*FAST, "--classifier", of_labels, "--out", tmp_path / "whole")
    assert "vqgan on digits: 360 test images of 64 grey pixels, squared-error likelihood, 4 × 4 codes of" in printed
    row = [row for row in metrics.read(tmp_path / "whole") if row["kind"] == "train"][-1]
    assert {"reconstruction", "perceptual", "game", "game_weight", "critic", "perplexity", "lr/critic"} <= set(row)
    with monkeypatch.context() as patch:
        patch.setattr(Loop, "step", lambda loop, step=Loop.step: {}[0] if loop.progress.step == 5 else step(loop))
        with pytest.raises(KeyError):
            run(*FAST, "--classifier", of_labels, "--out", tmp_path / "halves")
    run("classifier", "--no-compile", "--steps", 4, "--channels", "--hidden", 8, "--out", tmp_path / "other")
    go_on = ["--resume", tmp_path / "halves", "--classifier"]
    assert "is of a run on other data than are here now" in refused(train.main, *go_on, tmp_path / "other")
    shutil.copytree(of_labels, tmp_path / "moved")
    run(*go_on, tmp_path / "moved")
    for name in ("whole", "halves"):
        (tmp_path / name / "config.json").rename(tmp_path / name / ".lock")  # which names the place
    same_files(tmp_path / "whole", tmp_path / "halves")
    (tmp_path / "whole" / ".lock").rename(tmp_path / "whole" / "config.json")
    capsys.readouterr()
    evaluate.main([str(tmp_path / "whole")])
    assert capsys.readouterr().out.startswith("vqgan on digits: 360 test images")
    done, report = read_codes(tmp_path / "whole"), json.loads((tmp_path / "whole" / "report.json").read_text())
    decoded = done.model.decode_codes(done.params, done.state, done.model.codes(done.params, done.state, DIGITS.test))
    squared = (decoded - DIGITS.test).square().mean().item()
    assert report["findings"]["test"][0]["squared_error"] == pytest.approx(squared, rel=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--network", "two-maps"], "a vqgan has one map of codes: use --network conv or mlp"),
        (["--patches", 0], "expected --patches of at least 1, got 0"),
        (["--patches", 4, 4, 4, 4], "--patches 4 4 4 4: expected channels of one level or more"),
        (["--game-weight", -1], "expected a non-negative --game-weight, got -1"),
        (["--game-start", -1], "expected --game-start of at least 0, got -1"),
        (["--critic-lr", 0], "expected a positive --lr, got 0"),
        (["--perceptual", 1], "--perceptual weighs features of a --classifier, and none is given: leave it out"),
        (["--classifier", "nowhere"], "nowhere holds no run"),
        (["--positions", 3], "--network conv has no --positions: leave it out"),
    ],
)
def test_what_cannot_work_is_refused_with_the_fix(options, message, tmp_path, monkeypatch, refused):
    monkeypatch.chdir(tmp_path)
    assert message in refused(train.main, "vqgan", "--no-compile", *options)
    assert not list(tmp_path.iterdir())


def test_a_classifier_of_other_images_or_no_classifier_is_refused(of_labels, tmp_path, refused):
    sprites = ["--data", "sprites", "--classifier", of_labels]
    assert "is of images of 64 pixels, and these have 256" in refused(train.main, *FAST, *sprites)
    run("vq", "--no-compile", "--steps", 1, "--hidden", 4, "--quantiser", "vq(4)", "--out", tmp_path / "vq")
    said = refused(train.main, *FAST, "--classifier", tmp_path / "vq")
    assert "holds a vq, which classifies nothing: pass a run of train classifier" in said
