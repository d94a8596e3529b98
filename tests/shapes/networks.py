"""Layers over images, series and vectors."""

from jensen.core import keys
from jensen.core.nn import batch_norm, conv, dropout, group_norm, layer_norm, pooling, residual, rms_norm, windows

KEY = keys.key(0)
IMAGES, SERIES, VECTORS = (keys.normal(KEY, shape) for shape in ((5, 2, 8, 8), (5, 2, 8), (5, 8)))


def convolutions():
    for kernel, inputs in ((3, IMAGES), ((3, 1), IMAGES), ((3,), SERIES)):
        conv.apply(conv.init(KEY, 2, 4, kernel, groups=2), inputs, stride=2, padding=1, groups=2)
        conv.apply_transposed(conv.init_transposed(KEY, 2, 4, kernel), inputs, stride=2)
        residual.apply_conv(residual.init_conv(KEY, 2, 4, kernel), inputs, groups=2)
    pooling.max_pool(IMAGES, 2), pooling.mean_pool(SERIES, (3,), 2, (1,))
    windows.receptive_field([windows.Window(3)] * 3)


def norms():
    for inputs in (IMAGES, SERIES, VECTORS[:, :2]):
        params, state = batch_norm.init(2, inputs.ndim - 2)
        y, state = batch_norm.apply(params, state, inputs, training=True)
        (
            batch_norm.apply(params, state, y, training=False),
            group_norm.apply(group_norm.init(2, inputs.ndim - 2), inputs),
        )
    for norm in (layer_norm, rms_norm):
        norm.apply(norm.init(8), VECTORS)


def of_vectors():
    residual.apply(residual.init(KEY, 8, 4), VECTORS)
    dropout.apply(KEY, IMAGES, 0.1), dropout.apply(None, VECTORS)
