import gzip
import io
import struct
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch

from jensen.core import keys
from jensen.experiments.data import labelled, mnist
from jensen.experiments.data.images import ImageData, digits, split
from jensen.experiments.data.pixels import binarise
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.settings import Run

KEY = keys.key(0)


def idx_bytes(array: np.ndarray) -> bytes:
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_mnist(folder, n=6, test=4, zipped=True):
    """Four small files in MNIST's format."""
    levels = np.arange(n * 28 * 28, dtype=np.uint32).reshape(n, 28, 28) % 256
    files = {
        "train-images-idx3-ubyte": levels.astype(np.uint8),
        "train-labels-idx1-ubyte": (np.arange(n, dtype=np.uint8) % 10)[::-1],
        "t10k-images-idx3-ubyte": levels[:test].astype(np.uint8),
        "t10k-labels-idx1-ubyte": np.arange(test, dtype=np.uint8) % 10,
    }
    for name, array in files.items():
        raw = idx_bytes(array)
        (folder / f"{name}.gz").write_bytes(gzip.compress(raw)) if zipped else (folder / name).write_bytes(raw)


def test_digits_split_is_fixed_and_complete():
    images = digits()
    assert images.train.shape == (1437, 64)
    assert images.test.shape == (360, 64)
    assert images.train.min() == 0
    assert images.train.max() == 1
    assert images.shape == (1, 8, 8)
    assert torch.equal(images.test, digits().test)
    assert images.test_labels.bincount().min() > 20


def test_sprites_split_is_fixed_and_complete():
    images = ImageData("sprites").read()
    assert (images.train.shape, images.test.shape, images.shape) == ((3687, 256), (921, 256), (1, 16, 16))
    assert len(torch.cat([images.train, images.test]).unique(dim=0)) == 4608
    assert images.test_labels.bincount().min() > 250
    assert torch.equal(images.test, ImageData("sprites").read().test)
    with pytest.raises(InputError, match="sprites needs none: use --data mnist"):
        ImageData("sprites", Path()).check()


@pytest.mark.parametrize("zipped", [True, False])
def test_idx_files_are_read(tmp_path, zipped):
    write_mnist(tmp_path, zipped=zipped)
    images = ImageData("mnist", tmp_path).read()
    assert images.train.shape == (6, 784)
    assert images.shape == (1, 28, 28)
    assert images.test_labels.tolist() == [0, 1, 2, 3]
    assert mnist.files(tmp_path).train["labels"].tolist() == [5, 4, 3, 2, 1, 0]
    assert images.train[0, 255].item() == 1
    assert abs(images.train[0, 51].item() - 0.2) < 1e-6


def test_few_are_as_many_of_each_class():
    data = labelled.digits()
    assert torch.equal(data.train["x"], digits().train)
    assert {len(data.train[name]) + len(data.test[name]) for name in data.train} == {1797}
    some = labelled.few(KEY, data.train, 10)
    assert some["labels"].bincount().tolist() == [10] * 10
    rows = {tuple(x.tolist()): label for x, label in zip(data.train["x"], data.train["labels"].tolist(), strict=True)}
    assert [rows[tuple(x.tolist())] for x in some["x"]] == some["labels"].tolist()
    assert len({tuple(x.tolist()) for x in some["x"]}) == 100
    assert some["labels"].tolist() != sorted(some["labels"].tolist())
    assert not torch.equal(labelled.few(keys.key(1), data.train, 10)["x"], some["x"])
    with pytest.raises(InputError, match=r"expected from 1 to 0 data of each class, got 1: class 1 has no more"):
        labelled.few(KEY, {"x": torch.zeros(3, 1), "labels": torch.tensor([0, 2, 2])}, 1)


