"""Classifiers."""

import torch

from jensen.core import keys
from jensen.core.models import classifier

KEY = keys.key(0)


def classifiers():
    x, labels = keys.uniform(KEY, (5, 64)), torch.zeros(5, dtype=torch.int64)
    for model in (classifier.mlp(64, (4,), 3), classifier.conv((1, 8, 8), (2,), (), 3)):
        params = model.init(KEY)
        model.log_prob(params, x, labels), model.loss(params, x, labels), model.correct(params, x, labels)
