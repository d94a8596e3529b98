"""Network layers: modules of `init(key, ...) -> params` and `apply(params, x)`."""

from jensen.core.nn import (
    batch_norm,
    conditional,
    conv,
    convnet,
    dropout,
    group_norm,
    initial,
    layer_norm,
    linear,
    mlp,
    pooling,
    residual,
    rms_norm,
    windows,
)

__all__ = [
    "batch_norm",
    "conditional",
    "conv",
    "convnet",
    "dropout",
    "group_norm",
    "initial",
    "layer_norm",
    "linear",
    "mlp",
    "pooling",
    "residual",
    "rms_norm",
    "windows",
]