TRAIN = "train-images-idx3-ubyte.gz"
DAMAGE = {
    "missing": (lambda p: p.unlink(), "has neither train-images-idx3-ubyte nor"),
    "truncated gzip": (lambda p: p.write_bytes(p.read_bytes()[:-20]), "damaged or cut short"),
    "no gzip": (lambda p: p.write_bytes(b"<html>not found</html>"), "damaged or cut short"),
    "flipped gzip": (lambda p: p.write_bytes(p.read_bytes()[:30] + b"\xff" * 9 + p.read_bytes()[39:]), "damaged"),
    "empty": (lambda p: p.write_bytes(gzip.compress(b"")), "starts with nothing"),
    "wrong magic": (lambda p: p.write_bytes(gzip.compress(b"\x00\x00\x0d\x03" + b"\x00" * 40)), "starts with 00000d03"),
    "labels for images": (lambda p: p.write_bytes(gzip.compress(idx_bytes(np.zeros(3, np.uint8)))), "swapped"),
    "truncated header": (lambda p: p.write_bytes(gzip.compress(b"\x00\x00\x08\x03\x00")), "cut short or padded"),
    "truncated body": (lambda p: p.write_bytes(gzip.compress(gzip.decompress(p.read_bytes())[:-5])), "cut short"),
    "no images": (lambda p: p.write_bytes(gzip.compress(idx_bytes(np.zeros((0, 28, 28), np.uint8)))), "cut short"),
    "another size": (
        lambda p: p.write_bytes(gzip.compress(idx_bytes(np.zeros((2, 9, 9), np.uint8)))),
        "belong together",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_files_are_one_clear_line(tmp_path, name):
    write_mnist(tmp_path)
    damage, message = DAMAGE[name]
    damage(tmp_path / TRAIN)
    with pytest.raises(InputError, match=message) as caught:
        ImageData("mnist", tmp_path).read()
    assert "\n" not in str(caught.value)


def test_labels_out_of_range_are_one_clear_line(tmp_path):
    write_mnist(tmp_path)
    labels = np.array([0, 1, 2, 10, 3, 4], np.uint8)
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx_bytes(labels)))
    with pytest.raises(InputError, match="go up to 10, expected from 0 to 9: fetch them again"):
        mnist.files(tmp_path)


def write_static(folder, n=6, test=4, labels=True):
    """A small file in the format of binarised MNIST; pixel i of image j is 1 where i % (j + 2) == 0."""
    bits = (np.arange(784)[None] % (np.arange(n)[:, None] + 2) == 0).astype(np.uint8)
    packed = np.packbits(bits, axis=1)
    more = {"test_label_matched": np.arange(test, dtype=np.uint8)} if labels else {}
    np.savez_compressed(folder / mnist.STATIC, train=packed, valid=packed[:1], test=packed[:test], **more)
    return torch.from_numpy(bits).float()


@pytest.mark.parametrize("labels", [True, False])
def test_binarised_mnist_is_read_bit_by_bit(tmp_path, labels):
    bits = write_static(tmp_path, labels=labels)
    images = ImageData("mnist-static", tmp_path).read()
    assert torch.equal(images.train, bits)
    assert torch.equal(images.test, bits[:4])
    assert images.test_labels.tolist() == ([0, 1, 2, 3] if labels else [0, 0, 0, 0])
    assert images.shape == (1, 28, 28)
    prepared = ImageData("mnist-static", tmp_path).load(Run())
    assert torch.equal(prepared.train, bits)
    assert torch.equal(prepared.test, bits[:4])


def rewrite(path, keep=("train", "test"), **arrays):
    with np.load(path) as file:
        kept = {name: file[name] for name in keep}
    np.savez(path, **{**kept, **arrays})


