"""Image data as flat tensors in [0, 1]: scikit-learn's digits, MNIST from OpenML or files, grey or binarised."""

import gzip
import struct
import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from jensen.core import keys
from jensen.experiments.settings import InputError

STATIC = "binarized_mnist.npz"
TEST_KEY = 1  # test pixels are binarised with this seed in every run, so that runs compare


class Images(NamedTuple):
    """Grey or binary images, (n, D) each, with their labels (n,) and the shape of one (channels, height, width)."""

    train: Tensor
    test: Tensor
    test_labels: Tensor
    shape: tuple[int, int, int]


def load(name: str, data_dir: Path | None = None) -> Images:
    """Images by name. InputError when files are missing or damaged, or nothing can be downloaded."""
    if name == "digits":
        return digits()
    if name == "mnist-static":
        return mnist_static(data_dir)
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


def mnist_static(folder: Path | None) -> Images:
    """MNIST binarised once and for all (Larochelle and Murray, 2011): its 50,000 training and 10,000 test images.

    binarized_mnist.npz holds them bit-packed, (n, 98), as `train` and `test`; labels, where it has them, as
    `test_label_matched`. Its 10,000 `valid` images are left out.
    """
    if folder is None:
        raise InputError(f"mnist-static is read from a file: pass --data-dir with the folder of {STATIC}")
    path = folder / STATIC
    if not path.is_file():
        raise InputError(f"{folder} has no {STATIC}: it must hold binarised MNIST, bit-packed")
    arrays = npz(path)
    train, test = (unpacked(path, name, arrays.get(name)) for name in ("train", "test"))
    labels = arrays.get("test_label_matched", np.zeros(len(test)))
    if labels.shape != (len(test),):
        raise InputError(f"{path} holds labels {labels.shape} for {len(test)} test images: fetch it again")
    return Images(train, test, torch.from_numpy(labels.astype(np.int64)), (1, 28, 28))


def npz(path: Path) -> dict[str, np.ndarray]:
    """Every array of an npz file; pickled ones are refused."""
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            return dict(file)
    except (OSError, EOFError, ValueError, TypeError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path} cannot be read ({error}): it is damaged or no npz file; fetch it again") from error


def unpacked(path: Path, name: str, packed: np.ndarray | None) -> Tensor:
    """Images (n, 784) of zeros and ones, from eight pixels a byte."""
    if packed is None:
        raise InputError(f"{path} has no array {name!r}: it must hold {name} images, bit-packed (n, 98)")
    if packed.dtype != np.uint8 or packed.ndim != 2 or packed.shape[1] != 98 or not len(packed):
        raise InputError(
            f"expected {name} in {path} as bytes (n, 98), got {packed.dtype} {packed.shape}: pack its bits"
        )
    return torch.from_numpy(np.unpackbits(packed, axis=1)).float()


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
