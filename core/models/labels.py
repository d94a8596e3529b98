"""The check of labels that classifiers and models of labelled data share."""

import torch
from torch import Tensor

from jensen.core.checks import check_tensor
from jensen.core.concrete import is_concrete


def check_labels(labels: Tensor, n: int, classes: int) -> None:
    """Whole numbers (n,) from 0 to classes - 1, whose values are read while torch runs eagerly.

    TypeError for another dtype, ValueError for another shape or a label out of range.
    """
    check_tensor("labels", labels, str(n), "one for each datum")
    if labels.dtype not in (torch.int32, torch.int64):
        raise TypeError(f"expected labels, whole numbers, got {labels.dtype}: convert them with labels.long()")
    if is_concrete(labels) and not bool(((labels >= 0) & (labels < classes)).all()):
        raise ValueError(
            f"expected labels from 0 to {classes - 1}, got from {labels.min()} to {labels.max()}: "
            f"pass classes={int(labels.max()) + 1} or more, or number the classes from 0"
        )
