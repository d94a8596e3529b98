"""Operations of indices, and keys."""

import torch

from jensen.core import keys, ops


def of_indices():
    chosen = torch.zeros(5, dtype=torch.uint8)
    ops.categorical_log_prob(chosen, torch.zeros(2, 5, 3))
    ops.linear_categorical_log_prob(chosen, torch.zeros(2, 5, 4), torch.zeros(3, 4), torch.zeros(3))


def of_keys():
    key = keys.key(0)
    keys.fold_in(key, torch.arange(4)), keys.at(key, datum=torch.arange(4)), keys.permutation(key, 9)
