"""What the command cannot judge is told in one line, and nothing is left behind."""

import json
import shutil

import pytest
import torch

from jensen.experiments import runs
from jensen.experiments.evaluate import main
from tests.experiments.process import FEW, rewrite


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "name one or more"),
        (("nowhere",), "nowhere holds no run: pass the folder"),
        ((__file__,), "holds no run: pass the folder"),
        (("a", "a"), "named twice"),
        (("a", "--k", "10", "5"), "expected rising counts of samples"),
        (("a", "--k", "0", "5"), "expected rising counts of samples"),
        (("a", "--images", "1"), "expected --images of at least 2, got 1"),
        (("a", "--chains", "1"), "expected --chains of at least 2, got 1"),
        (("a", "--temperatures", "0"), "expected --temperatures of at least 1, got 0"),
        (("a", "--gap-images", "-1"), "expected --gap-images of at least 0, got -1"),
        (("a", "--seed", "-1"), "expected --seed in [0, 2^63), got -1"),
    ],
)
def test_bad_input_is_one_clear_line(args, message, tmp_path, monkeypatch, refused):
    monkeypatch.chdir(tmp_path)
    assert message in refused(main, *args)
    assert not list(tmp_path.iterdir())


DAMAGE = {
    "config.json": ('{"latent": ', "is damaged"),
    "last.safetensors": ("garbage", "restore it, or train again"),
    "report.json": (None, "has not finished: go on with experiments.train --resume"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_unfinished_and_damaged_runs_are_told_with_the_fix(name, finished, refused):
    content, message = DAMAGE[name]
    (finished / name).unlink() if content is None else (finished / name).write_text(content)
    assert message in refused(main, finished)
    assert not (finished / "evaluation").exists()


def test_parameters_of_another_shape_are_told(finished, refused):
    rewrite(finished, **{"params.encoder.0.bias": torch.zeros(3)})
    assert "expected encoder.0.bias (16,), got (3,)" in refused(main, finished)


def test_runs_of_different_data_are_told_before_anything_is_done(finished, refused):
    other = finished.parent / "other"
    shutil.copytree(finished, other)
    config = json.loads((other / runs.CONFIG).read_text())
    config |= {"pixels": "grey", "likelihood": "continuous-bernoulli"}
    (other / runs.CONFIG).write_text(json.dumps(config))
    rewrite(other)
    message = refused(main, finished, other, *FEW)
    assert "has --likelihood continuous-bernoulli where" in message
    assert "evaluate them apart" in message
    assert not (finished / "evaluation").exists()


def test_more_images_than_there_are_and_a_file_in_the_way(finished, refused):
    assert "exceeds the 360 test images" in refused(main, finished, "--images", 361)
    (finished / "evaluation").write_text("")
    assert "cannot be made (there is a file): move it away" in refused(main, finished)
    assert (finished / "evaluation").is_file()
