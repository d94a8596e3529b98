"""Calls that signatures refuse."""

import torch

from jensen.core import bounds, keys, ops

CALLS = {
    "a vector of log weights": lambda: bounds.iwae(torch.zeros(3)),
    "event axes that differ": lambda: ops.normal_log_prob(torch.zeros(2, 3), torch.zeros(4), torch.zeros(4)),
    "integers for logits": lambda: ops.bernoulli_log_prob(torch.zeros(2, 3), torch.zeros(2, 3, dtype=torch.int64)),
    "a float key": lambda: keys.normal(torch.zeros(3), (2, 3)),
}
