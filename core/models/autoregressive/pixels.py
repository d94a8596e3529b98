"""What models of images pixel by pixel share: p(x) = p(x_1) p(x_2 | x_1) ... of levels x (n, D), row after row.

    model = pixel_cnn.build((8, 8), levels=17)
    params = model.init(key, x)
    grads = torch.func.grad(lambda p: -model.log_prob(p, x).mean())(params)

Networks read all pixels at once and are masked, so that the logits of pixel i are a function of x_1, ..., x_(i-1)
alone. They add to logits of each pixel that start at its levels' frequencies: training starts at independent pixels.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from jensen.core.checks import check_count, check_key, check_tensor
from jensen.core.concrete import is_concrete
from jensen.core.contracts import Key
from jensen.core.distributions import Categorical
from jensen.core.numerics import at_least_float32
from jensen.core.trees import Params, check_keys


@dataclass(frozen=True)
class PixelModel(ABC):
    """A masked network over pixels; every method is a pure function of its parameters."""

    pixels: int
    levels: int

    @abstractmethod
    def init_network(self, key: Key, dtype: torch.dtype, /) -> Params:
        """Whose logits are 0."""

    @abstractmethod
    def read(self, network: Params, shades: Float[Tensor, "n D"], /) -> Float[Tensor, "n D k"]:
        """What the pixels before each add to the logits of its levels; shades are levels from -1 to 1."""

    def init(self, key: Key, x: Int[Tensor, "n D"], dtype: torch.dtype = torch.float32, /) -> Params:
        """{"network", "logits": of each pixel (D, k), the log frequencies of its levels in x}."""
        check_key(key)
        return {"network": self.init_network(key, dtype), "logits": self.frequencies(x).log().to(dtype)}

    def frequencies(self, x: Int[Tensor, "n D"], /) -> Float[Tensor, "D k"]:
        """Of the levels of each pixel in x, one datum's worth of equal ones among them: (D, k), in float64."""
        self.check(x)
        counts = torch.stack([(x == level).sum(0) for level in range(self.levels)], -1).double()
        return (counts + 1 / self.levels) / (len(x) + 1)

    def logits(self, params: Params, x: Int[Tensor, "n D"], /) -> Float[Tensor, "n D k"]:
        """Unnormalised log p(x_i | x_1, ..., x_(i-1)) of every level of every pixel.

        ValueError for levels out of range, while torch runs eagerly.
        """
        check_keys(params, ("network", "logits"))
        self.check(x)
        shades = 2 * x.to(params["logits"].dtype) / (self.levels - 1) - 1
        return params["logits"] + self.read(params["network"], shades)

    def log_probs(self, params: Params, x: Int[Tensor, "n D"], /) -> Float[Tensor, "n D"]:
        """log p(x_i | x_1, ..., x_(i-1)) in nats per pixel. ValueError as for `logits`."""
        logits = at_least_float32(self.logits(params, x))
        return -F.cross_entropy(logits.flatten(0, 1), x.flatten().long(), reduction="none").unflatten(0, x.shape)

    def log_prob(self, params: Params, x: Int[Tensor, "n D"], /) -> Float[Tensor, " n"]:
        """log p(x) in nats per datum. ValueError as for `logits`."""
        return self.log_probs(params, x).sum(-1)

    @torch.no_grad()
    def sample(self, params: Params, key: Key, n: int, /) -> Int[Tensor, "n D"]:
        """n draws, pixel by pixel: D passes of the network.

        The noise of a pixel is a function of key, datum and place: a datum drawn alone under keys.at(key, datum=i) is
        the i-th of many.
        """
        check_key(key)
        check_keys(params, ("network", "logits"))
        every = Categorical(params["logits"].expand(check_count("n", n), -1, -1))
        noise, place = every.noise(key, 1), torch.arange(self.pixels, device=key.device)
        x = torch.zeros(n, self.pixels, dtype=torch.int64, device=key.device)
        for i in range(self.pixels):
            options = Categorical(self.logits(params, x)[:, i : i + 1])
            x = torch.where(place == i, options.perturbed(noise[:, :, i : i + 1])[0].argmax(-1), x)
        return x

    def check(self, x: Tensor) -> None:
        """Raises unless x (n, D) holds levels."""
        check_tensor("x", x, f"n {self.pixels}", "flatten the pixels of each datum, and add a batch axis with x[None]")
        if x.is_floating_point() or x.is_complex() or x.dtype == torch.bool:
            raise TypeError(f"expected x, whole numbers, got {x.dtype}: convert levels with x.long()")
        if is_concrete(x) and x.numel() and not bool(((x >= 0) & (x < self.levels)).all()):
            raise ValueError(
                f"expected x of levels from 0 to {self.levels - 1}, got from {x.min()} to {x.max()}: round grey values "
                f"with (x * {self.levels - 1}).round().long()"
            )
