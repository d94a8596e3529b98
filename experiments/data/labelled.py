"""Images with a label each, for classifiers.

    data = digits()
    some = few(keys.key(0), data.train, each=10)  # 100 labels, 10 of each digit

Data are trees, as programs train on them: {"x": (n, D), "labels": (n,)}.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from jensen.core import keys, trees
from jensen.core.contracts import Key
from jensen.core.trees import Tree
from jensen.experiments.run.errors import InputError

TEST = 360  # of the digits, a fifth


class Labelled(NamedTuple):
    """Training and test images in [0, 1] with their labels, and the shape of one (channels, height, width)."""

    train: Tree
    test: Tree
    shape: tuple[int, int, int]


def of(train: Tensor, train_labels: Tensor, test: Tensor, test_labels: Tensor, shape: tuple[int, int, int]) -> Labelled:
    """Images (n, D) and labels (n,) as trees."""
    return Labelled({"x": train, "labels": train_labels}, {"x": test, "labels": test_labels}, shape)


def digits() -> Labelled:
    """1,797 images of 8 x 8 in 17 levels, embedded in scikit-learn: a fixed random fifth is the test set."""
    from sklearn.datasets import load_digits

    pixels, targets = load_digits(return_X_y=True)
    images, labels = torch.from_numpy(np.asarray(pixels)).float() / 16, torch.from_numpy(np.asarray(targets))
    order = keys.permutation(keys.key(0), len(images))
    test, train = order[:TEST], order[TEST:]
    return of(images[train], labels[train], images[test], labels[test], (1, 8, 8))


def few(key: Key, data: Tree, each: int) -> Tree:
    """So many random data of each class, in random order. InputError for a class, from 0 on, that has fewer."""
    labels = data["labels"]
    counts = labels.bincount()
    if each < 1 or counts.min() < each:
        poorest = int(counts.argmin())
        raise InputError(
            f"expected from 1 to {counts[poorest]} data of each class, got {each}: class {poorest} has no more"
        )
    order = keys.permutation(key, len(labels))
    chosen = torch.cat([(labels[order] == label).nonzero()[:each, 0] for label in range(len(counts))])
    return trees.map(lambda leaf: leaf[order[chosen.sort().values]], data)
