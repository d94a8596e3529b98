"""Autoregressive models of sequences, and of grey levels."""

import torch

from jensen.core import keys
from jensen.core.models.autoregressive import made, pixel_cnn, recurrent, sampling, transformer

KEY = keys.key(0)


def texts():
    x = torch.zeros(2, 4, dtype=torch.int64)
    cells = [recurrent.build(3, 4, 1, cell) for cell in ("rnn", "gru", "gru-before", "lstm")]
    for model in (transformer.build(3, 8, 1, 2, 9), *cells):
        params = model.init(KEY)
        model.log_prob(params, x, KEY), sampling.draw(model, params, KEY, 2, 3, x)


def levels():
    x = torch.zeros(5, 4, dtype=torch.int64)
    for density in (made.build(4, 2, (4,)), pixel_cnn.build((2, 2), 2, 3, 1)):
        params = density.init(KEY, x)
        assert density.log_prob(params, density.sample(params, KEY, 4)).shape == (4,)
