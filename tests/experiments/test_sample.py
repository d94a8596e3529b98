"""The command on finished runs: what it leaves, that a seed draws the same, what it refuses; what other kinds draw."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from jensen.core import keys
from jensen.experiments import sample
from jensen.experiments.data.images import ImageData
from jensen.experiments.data.points import PointData
from jensen.experiments.programs import Classifier, Cvae, Flow, Lm, Semi, Vae, Vq
from jensen.experiments.programs.cvae import ConditionedImages
from jensen.experiments.programs.draws import check_drawing, drawn, pixels, shape
from jensen.experiments.programs.finished import FinishedRun, read_run
from jensen.experiments.run.errors import InputError
from tests.experiments.process import contents, last, run

SMALL = ["--no-compile", "--steps", "10", "--batch", "20", "--checkpoint-every", "10"]
TEXT = "one two three four five six seven eight nine ten, at last. " * 20
GREY = {"images": ImageData(pixels="grey"), "likelihood": "gaussian"}
KINDS = {
    "flow": Flow(hidden=(8,), points=PointData(points=500)),
    "cvae": Cvae(images=ConditionedImages(pixels="grey"), likelihood="gaussian", hidden=(8,)),
    "upper": Cvae(images=ConditionedImages(pixels="grey", condition="upper"), likelihood="gaussian", hidden=(8,)),
    "lagged": Vae(inner_steps=1, hidden=(8,), **GREY),
    "vamp": Vae(prior="vamp(5)", hidden=(8,), **GREY),
    "m1": Semi(model="m1", feature_hidden=(8,), **GREY),
    "m1-m2": Semi(model="m1-m2", hidden=(8,), feature_hidden=(8,), **GREY),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folder of finished runs of a GAN of digits and of a language model."""
    place = tmp_path_factory.mktemp("runs")
    (place / "text.txt").write_text(TEXT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jensen.experiments.report.points.DRAWN", 40)
        run("gan", "--data", "digits", "--hidden", 8, *SMALL, "--out", place / "gan")
    size = ["--width", 8, "--layers", 1, "--context", 32, "--lr-warmup", 0]
    run("lm", "--text", place / "text.txt", *size, *SMALL, "--out", place / "lm")
    return place


def untrained(settings):
    """As if a run of these settings had been read."""
    prepared = settings.prepare()
    return FinishedRun(Path("run"), settings, prepared, *prepared.program.init(keys.key(0), prepared.train))


def test_one_seed_draws_the_same_picture_into_the_runs_folder(runs, capsys, refused):
    folder = runs / "gan"
    before = contents(folder)
    sample.main([str(folder), "--n", "9"])
    path = folder / "samples-9-0.png"
    assert capsys.readouterr().out == f"9 draws of the gan in {folder}: {path}\n"
    first = path.read_bytes()
    assert first.startswith(b"\x89PNG")
    sample.main([str(folder), "--n", "9"])
    sample.main([str(folder), "--n", "9", "--seed", "1"])
    assert path.read_bytes() == first != (folder / "samples-9-1.png").read_bytes()
    assert {name: content for name, content in contents(folder).items() if name in before} == before
    path.write_text("mine")
    assert "samples-9-0.png holds something else: name a file with --out" in refused(sample.main, folder, "--n", 9)
    assert path.read_text() == "mine"
    sample.main([str(folder), "--n", "9", "--out", str(path)])
    assert path.read_bytes() == first


def test_the_numbers_are_the_programs_draws(runs, tmp_path):
    sample.main([str(runs / "gan"), "--n", "7", "--seed", "3", "--out", str(tmp_path / "x.npy")])
    found = np.load(tmp_path / "x.npy")
    assert found.shape == (7, 64)
    np.testing.assert_array_equal(found, drawn(read_run(runs / "gan"), keys.key(3), 7))


@pytest.mark.parametrize("kind", KINDS)
def test_other_kinds_draw_too(kind):
    done = untrained(KINDS[kind])
    x = drawn(done, keys.key(3), 7)
    width, of = {"flow": (2, None), "upper": (32, (1, 4, 8))}.get(kind, (64, (1, 8, 8)))
    assert x.shape == (7, width)
    assert shape(done, width) == of
    assert torch.equal(x, drawn(done, keys.key(3), 7))
    assert not torch.equal(x, drawn(done, keys.key(4), 7))
    assert x.isfinite().all()
    assert x.std(0).max() > 0


def test_a_run_is_read_with_the_state_of_its_parameters(runs):
    """The generator that draws is the average in the state, not what was trained last."""
    done, (_, stored) = read_run(runs / "gan"), last(runs / "gan")
    for name in ("state.average.0.weight", "params.generator.0.weight", "params.critic.0.weight"):
        of, *path = name.split(".")
        tree = done.state if of == "state" else done.params
        for part in path:
            tree = tree[part]
        assert torch.equal(tree, stored.tensors[name])
    program, key = done.prepared.program, keys.key(0)
    of_average = program.model.sample({**done.params, "generator": done.state["average"]}, keys.fold_in(key, 0), 5)
    assert torch.equal(drawn(done, key, 5), of_average)


def test_pixels_are_grey_values_whatever_the_run_takes(runs):
    done = read_run(runs / "gan")  # in [-1, 1]
    assert torch.equal(pixels(done, torch.tensor([-3.0, -1.0, 0.0, 1.0, 2.0])), torch.tensor([0.0, 0.0, 0.5, 1.0, 1.0]))
    x = torch.tensor([0.0, 0.25, 1.0])
    assert torch.equal(pixels(untrained(KINDS["lagged"]), x), x)


def test_classes_are_drawn_in_turn():
    done = untrained(KINDS["cvae"])
    program, params = done.prepared.program, done.params["model"]
    x = program.sample(done.params, done.state, keys.key(0), 20)
    p = program.model.prior(params, 20)
    z = p.sample(p.noise(keys.key(0), 1))
    assert torch.equal(x, program.model.given(params, z, torch.eye(10).repeat(2, 1)[None]).mean()[0])
    assert program.columns == 10
    assert untrained(KINDS["upper"]).prepared.program.columns is None
    every = torch.full((20,), 3)
    of_three = program.model.given(params, z, torch.eye(10)[every][None]).mean()[0]
    assert torch.equal(program.sample_of(done.params, done.state, keys.key(0), every), of_three)
    assert drawn(done, keys.key(0), 5, label=3).shape == (5, 64)


def test_a_class_that_a_run_has_not_is_refused():
    with pytest.raises(InputError, match=r"expected --class from 0 to 9, got 10: run has no such class"):
        drawn(untrained(KINDS["cvae"]), keys.key(0), 5, label=10)
    for name in ("upper", "vamp"):
        with pytest.raises(InputError, match=r"that draws of no class: leave --class out"):
            drawn(untrained(KINDS[name]), keys.key(0), 5, label=0)


def texts(capsys, *args):
    capsys.readouterr()
    sample.main(list(map(str, args)))
    return capsys.readouterr().out


def test_text_follows_its_prompt_and_its_seed(runs, capsys, tmp_path):
    folder = runs / "lm"
    found = texts(capsys, folder, "--prompt", "one ", "--length", 12)
    assert found.startswith("one ")
    assert found.endswith("\n")
    assert texts(capsys, folder, "--prompt", "one ", "--length", 12) == found
    two = texts(capsys, folder, "--prompt", "one ", "--length", 12, "--n", 2)
    assert two.startswith(found)
    assert two.count("one ") == 2
    assert two.removeprefix(found) != found
    likeliest = [texts(capsys, folder, "--prompt", "one ", "--temperature", 0, "--seed", seed) for seed in (0, 1)]
    assert likeliest[0] == likeliest[1]
    said = texts(capsys, folder, "--prompt", "one ", "--length", 12, "--out", tmp_path / "x.txt")
    assert said == f"text of the lm in {folder}: {tmp_path / 'x.txt'}\n"
    assert (tmp_path / "x.txt").read_text() == found


def test_text_is_shown_as_it_is_drawn(runs, monkeypatch):
    """Each part is flushed before the next is drawn."""

    class Shown(io.StringIO):
        flushed = 0

        def flush(self):
            self.flushed += 1

    shown = Shown()
    monkeypatch.setattr(sys, "stdout", shown)
    sample.main([str(runs / "lm"), "--prompt", "one ", "--length", "20"])
    assert shown.flushed >= 20


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        ("gan", ("--prompt", "a"), "--prompt is for text, and"),
        ("gan", ("--top-k", 3), "--top-k is for text, and"),
        ("gan", ("--out", "x.jpg"), "expected --out of a file .png or .npy, got x.jpg"),
        ("gan", ("--n", 0), "expected --n from 1 to"),
        ("gan", ("--class", 3), "that draws of no class: leave --class out"),
        ("gan", ("--class", -1), "expected --class from 0 on, got -1"),
        ("lm", ("--class", 3), "--class is for images, and"),
        ("gan", ("--seed", -1), "expected --seed in [0, 2^63), got -1"),
        ("gan", ("--device", "abacus"), "--device abacus cannot be used"),
        ("lm", ("--prompt", ""), "expected a --prompt of one character or more"),
        ("lm", ("--prompt", "a" * 40), "shorten the prompt, or draw fewer"),
        ("lm", ("--length", 33), "exceed the context, 32"),
        ("lm", ("--length", 0), "expected --length from 1 to"),
        ("lm", ("--temperature", -1), "--temperature: expected temperature in [0, inf), got -1"),
        ("lm", ("--nucleus", 0), "--nucleus: expected nucleus in (0, 1], got 0"),
        ("lm", ("--top-k", 0), "--top-k: expected top_k, a whole number >= 1, got 0"),
    ],
)
def test_what_cannot_be_drawn_is_one_clear_line(name, args, message, runs, refused):
    assert message in refused(sample.main, runs / name, *args)


def test_kinds_that_draw_nothing_are_refused_with_what_to_do():
    with pytest.raises(InputError, match=r"holds a classifier, which draws nothing: see its report\.txt"):
        check_drawing(untrained(Classifier()))
    with pytest.raises(InputError, match=r"holds a lm, which draws text and no images"):
        check_drawing(untrained(Lm(width=8, layers=1)))
    with pytest.raises(InputError, match=r"no prior to draw from: train one with experiments\.train prior --codes run"):
        drawn(untrained(Vq(quantiser="fsq(3, 3)", hidden=(8,))), keys.key(0), 5)


def test_folders_without_a_finished_run_are_refused(tmp_path, finished, refused):
    assert "holds no run: pass the folder" in refused(sample.main, tmp_path / "nowhere")
    (finished / "report.json").unlink()
    assert "has not finished: go on with experiments.train --resume" in refused(sample.main, finished)
