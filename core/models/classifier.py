"""Classifiers, p(label | x) of flat data x (n, D): a multilayer perceptron, or convolutions under one.

    model = conv((1, 8, 8), channels=(16, 32), hidden=(64,), classes=10)
    params = model.init(key)
    grads = torch.func.grad(model.loss)(params, x, labels)

Each level of `conv` is a convolution of kernel 3 that keeps the sides, the activation, and max pooling that halves
the sides.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from jensen.core import keys
from jensen.core.checks import check_count, check_floating, check_function, check_key, check_sizes
from jensen.core.contracts import Key
from jensen.core.models.labels import check_labels
from jensen.core.nn import conv as convs
from jensen.core.nn import linear, pooling
from jensen.core.nn import mlp as mlps
from jensen.core.nn.convnet import Image
from jensen.core.nn.initial import Activation, he
from jensen.core.nn.windows import Window, output_size
from jensen.core.numerics import at_least_float32
from jensen.core.trees import Params, check_keys

KERNEL, POOL = 3, 2
LEVEL = (Window(KERNEL, padding=KERNEL // 2), Window(POOL, stride=POOL))


@dataclass(frozen=True)
class Classifier:
    """A network of logits; every method is a pure function of its parameters."""

    init_network: Callable[[Key, torch.dtype], Params]
    hidden: Callable[[Params, Tensor], Tensor]  # x (n, D) -> (n, h)
    last: Callable[[Params], Params]  # the linear layer above
    data: int
    classes: int

    def init(self, key: Key, dtype: torch.dtype = torch.float32, /) -> Params:
        """The network's parameters."""
        check_key(key)
        return self.init_network(key, dtype)

    def logits(self, params: Params, x: Float[Tensor, "n D"], /) -> Float[Tensor, "n c"]:
        """Unnormalised log p(label | x) of each class."""
        features = self.features(params, x)
        return linear.apply(self.last(params), features)

    def features(self, params: Params, x: Float[Tensor, "n D"], /) -> Float[Tensor, "n h"]:
        """What the last layer reads: the last hidden units after their activation, or what there is without any."""
        self._check_data(x)
        return self.hidden(params, x)

    def log_prob(self, params: Params, x: Float[Tensor, "n D"], labels: Int[Tensor, " n"], /) -> Float[Tensor, " n"]:
        """log p(label | x) in nats per datum. ValueError for labels out of range, while torch runs eagerly."""
        self._check(x, labels)
        logits = at_least_float32(self.logits(params, x))
        return -F.cross_entropy(logits, labels.long(), reduction="none").to(x.dtype)

    def loss(self, params: Params, x: Float[Tensor, "n D"], labels: Int[Tensor, " n"], /) -> Float[Tensor, ""]:
        """Minus the mean of `log_prob`."""
        return -self.log_prob(params, x, labels).mean()

    def correct(self, params: Params, x: Float[Tensor, "n D"], labels: Int[Tensor, " n"], /) -> Float[Tensor, " n"]:
        """1 where the largest logit is the label's, else 0: its mean is the accuracy."""
        self._check(x, labels)
        return (self.logits(params, x).argmax(-1) == labels).to(x.dtype)

    def _check(self, x: Tensor, labels: Tensor) -> None:
        self._check_data(x)
        check_labels(labels, len(x), self.classes)

    def _check_data(self, x: Tensor) -> None:
        check_floating("x", x, f"n {self.data}", "flatten the pixels of each datum, and add a batch axis with x[None]")


def mlp(data: int, hidden: Sequence[int], classes: int, activation: Activation = F.relu) -> Classifier:
    """A multilayer perceptron: data -> *hidden -> classes."""
    data, hidden, classes = check_count("data", data), check_sizes("hidden", hidden), check_count("classes", classes, 2)
    check_function("activation", activation, "torch.relu")

    def init(key: Key, dtype: torch.dtype) -> Params:
        return mlps.init(key, (data, *hidden, classes), he, dtype)

    return Classifier(init, partial(mlps.features, activation=activation), mlps.last, data, classes)


def conv(
    image: Image,
    channels: Sequence[int],
    hidden: Sequence[int],
    classes: int,
    activation: Activation = F.relu,
) -> Classifier:
    """Levels of so many channels, and a multilayer perceptron over what they leave; data are flat images.

    Parameters are {"levels": {"0": conv, ...}, "head": mlp}. ValueError where the levels leave nothing of the image.
    """
    depth, height, width = check_sizes("image", image, length=3)
    channels, hidden = check_sizes("channels", channels), check_sizes("hidden", hidden)
    classes = check_count("classes", classes, 2)
    check_function("activation", activation, "torch.relu")
    try:
        sides = [output_size(side, LEVEL * len(channels)) for side in (height, width)]
    except ValueError as error:
        raise ValueError(
            f"expected channels of fewer levels, got {len(channels)} for image {image}: each halves the sides, and "
            "nothing is left"
        ) from error
    left = math.prod(((depth, *channels)[-1], *sides))

    def init(key: Key, dtype: torch.dtype) -> Params:
        *each, head = keys.split(key, len(channels) + 1)
        sizes = (depth, *channels)
        levels = {
            str(i): convs.init(k, sizes[i], sizes[i + 1], KERNEL, weight=he, dtype=dtype) for i, k in enumerate(each)
        }
        return {"levels": levels, "head": mlps.init(head, (left, *hidden, classes), he, dtype)}

    def features(params: Params, x: Float[Tensor, "n D"]) -> Float[Tensor, "n h"]:
        check_keys(params, ("levels", "head"))
        h = rearrange(x, "n (c h w) -> n c h w", c=depth, h=height)
        for i in range(len(channels)):
            level = convs.apply(params["levels"][str(i)], h, padding=KERNEL // 2)
            h = pooling.max_pool(activation(level), POOL)
        return mlps.features(params["head"], rearrange(h, "n c h w -> n (c h w)"), activation)

    return Classifier(
        init, features, lambda params: mlps.last(params["head"]), math.prod((depth, height, width)), classes
    )
