"""The command on finished runs: what it prints and leaves, and that it leaves all of it or nothing."""

import dataclasses
import json
import os
import signal
from typing import NamedTuple

import pytest
import torch

from jensen.core import trees
from jensen.experiments import evaluate
from jensen.experiments.data.images import ImageData
from jensen.experiments.programs import Vae
from jensen.experiments.programs.estimation import Estimation
from jensen.experiments.report import assessment_figures, command_line, judging, written
from jensen.experiments.run import files
from jensen.experiments.run.folder import opened
from tests.experiments.process import FEW, contents
from tests.experiments.report.conftest import small_vae

pytestmark = pytest.mark.usefixtures("quick_fits")
LESS = [*FEW, "--gap-images", "0"]
ENDS = {signal.SIGINT: (130, "interrupted; "), signal.SIGTERM: (143, "terminated; ")}


class Run(NamedTuple):
    """What is read of a finished run."""

    folder: object
    settings: Vae
    model: object
    params: dict
    images: object


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Two run folders, of KL weights 1 and 4, as if trained: what reading them gives stands in for reading."""
    made = {}
    for name, objective, scale in (("one", "elbo", 1.0), ("two", "beta(4)", 0.5)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        model, params, images = small_vae(2)
        params["encoder"] = trees.map(lambda t, scale=scale: scale * t, params["encoder"])
        settings = Vae(hidden=(8,), latent=2, estimation=Estimation(objective=objective))
        made[folder] = Run(folder, settings, model, params, images)
    monkeypatch.setattr(command_line, "read_assessed", lambda folder, device: made[folder])
    monkeypatch.setattr(command_line, "are_of_text", lambda folders: False)
    return made


def test_a_run_is_judged_and_the_report_left_in_its_folder(runs, capsys):
    folder, before = next(iter(runs)), contents(next(iter(runs)))
    evaluate.main([str(folder), *FEW])
    printed = capsys.readouterr().out
    target = folder / "evaluation"
    figures = {f"{name}.png" for name in ("bounds", "annealing", "sandwich", "gaps", "weights", "units")}
    assert {path.name for path in target.iterdir()} == figures | {
        "report.txt", "report.json", "rows.jsonl", "manifest.json",
    }  # fmt: skip
    assert (target / "report.txt").read_text() in printed
    assert printed.startswith("vae on digits: the first 6 of 30 test images, bernoulli likelihood\n")
    assert len(printed.splitlines()) < 40
    numbers = json.loads((target / "report.json").read_text())
    assert numbers["images"] == 6
    parts = sum(numbers["gaps"][name] for name in ("capacity", "optimisation", "generalisation"))
    assert parts == pytest.approx(numbers["gaps"]["gap"], rel=1e-4, abs=1e-5)
    assert "amortisation_after_2_steps" in numbers["gaps"]
    rows = [json.loads(line) for line in (target / "rows.jsonl").read_text().splitlines()]
    assert {row["of"] for row in rows} == {"bound", "image", "simulated image", "dimension", "gap"}
    assert all(contents(folder)[name] == content for name, content in before.items())


def test_one_command_gives_the_same_bits_twice_and_another_seed_others(runs):
    folder, found = next(iter(runs)), []
    for _ in range(2):
        evaluate.main([str(folder), *FEW])
        found.append(contents(folder / "evaluation"))
    assert found[0] == found[1]
    evaluate.main([str(folder), *LESS, "--seed", "1"])
    assert contents(folder / "evaluation")["rows.jsonl"] != found[0]["rows.jsonl"]


def test_several_runs_make_a_rate_distortion_curve(runs, capsys):
    one, two = runs
    evaluate.main([str(two), str(one), *LESS])
    printed = capsys.readouterr().out
    assert "the best ELBO is that of β = " in printed
    assert "bernoulli likelihood, trained with objective beta(4)" in printed
    target = two / "rate-distortion"
    assert {path.name for path in target.iterdir()} == {
        "report.txt", "report.json", "rows.jsonl", "rate-distortion.png", "manifest.json",
    }  # fmt: skip
    assert not (one / "rate-distortion").exists()
    rows = [json.loads(line) for line in (target / "rows.jsonl").read_text().splitlines()]
    assert [(row["beta"], row["run"]) for row in rows] == [(1.0, str(one)), (4.0, str(two))]
    for folder, row in zip((one, two), rows, strict=True):
        found = json.loads((folder / "evaluation/report.json").read_text())
        assert [row[name] for name in ("rate", "distortion")] == [found[name] for name in ("rate", "distortion")]
    assert rows[0]["rate"] > rows[1]["rate"]


def test_what_is_in_the_way_of_the_curve_is_found_before_anything_is_done(runs, refused):
    one, two = runs
    (one / "rate-distortion").mkdir()
    (one / "rate-distortion/notes.txt").write_text("mine")
    assert "rate-distortion holds notes.txt" in refused(evaluate.main, one, two, *LESS)
    assert not (one / "evaluation").exists()
    loop = one.parent / "loop"
    loop.symlink_to(loop)
    assert "holds no run" in refused(evaluate.main, one, loop, *LESS)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "name one or more"),
        (("nowhere",), "nowhere holds no run: pass the folder"),
        ((__file__,), "holds no run: pass the folder"),
        (("a", "a"), "named twice"),
        (("a", "--k", "10", "5"), "expected rising counts of samples"),
        (("a", "--k", "0", "5"), "expected rising counts of samples"),
        (("a", "--images", "1"), "expected --images of 2 to 2^31, got 1"),
        (("a", "--chains", "1"), "expected --chains of 2 to 2^31, got 1"),
        (("a", "--temperatures", "0"), "expected --temperatures of 1 to 2^31, got 0"),
        (("a", "--gap-images", "-1"), "expected --gap-images of 0 to 2^31, got -1"),
        (("a", "--refine", "0"), "--refine 0: expected counts of steps of at least 1"),
        (("a", "--encoder-steps", "-1"), "expected --encoder-steps of 0 to 2^31, got -1"),
        (("a", "--gap-images", "1"), "ask for 2 or more, or --encoder-steps 0"),
        (("a", "--k", "1", str(10**12)), "and below 2^31"),
        (("a", "--chains", str(10**12)), "expected --chains of 2 to 2^31"),
        (("x" * 300,), "cannot be used (File name too long)"),
        (("a", "--seed", "-1"), "expected --seed in [0, 2^63), got -1"),
    ],
)
def test_bad_input_is_one_clear_line(args, message, tmp_path, monkeypatch, refused):
    monkeypatch.chdir(tmp_path)
    assert message in refused(evaluate.main, *args)
    assert not list(tmp_path.iterdir())


def test_runs_of_different_data_are_refused_before_anything_is_done(runs, refused):
    one, two = runs
    grey = dataclasses.replace(runs[two].settings, images=ImageData(pixels="grey"), likelihood="gaussian")
    runs[two] = runs[two]._replace(settings=grey)
    line = refused(evaluate.main, one, two, *FEW)
    assert "has --pixels grey where" in line
    assert "--likelihood gaussian where" in line
    assert line.endswith("evaluate them apart")
    assert not (one / "evaluation").exists()


def test_more_images_than_there_are_and_what_is_in_the_way(runs, refused):
    folder = next(iter(runs))
    assert "exceeds the 30 test images" in refused(evaluate.main, folder, "--images", 31)
    (folder / "evaluation").write_text("")
    assert "there is a file" in refused(evaluate.main, folder, *LESS)
    assert (folder / "evaluation").is_file()


def test_a_users_own_file_in_the_folder_stays(runs, refused):
    folder = next(iter(runs))
    evaluate.main([str(folder), *LESS])
    (folder / "evaluation/notes.txt").write_text("mine")
    before = contents(folder)
    assert "evaluation holds notes.txt" in refused(evaluate.main, folder, *LESS)
    assert contents(folder) == before


def test_a_folder_that_another_command_is_at_is_refused(runs, refused):
    folder = next(iter(runs))
    with opened(folder):
        assert "is in use by" in refused(evaluate.main, folder, *LESS)
    assert not (folder / "evaluation").exists()


def killed(signum):
    """In the place of a function: the signal arrives there."""
    return lambda *args, **options: os.kill(os.getpid(), signum)


@pytest.fixture
def interruptible():
    """What a shell starts in the background ignores SIGINT, and hands that on."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize(
    ("place", "signum"),
    [
        ((judging, "assess"), signal.SIGINT),
        ((assessment_figures, "weights"), signal.SIGTERM),
        ((files, "write_rows"), signal.SIGTERM),
    ],
    ids=["measuring", "drawing", "writing"],
)
def test_an_evaluation_is_left_whole_or_not_at_all(place, signum, runs, monkeypatch, refused):
    folder, (code, says) = next(iter(runs)), ENDS[signum]
    fresh = contents(folder)
    with monkeypatch.context() as patch:
        patch.setattr(*place, killed(signum))
        assert refused(evaluate.main, folder, *LESS, code=code) == f"{says}run it again"
    assert contents(folder) == fresh
    evaluate.main([str(folder), *LESS])
    old = contents(folder)
    with monkeypatch.context() as patch:
        patch.setattr(*place, killed(signum))
        refused(evaluate.main, folder, *LESS, "--seed", 1, code=code)
    assert contents(folder) == old


def test_a_full_disk_leaves_the_old_evaluation(runs, monkeypatch, refused):
    folder = next(iter(runs))
    evaluate.main([str(folder), *LESS])
    before = contents(folder)

    def full(path, *_):
        raise files.unwritten(path, OSError(28, "No space left on device"), files.AGAIN)

    with monkeypatch.context() as patch:
        patch.setattr(written.files, "write_atomically", full)
        line = refused(evaluate.main, folder, *LESS, "--seed", 1)
    assert line.endswith("make room, then run the command again")
    assert contents(folder) == before


def test_what_is_not_finite_is_null_in_the_files(runs):
    """An encoder that gives NaN: no number is hidden, and none breaks the JSON."""
    folder = next(iter(runs))
    runs[folder].params["encoder"]["1"]["bias"][0] = torch.nan
    evaluate.main([str(folder), *LESS])
    found = json.loads((folder / "evaluation/report.json").read_text(), parse_constant=pytest.fail)
    assert found["importance"] is found["rate"] is None
