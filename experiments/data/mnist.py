"""MNIST with its labels, from OpenML or from its idx files; or binarised once and for all, with test labels alone."""

import gzip
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from jensen.experiments.data.labelled import Labelled, of
from jensen.experiments.run.errors import InputError

STATIC = "binarized_mnist.npz"


def openml() -> Labelled:
    """Through scikit-learn's fetch_openml, which keeps a copy in its own data folder."""
    from sklearn.datasets import fetch_openml

    try:
        pixels, labels = fetch_openml("mnist_784", version=1, return_X_y=True, as_frame=False, parser="liac-arff")
    except OSError as error:
        raise InputError(
            f"MNIST could not be downloaded ({error}): pass --data-dir with a folder of its four idx files"
        ) from error
    images, targets = torch.from_numpy(np.asarray(pixels, dtype=np.float32)) / 255, torch.tensor([*map(int, labels)])
    return of(images[:60_000], targets[:60_000], images[60_000:], targets[60_000:], (1, 28, 28))


def files(folder: Path) -> Labelled:
    """From the published idx files, plain or gzipped."""
    names = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    train, train_labels, test, test_labels = (idx(find(folder, f"{name}-ubyte"), int(name[-1])) for name in names)
    fit = train.shape[1:] == test.shape[1:] and len(train_labels) == len(train) and len(test_labels) == len(test)
    if not fit:
        held = ", ".join(str(array.shape) for array in (train, train_labels, test, test_labels))
        raise InputError(f"the idx files in {folder} do not belong together: they hold {held}; fetch them again")
    largest = max(train_labels.max(), test_labels.max())
    if largest > 9:
        raise InputError(f"the labels in {folder} go up to {largest}, expected from 0 to 9: fetch them again")
    flat, flat_test = (torch.tensor(a.reshape(len(a), -1)).float() / 255 for a in (train, test))
    labels, labels_test = (torch.tensor(a.astype(np.int64)) for a in (train_labels, test_labels))
    return of(flat, labels, flat_test, labels_test, (1, *train.shape[1:]))


def static(folder: Path | None) -> tuple[Tensor, Tensor, Tensor, tuple[int, int, int]]:
    """Binarised once and for all (Larochelle and Murray, 2011): 50,000 training and 10,000 test images, test labels.

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
    return train, test, torch.from_numpy(labels.astype(np.int64)), (1, 28, 28)


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
