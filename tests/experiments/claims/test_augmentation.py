"""The rare class is rare, what fills it up is of it alone, and gains are by seed."""

import json

import pytest
import torch
from sklearn.metrics import balanced_accuracy_score

from jensen.core import keys
from jensen.experiments.claims import augmentation
from jensen.experiments.claims.augmentation import (
    ALONE,
    COPIES,
    GENERATED,
    Accuracy,
    Settings,
    gain,
    generated,
    imbalanced,
    recall,
)
from jensen.experiments.claims.fitted import fitted_classifier

KEY = keys.key(0)
FEW = ["--seeds", "2", "--each", "6", "--rare", "2", "--hidden", "8", "--latent", "2", "--steps", "3"]


def test_one_class_alone_is_rare():
    labels = torch.tensor([1, 0, 1, 1, 0, 2])
    kept = imbalanced({"x": torch.arange(6.0)[:, None], "labels": labels}, 1, 2)
    assert kept["x"][:, 0].tolist() == [0.0, 1.0, 2.0, 4.0, 5.0]
    assert kept["labels"].tolist() == [1, 0, 1, 0, 2]


def test_recalls_have_scikit_learns_mean():
    found, labels = keys.bits(KEY, (2, 300)) % 10
    assert recall(found, labels).mean().item() == pytest.approx(balanced_accuracy_score(labels, found))


def test_generated_images_are_like_the_scarce_ones():
    """Of two flat images, black and white, the scarce ones are black: so is what lies between them."""
    x = torch.cat([torch.zeros(30, 9), torch.ones(30, 9)])
    settings = Settings(hidden=16, latent=2, steps=200)
    images = generated(x, x[-5:], 40, settings, KEY)
    assert images.shape == (40, 9)
    assert images.mean() > 0.8


def test_a_gain_is_by_seed():
    values = {
        (0, ALONE): 0.5,
        (1, ALONE): 0.7,
        (0, COPIES): 0.6,
        (1, COPIES): 0.8,
        (0, GENERATED): 0.7,
        (1, GENERATED): 1.0,
    }
    rows = [Accuracy(seed, 0, name, value, 0.0) for (seed, name), value in values.items()]
    found = gain(rows, ALONE, "balanced")
    assert (found.mean, found.error) == (pytest.approx(0.25), pytest.approx(0.05))
    assert gain(rows, COPIES, "recall").mean == 0.0


def test_all_training_sets_are_full_but_the_first(tmp_path, monkeypatch, capsys):
    sizes = []
    monkeypatch.setattr(
        augmentation, "fitted_classifier",
        lambda data, *of: sizes.append(data["labels"].bincount().tolist()) or fitted_classifier(data, *of),
    )  # fmt: skip
    augmentation.main([*FEW, "--out", str(tmp_path)])
    assert sizes[:3] == [[2] + [6] * 9, [6] * 10, [6] * 10]
    assert sizes[3] == [6, 2] + [6] * 8
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert [row["training"] for row in rows if "training" in row] == [ALONE, COPIES, GENERATED] * 2
    assert (tmp_path / "augmentation.png").stat().st_size > 1000
    assert f"{GENERATED} over {COPIES}: balanced accuracy" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--each", "5", "--rare", "5"], "expected --each above --rare 5, got 5"),
        (["--seeds", "1"], "expected --seeds of at least 2, got 1"),
    ],
)
def test_bad_settings_are_one_clear_line(args, message, tmp_path, refused):
    assert message in refused(augmentation.main, *args, "--out", tmp_path / "all")
    assert not list(tmp_path.iterdir())


def test_more_images_than_there_are_is_one_clear_line(tmp_path, refused):
    assert "data of each class, got 1000" in refused(augmentation.main, "--each", 1000, "--out", tmp_path / "all")
