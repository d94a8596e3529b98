"""Network layers: modules of `init(key, ...) -> params` and `apply(params, x)`."""

from jensen.core.nn import conv, convnet, initial, linear, mlp

__all__ = ["conv", "convnet", "initial", "linear", "mlp"]
