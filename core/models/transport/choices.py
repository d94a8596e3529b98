"""A field of noise by what pixels may be: a network chooses each one's shade, and the noise is what is left.

    p(x_0 = v | x_t) is proportional to exp(logits(x_t, t)_v) N(x_t; sqrt(a) v, 1 - a),    v equally spaced in [-1, 1]
    noise = (x_t - sqrt(a) x̂_0) / sqrt(1 - a),    x̂_0 = E[x_0 | x_t]

pixel by pixel. What a pixel's own noisy value says of it is Bayes' rule and is not learned: logits of 0 are right for
independent uniform shades at every level, and a network's have to say what the other pixels tell. Without that it has
to find out which shades there are, at the levels of least noise, where most of the bits are.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.checks import check_count, check_floating, check_value
from jensen.core.contracts import Key
from jensen.core.models.transport import fields
from jensen.core.models.transport.fields import Field
from jensen.core.models.transport.noise_levels import NoiseLevels
from jensen.core.trees import Params, check_keys

STEEPNESS = 4.0  # of logits, whose parameters then move at the pace of other weights


@dataclass(frozen=True)
class Choices:
    """The noise of pixels of so many shades, at the levels that its diffusion has."""

    logits: Field  # of the pixels, to each one's shades
    levels: NoiseLevels
    shades: int

    @property
    def data(self) -> int:
        """How many pixels."""
        return self.logits.data

    def init(self, key: Key, dtype: torch.dtype = torch.float32, /) -> Params:
        """The parameters of the logits."""
        return self.logits.init(key, dtype)

    def __call__(self, params: Params, x: Float[Tensor, "... d"], t: Float[Tensor, "..."], /) -> Float[Tensor, "... d"]:
        """The noise in x at times t in (0, 1], the whole numbers of steps over their count."""
        steps = self.levels.steps
        kept = self.levels.kept()[(t * steps).round().long().clamp(1, steps) - 1]
        return noise(self.logits(params, x, t), x, torch.logit(kept).to(x), self.shades)


@dataclass(frozen=True)
class Powers:
    """Logits of each pixel's shades v: one of its own for each, whatever x, and a polynomial in v by a network.

    The network gives the polynomial's coefficients: `degree` outputs a pixel in place of one a shade.
    """

    network: Field
    shades: int
    degree: int

    @property
    def data(self) -> int:
        """How many pixels."""
        return self.network.data

    def init(self, key: Key, dtype: torch.dtype = torch.float32, /) -> Params:
        """{"network", "frequencies": (d, shades)}, of which the latter start at 0."""
        zeros = torch.zeros(self.data, self.shades, dtype=dtype, device=key.device)
        return {"network": self.network.init(key, dtype), "frequencies": zeros}

    def __call__(self, params: Params, x: Float[Tensor, "... d"], t: Float[Tensor, "..."], /) -> Float[Tensor, "... k"]:
        """Logits, k = d * shades of them, one pixel after another."""
        check_keys(params, ("network", "frequencies"))
        given = self.network(params["network"], x, t).unflatten(-1, (self.data, self.degree))
        powers = torch.stack([_places(self.shades, x) ** (i + 1) for i in range(self.degree)])
        return (STEEPNESS * (given @ powers + params["frequencies"])).flatten(-2)


def build(logits: Field, levels: NoiseLevels, shades: int) -> Choices:
    """The field for `pixel_diffusion.build` at the same levels, by logits such as choices.mlp(d, shades)."""
    check_value("logits", logits, Field, "choices.mlp(64, 17)")
    check_value("levels", levels, NoiseLevels, "noise_levels.linear(1000)")
    return Choices(logits, levels, check_count("shades", shades, 2))


def mlp(data: int, shades: int, hidden: Sequence[int] = (128, 128, 128), degree: int = 2) -> Powers:
    """Logits by a perceptron of pixels and time; of degree 2 a pixel's shades are as of a normal that is cut off."""
    shades, degree = check_count("shades", shades, 2), check_count("degree", degree)
    return Powers(fields.mlp(data, hidden, outputs=check_count("data", data) * degree), shades, degree)


def noise(
    logits: Float[Tensor, "... k"], x: Float[Tensor, "... d"], log_snr: Float[Tensor, "..."], shades: int
) -> Float[Tensor, "... d"]:
    """E[noise | x_t] for logits of each pixel's shades one pixel after another, k = d * shades; log_snr = logit(a)."""
    check_floating("x", x)
    check_floating("log_snr", log_snr)
    check_floating("logits", logits, f"... {x.shape[-1] * check_count('shades', shades, 2)}", "one for each shade")
    log_p = logits.unflatten(-1, (x.shape[-1], shades)) + log_likelihood(x, log_snr, shades)
    clean = (log_p.softmax(-1) * _places(shades, x)).sum(-1)
    kept, lost = log_snr.sigmoid()[..., None], (-log_snr).sigmoid()[..., None]
    return (x - kept.sqrt() * clean) / lost.sqrt()


def log_likelihood(x: Float[Tensor, "... d"], log_snr: Float[Tensor, "..."], shades: int) -> Float[Tensor, "... d v"]:
    """log N(x_t; sqrt(a) v, 1 - a) of each pixel and shade, but for what all shades share."""
    log_snr = log_snr[..., None, None]
    return -0.5 * (x[..., None] - log_snr.sigmoid().sqrt() * _places(shades, x)).square() / (-log_snr).sigmoid()


def _places(shades: int, like: Tensor) -> Float[Tensor, " v"]:
    """So many equally spaced shades from -1 to 1."""
    return torch.linspace(-1, 1, shades, dtype=like.dtype, device=like.device)
