"""Image data as flat tensors in [0, 1]: scikit-learn's digits, MNIST from OpenML or from idx files."""

import gzip
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from jensen.core import keys
from jensen.experiments.settings import InputError

TEST_KEY = 1  # test pixels are binarised with this seed in every run, so that runs compare


class Images(NamedTuple):
    """Grey or binary images, (n, D) each, with their labels (n,) and the shape of one (channels, height, width)."""

    train: Tensor
    test: Tensor
    test_labels: Tensor
    shape: tuple[int, int, int]


def load(name: str, data_dir: Path | None = None) -> Images:
    """Grey images by name. InputError when files are missing or damaged, or nothing can be downloaded."""
    if name == "digits":
        return digits()
    return mnist_files(data_dir) if data_dir is not None else mnist_openml()


def digits() -> Images:
    """1,797 images of 8 x 8 in 17 levels, embedded in scikit-learn: a fixed random fifth is the test set."""
    from sklearn.datasets import load_digits

    pixels, targets = load_digits(return_X_y=True)
    images, labels = torch.from_numpy(np.asarray(pixels)).float() / 16, torch.from_numpy(np.asarray(targets))
    order = keys.permutation(keys.key(0), len(images))
    test, train = order[:360], order[360:]
    return Images(images[train], images[test], labels[test], (1, 8, 8))


def mnist_openml() -> Images:
    """MNIST through scikit-learn's fetch_openml, which keeps a copy in its own data folder."""
    from sklearn.datasets import fetch_openml

    try:
        pixels, labels = fetch_openml("mnist_784", version=1, return_X_y=True, as_frame=False, parser="liac-arff")
    except OSError as error:
        raise InputError(
            f"MNIST could not be downloaded ({error}): pass --data-dir with a folder of its four idx files"
        ) from error
    images = torch.from_numpy(np.asarray(pixels, dtype=np.float32)) / 255
    return Images(images[:60_000], images[60_000:], torch.tensor([int(x) for x in labels[60_000:]]), (1, 28, 28))


def mnist_files(folder: Path) -> Images:
    """MNIST from the published idx files, plain or gzipped."""
    train = idx(find(folder, "train-images-idx3-ubyte"), 3)
    test = idx(find(folder, "t10k-images-idx3-ubyte"), 3)
    labels = idx(find(folder, "t10k-labels-idx1-ubyte"), 1)
    if train.shape[1:] != test.shape[1:] or len(labels) != len(test):
        raise InputError(
            f"the idx files in {folder} do not belong together: "
            f"they hold {train.shape}, {test.shape} and {labels.shape}"
        )
    flat_train, flat_test = (torch.tensor(a.reshape(len(a), -1)).float() / 255 for a in (train, test))
    return Images(flat_train, flat_test, torch.tensor(labels.astype(np.int64)), (1, *train.shape[1:]))


def find(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise InputError(f"{folder} has neither {name} nor {name}.gz: it must hold MNIST's four idx files")


def idx(path: Path, axes: int) -> np.ndarray:
    """An idx file of unsigned bytes: two zero bytes, the type 8, the number of axes, the sizes, the bytes."""
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be read ({error}): it is damaged or cut short; fetch it again") from error
    magic = raw[:4]
    if magic != bytes((0, 0, 8, axes)):
        raise InputError(
            f"{path} is no idx file of {axes}-d bytes: it starts with {magic.hex() or 'nothing'}, "
            f"expected 000008{axes:02x}; fetch it again, or check that the names are not swapped"
        )
    header = 4 + 4 * axes
    sizes = struct.unpack(f">{axes}I", raw[4:header]) if len(raw) >= header else (0,)
    if len(raw) - header != np.prod(sizes, dtype=np.int64) or not all(sizes):
        raise InputError(f"{path} is cut short or padded: {len(raw)} bytes do not hold {sizes}; fetch it again")
    return np.frombuffer(raw, np.uint8, offset=header).reshape(sizes)


def binarise(key: Tensor, grey: Tensor) -> Tensor:
    """Each pixel (n, D) is 1 with probability its grey value, a draw that belongs to its datum; NaN stays NaN."""
    u = keys.uniform(key, (1, *grey.shape), torch.float32)[0]
    return torch.where(grey.isnan(), grey, (u < grey).to(grey.dtype))


def prepare(images: Images, pixels: str, seed: int) -> Images:
    """Test pixels as they will be scored, and train pixels as they will be stored, for a treatment of pixels."""
    if pixels == "grey":
        return images
    test = binarise(keys.key(TEST_KEY), images.test)
    train = binarise(keys.fold_in(keys.key(seed), 0), images.train) if pixels == "static" else images.train
    return images._replace(train=train, test=test)