def npy_bytes(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


STATIC_DAMAGE = {
    "missing": (lambda p: p.unlink(), "has no binarized_mnist.npz"),
    "truncated": (lambda p: p.write_bytes(p.read_bytes()[:-40]), "damaged or no npz file"),
    "flipped": (lambda p: p.write_bytes(p.read_bytes()[:80] + b"\xff" * 9 + p.read_bytes()[89:]), "damaged"),
    "empty": (lambda p: p.write_bytes(b""), "damaged or no npz file"),
    "text": (lambda p: p.write_text("<html>not found</html>"), "damaged or no npz file"),
    "one array": (lambda p: p.write_bytes(npy_bytes(np.zeros((2, 98), np.uint8))), "damaged or no npz file"),
    "pickled": (lambda p: rewrite(p, train=np.array([{}])), r"cannot be read \(Object arrays"),
    "no test images": (lambda p: rewrite(p, keep=["train"]), "has no array 'test'"),
    "unpacked": (lambda p: rewrite(p, train=np.zeros((2, 784), np.uint8)), r"got uint8 \(2, 784\): pack its bits"),
    "floats": (lambda p: rewrite(p, test=np.zeros((2, 98))), r"expected test in .* got float64 \(2, 98\)"),
    "no images": (lambda p: rewrite(p, train=np.zeros((0, 98), np.uint8)), r"got uint8 \(0, 98\)"),
    "other labels": (lambda p: rewrite(p, test_label_matched=np.zeros(3)), r"labels \(3,\) for 4 test images"),
}


@pytest.mark.parametrize("name", STATIC_DAMAGE)
def test_damaged_binarised_mnist_is_one_clear_line(tmp_path, name):
    write_static(tmp_path)
    damage, message = STATIC_DAMAGE[name]
    damage(tmp_path / mnist.STATIC)
    with pytest.raises(InputError, match=message) as caught:
        ImageData("mnist-static", tmp_path).read()
    assert "\n" not in str(caught.value)


def test_no_network_names_the_way_out(monkeypatch):
    def fail(*args, **options):
        raise URLError("Name or service not known")

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fail)
    with pytest.raises(InputError, match=r"could not be downloaded.*pass --data-dir"):
        ImageData("mnist").read()


def test_binarise_draws_each_pixel_at_its_grey_and_keeps_nan():
    grey = torch.tensor([0.0, 0.25, 0.9, 1.0]).repeat(20_000, 1)
    drawn = binarise(KEY, grey)
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    assert drawn[:, 0].sum() == 0
    assert drawn[:, 3].sum() == 20_000
    error = (grey[0] * (1 - grey[0]) / 20_000).sqrt()
    assert ((drawn.mean(0) - grey[0]).abs() <= 4 * error).all()
    grey[3, 1] = torch.nan
    assert binarise(KEY, grey).isnan().nonzero().tolist() == [[3, 1]]


def test_binarised_data_chunks_hold_the_draws_of_the_whole():
    grey = keys.uniform(keys.key(1), (10, 64))
    rest = binarise(keys.at(KEY, datum=6), grey[6:])
    assert torch.equal(binarise(KEY, grey)[6:], rest)


def test_test_pixels_do_not_depend_on_the_seed():
    images = digits()
    static = [ImageData(pixels="static").load(Run(seed=seed)) for seed in (0, 1)]
    assert torch.equal(static[0].test, static[1].test)
    assert torch.equal(static[0].test, ImageData(pixels="dynamic").load(Run(seed=5)).test)
    assert not torch.equal(static[0].train, static[1].train)
    assert torch.equal(ImageData(pixels="grey").load(Run()).test, images.test)


def test_pixels_are_drawn_before_they_are_rounded_to_a_type():
    assert torch.equal(ImageData().load(Run(dtype="bfloat16")).test.float(), ImageData().load(Run()).test)


def test_held_out_data_are_the_last_of_the_training_data():
    train = torch.arange(20.0)[:, None] / 20
    assert split(train, Run(batch=5), "grey")[1] is None
    kept, held_out = split(train, Run(batch=5, held_out=0.25), "grey")
    assert torch.equal(torch.cat([kept, held_out]), train)
    assert len(held_out) == 5
    assert len(split(train, Run(batch=5, patience=1), "grey")[1]) == 2
    once = split(train, Run(batch=5, held_out=0.25), "dynamic")[1]
    assert set(once.unique().tolist()) <= {0.0, 1.0}
    with pytest.raises(InputError, match="--batch 16 exceeds the 15 training data: pass at most that many"):
        split(train, Run(batch=16, held_out=0.25), "grey")
