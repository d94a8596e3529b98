"""Networks with layers of every kind, and their curvatures as matrices."""

import torch
from torch.nn import functional as F

from jensen.core import keys
from jensen.core.nn import conv, linear, mlp
from jensen.estimators.inference.curvature import Bernoulli, Categorical, Gaussian

F64, KEY = torch.float64, keys.key(11)
X = keys.normal(keys.key(1), (1, 6, 3), F64)[0]
LIKELIHOODS = {"gaussian": Gaussian(0.4), "bernoulli": Bernoulli(), "categorical": Categorical()}
DEEP = mlp.init(KEY, (3, 4, 2), dtype=F64)


def matrix(structure, linearised, x, root):
    """A curvature as a matrix in its layout, and the network in that."""
    linearised, none = structure.start(linearised, x[:1])
    values, basis = none.added(linearised, x, root).spectrum()
    unit = torch.eye(len(values), dtype=values.dtype)
    return basis.into(unit).mul(values) @ basis.into(unit).T, linearised


def gauss_newton(linearised, x, root):
    """Of whatever layout, by Jacobians."""
    rows = (root.mT @ linearised.jacobian(x)).flatten(0, 1)
    return rows.T @ rows


def blocks(linearised, whole):
    """Only what is within a layer."""
    group = torch.cat([torch.full((g[0].rows * sum(p.columns for p in g),), i)
                       for i, g in enumerate(linearised.layout.value.groups)])  # fmt: skip
    return torch.where(group[:, None] == group, whole, 0.0)


def images(parameters, x):
    """Two convolutions of which one strides, pads and dilates, and a linear layer."""
    h = torch.tanh(conv.apply(parameters["a"], x, stride=2, padding=(1, 0), dilation=(1, 2)))
    h = torch.tanh(conv.apply(parameters["b"], h))
    return linear.apply(parameters["c"], h.flatten(1))


def series(parameters, x):
    """A convolution over time, a layer at each time, and one over all."""
    h = torch.tanh(conv.apply(parameters["a"], x, stride=2, padding=1))
    h = torch.tanh(linear.apply(parameters["b"], h.mT))
    return linear.apply(parameters["c"], h.flatten(1))


def channels(parameters, x):
    """A convolution in two groups of channels, a depthwise one that keeps its sides, and a linear layer of means."""
    h = torch.tanh(conv.apply(parameters["a"], x, stride=2, groups=2))
    b = parameters["b"]
    h = torch.tanh(F.conv2d(h, b["weight"], b["bias"], padding="same", dilation=(1, 2), groups=4))
    return linear.apply(parameters["c"], h.mean((2, 3)))


IMAGES = {"a": conv.init(keys.key(1), 2, 3, (3, 2), dtype=F64), "b": conv.init(keys.key(2), 3, 2, 2, dtype=F64),
          "c": linear.init(keys.key(3), 6, 2, dtype=F64)}  # fmt: skip
SERIES = {"a": conv.init(keys.key(1), 2, 3, (3,), dtype=F64), "b": linear.init(keys.key(2), 3, 2, dtype=F64),
          "c": linear.init(keys.key(3), 8, 2, dtype=F64)}  # fmt: skip
CHANNELS = {"a": conv.init(keys.key(1), 4, 4, (3, 2), groups=2, dtype=F64),
            "b": conv.init(keys.key(2), 4, 8, (1, 3), groups=4, dtype=F64),
            "c": linear.init(keys.key(3), 8, 2, dtype=F64)}  # fmt: skip
NETWORKS = {
    "channels": (channels, CHANNELS, keys.normal(keys.key(4), (6, 4, 7, 6), F64)),
    "perceptron": (mlp.apply, DEEP, X),
    "images": (images, IMAGES, keys.normal(keys.key(4), (6, 2, 7, 6), F64)),
    "series": (series, SERIES, keys.normal(keys.key(4), (6, 2, 8), F64)),
}
