"""The command on what runs draw: what it prints and leaves, and what does not go together."""

import json
from pathlib import Path

import pytest

from jensen.experiments import evaluate
from jensen.experiments.data.images import ImageData
from jensen.experiments.data.points import PointData
from jensen.experiments.programs import Gan, Vae
from jensen.experiments.programs.finished import FinishedRun
from jensen.experiments.programs.judge import read_judge
from jensen.experiments.report.judging_draws import check_same_images
from jensen.experiments.run.errors import InputError
from tests.experiments.process import contents, run

SMALL = ["--no-compile", "--steps", "10", "--batch", "20", "--hidden", "8", "--checkpoint-every", "10"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folders of a classifier and of a GAN of the same images."""
    place = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jensen.experiments.report.points.DRAWN", 40)
        run("classifier", *SMALL, "--out", place / "classifier")
        run("gan", "--data", "digits", *SMALL, "--out", place / "gan")
    return place


def test_draws_are_judged_beside_held_out_images(runs, finished, capsys):
    before = contents(finished)
    evaluate.main([str(runs / "gan"), str(finished), "--classifier", str(runs / "classifier"), "--draws", "40"])
    printed = capsys.readouterr().out
    reports = [json.loads((folder / "draws/report.json").read_text()) for folder in (runs / "gan", finished)]
    for folder, name in ((runs / "gan", "gan"), (finished, "vae")):
        assert (folder / "draws/report.txt").read_text() in printed
        assert f"{name} in {folder}: 40 draws beside digits\n" in printed
        assert {path.name for path in (folder / "draws").iterdir()} == {
            "report.txt", "report.json", "rows.jsonl", "samples.png", "manifest.json",
        }  # fmt: skip
    assert reports[0]["held-out images"] == reports[1]["held-out images"]
    assert reports[0]["draws"] != reports[1]["draws"]
    assert reports[0]["draws"]["images"] == 40
    assert {name: content for name, content in contents(finished).items() if name in before} == before
    evaluate.main([str(runs / "gan"), "--classifier", str(runs / "classifier"), "--draws", "40"])
    assert json.loads((runs / "gan/draws/report.json").read_text()) == reports[0]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            ("gan",),
            "holds a gan, which has no latents or codes of images: pass --classifier, a run of train classifier",
        ),
        (("classifier",), "holds a classifier, which has no latents or codes of images: see its report.txt"),
        (("gan", "--draws", 40), "--draws are judged by a classifier: pass --classifier, or leave it out"),
        (("gan", "--classifier", "gan"), "holds a gan, which classifies nothing: pass a run of train classifier"),
        (("classifier", "--classifier", "classifier"), "holds a classifier, which draws nothing"),
        (("gan", "--classifier", "classifier", "--draws", 361), "expected --draws from 20 to 360"),
        (("gan", "--classifier", "classifier", "--draws", 19), "expected --draws from 20 to 360"),
        (("gan", "--classifier", "nowhere"), "holds no run: pass the folder"),
    ],
)
def test_what_does_not_go_together_is_one_clear_line(args, message, runs, refused):
    named = [runs / each if (runs / str(each)).exists() or each == "nowhere" else each for each in args]
    assert message in refused(evaluate.main, *named)


def test_other_images_and_points_are_refused(runs):
    judge = read_judge(runs / "classifier")
    points, sprites = Gan(points=PointData(points=500)), Vae(images=ImageData(data="sprites"))
    for settings, message in ((points, "draws points, which no"), (sprites, "draws images of 256 pixels, and")):
        prepared = settings.prepare()
        with pytest.raises(InputError, match=message):
            check_same_images(FinishedRun(Path("run"), settings, prepared, {}, {}), judge)
