"""Images as flat tensors: digits, sprites or MNIST, from OpenML or files, in [0, 1]; white patches of photographs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from jensen.core import keys
from jensen.experiments.data import labelled, mnist
from jensen.experiments.data.labelled import Labelled
from jensen.experiments.data.patches import CUTOFF, patches
from jensen.experiments.data.pixels import binarise
from jensen.experiments.data.sprites import FACTORS, sprites
from jensen.experiments.run.config import FREE
from jensen.experiments.run.errors import InputError, reason
from jensen.experiments.run.settings import Run

PATCHES, TEST_PATCHES = 20_000, 500
TEST_KEY = 1  # test pixels are binarised with this seed in every run, so that runs compare


class Images(NamedTuple):
    """Grey, binary or white images, (n, D) each, test labels (n,), and the shape of one (channels, height, width).

    `factors` are what test images were drawn from, (n,) each, by name; {} where that is not known.
    """

    train: Tensor
    test: Tensor
    test_labels: Tensor
    shape: tuple[int, int, int]
    factors: Mapping[str, Tensor] = {}


@dataclass(frozen=True)
class ImageData:
    """Which images, and what is done to their pixels."""

    data: Literal["digits", "sprites", "mnist", "mnist-static", "patches"] = "digits"
    """digits ships with scikit-learn (1,797 images of 8 x 8); sprites are drawn from known factors (4,608 of 16 x 16);
    mnist is downloaded, or read from --data-dir. mnist-static, binarised once and for all, is read from there. patches
    are of two photographs in scikit-learn (20,500 of 12 x 12), whitened: they take no --pixels."""
    data_dir: Path | None = field(default=None, metadata=FREE)
    """Folder of the four MNIST idx files, plain or .gz; for mnist-static, of binarized_mnist.npz."""
    pixels: Literal["auto", "dynamic", "static", "grey"] = "auto"
    """dynamic: binary, drawn anew at each step; static: binary, drawn once; grey: in [0, 1] as they are.
    auto: dynamic, or static for mnist-static."""

    @property
    def treatment(self) -> str:
        """Of pixels: dynamic, static, grey or white."""
        if self.data == "patches":
            return "white"
        automatic = "static" if self.data == "mnist-static" else "dynamic"
        return automatic if self.pixels == "auto" else self.pixels

    def check(self) -> None:
        """Raises an InputError for what cannot work."""
        if self.data == "mnist-static" and self.pixels not in ("auto", "static"):
            raise InputError(
                f"mnist-static is binary already, and --pixels {self.pixels} cannot change that: leave it out"
            )
        if self.data == "patches" and self.pixels != "auto":
            raise InputError(f"patches are white, and --pixels {self.pixels} cannot change that: leave it out")
        if self.data in ("digits", "sprites", "patches") and self.data_dir is not None:
            raise InputError(f"--data-dir holds MNIST's files and {self.data} needs none: use --data mnist, or drop it")

    def load(self, run: Run) -> Images:
        """The images as the run takes them. InputError when files are missing or damaged, or nothing is downloaded."""
        images = self.read()
        if self.treatment in ("dynamic", "static"):
            images = images._replace(test=binarise(keys.key(TEST_KEY), images.test))
        if self.treatment == "static":
            images = images._replace(train=binarise(keys.fold_in(keys.key(run.seed), 0), images.train))
        return placed(images, run)

    def read(self) -> Images:
        """The images as they are stored."""
        if self.data_dir is not None and not self.data_dir.is_dir():
            raise InputError(f"--data-dir {self.data_dir} is no folder")
        if self.data == "digits":
            return digits()
        if self.data == "sprites":
            return drawn()
        if self.data == "patches":
            return white()
        if self.data == "mnist":
            return _unlabelled(mnist.openml() if self.data_dir is None else mnist.files(self.data_dir))
        return Images(*mnist.static(self.data_dir))


def digits() -> Images:
    """scikit-learn's digits, of which a fixed random fifth is the test set."""
    return _unlabelled(labelled.digits())


def drawn() -> Images:
    """Sprites, of which a fixed random fifth is the test set; their labels are their shapes."""
    images, factors, shape = sprites()
    order = keys.permutation(keys.key(0), len(images))
    test, train = order[: len(images) // 5], order[len(images) // 5 :]
    known = dict(zip(FACTORS, factors[test].T, strict=True))
    return Images(images[train], images[test], factors[test, 0], shape, known)


def white() -> Images:
    """Patches of photographs without their finest scales, whitened; the test set's are of another part of each."""
    found = patches(keys.key(0), PATCHES, TEST_PATCHES, cutoff=CUTOFF)
    return Images(found.train, found.test, torch.zeros(TEST_PATCHES, dtype=torch.int64), found.shape)


def _unlabelled(data: Labelled) -> Images:
    """The images, with test labels alone."""
    return Images(data.train["x"], data.test["x"], data.test["labels"], data.shape)


def placed(images: Images, run: Run) -> Images:
    """On the run's device, in its dtype. InputError for a device that is not there."""
    return images._replace(train=on_device(images.train, run), test=on_device(images.test, run))


def on_device(data: Tensor, run: Run) -> Tensor:
    """Data on the run's device, in its dtype where they are no whole numbers. InputError as for `placed`."""
    try:
        moved = data.to(run.device, getattr(torch, run.dtype) if data.is_floating_point() else data.dtype)
        moved.sum().item()
    except (RuntimeError, AssertionError, ImportError) as error:
        said = reason(error).split(". ")[0]
        raise InputError(f"--device {run.device} cannot be used ({said}): try --device cpu") from error
    return moved


def split(train: Tensor, run: Run, treatment: str) -> tuple[Tensor, Tensor | None]:
    """The training data, and their last part apart where the run holds some out; its pixels are drawn once.

    InputError where what is left makes no batch.
    """
    share = run.share_held_out
    size = len(train) if share == 0 else len(train) - max(1, int(share * len(train)))
    if size < run.batch:
        raise InputError(f"--batch {run.batch} exceeds the {size} training data: pass at most that many")
    if share == 0:
        return train, None
    return train[:size], drawn_once(train[size:], treatment)


def drawn_once(x: Tensor, treatment: str) -> Tensor:
    """Training data as a model is judged on them: where their pixels are drawn anew at each step, drawn once."""
    return binarise(keys.key(TEST_KEY, x.device), x) if treatment == "dynamic" else x
