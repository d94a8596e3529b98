"""An autoencoder whose latents are a grid of codes (van den Oord et al., 2017), around any quantiser.

    z = encode(x), (n, *grid, d)        q = quantise(z)        p(x | codes) = likelihood(decode(q.z))

Data x (n, D) are flat. The codes are uniform before a prior is trained on them, so that reconstruction - kl bounds
log p(x). Parameters are {"encoder": a network's, "decoder": a network's, "likelihood": the likelihood's own,
"quantiser": the quantiser's own}, and the state is the quantiser's.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from jensen.core import keys
from jensen.core.checks import check_count, check_key, check_sizes
from jensen.core.contracts import Distribution, Key
from jensen.core.models.latent.data import check_data, check_training_data
from jensen.core.models.latent.likelihoods import SQUARED_ERROR, Likelihood, Linear, Outputs
from jensen.core.models.latent.likelihoods.likelihood import check_likelihood
from jensen.core.models.quantised import _grids
from jensen.core.models.quantised.coded import CodeMap, Step, check_map, check_quantiser, map_of, mean_of, step_of
from jensen.core.models.quantised.quantiser import Quantised, Quantiser, follow
from jensen.core.nn import convnet
from jensen.core.nn import mlp as mlps
from jensen.core.nn.initial import Activation, initialiser
from jensen.core.trees import Params, Tree, check_keys, leaves

FIRST = 2000  # training data that a quantiser starts from


@dataclass(frozen=True)
class Autoencoder:
    """An encoder, a quantiser, a decoder and a likelihood: a `CodedModel` of one map."""

    init_networks: Callable[[Tensor, Tensor], Params]  # key, the decoder's output bias (D,) -> {"encoder", "decoder"}
    encode: Callable[[Params, Tensor], Tensor]  # x (n, D) -> (n, *grid, d)
    decode: Callable[[Params, Tensor], Outputs]  # z (n, *grid, d) -> (n, D), or the last linear layer and its inputs
    data: int
    grid: tuple[int, ...]
    quantiser: Quantiser
    observation: Likelihood
    last: str  # the path of the decoder's last weight

    @property
    def maps(self) -> tuple[CodeMap, ...]:
        return (map_of(self.quantiser, self.grid),)

    def init(self, key: Key, x: Float[Tensor, "N D"], /) -> tuple[Params, Tree]:
        """Networks in x's dtype, and the quantiser at their outputs for the first training data.

        ValueError for x of another width, and where the quantiser needs more vectors than these data have.
        """
        check_key(key)
        check_training_data(x, self.data)
        network_key, own_key = keys.split(key)
        likelihood, bias = self.observation.init(x)
        networks = self.init_networks(network_key, bias)
        own, state = self.quantiser.init(own_key, self.encode(networks["encoder"], x[:FIRST]))
        return {**networks, "likelihood": likelihood, "quantiser": own}, state

    def step(self, params: Params, state: Tree, x: Float[Tensor, "n D"], key: Key, /) -> Step:
        """log p(x | codes) less the quantiser's kl and terms. ValueError for grey x where it must be binary."""
        q = self.quantised(params, state, x, key)
        return step_of(q, self.given(params, q.z), x)

    def follow(self, state: Tree, seen: Tree, key: Key, /) -> Tree:
        """The quantiser's state after what it saw, with a step's key."""
        return follow(self.quantiser, state, seen, key)

    def quantised(self, params: Params, state: Tree, x: Float[Tensor, "n D"], key: Key, /) -> Quantised:
        """The encoder's vectors, replaced by those of their codes. ValueError as for `step`."""
        check_key(key)
        z = self._vectors(params, x)
        return self.quantiser.quantise(params["quantiser"], state, z, key)

    def given(self, params: Params, z: Float[Tensor, "n *positions d"], /) -> Distribution:
        """p(x | codes) of vectors z, fields (n, D)."""
        return self.observation(params["likelihood"], self.decode(params["decoder"], z))

    def codes(self, params: Params, state: Tree, x: Float[Tensor, "n D"], /) -> Int[Tensor, "n *positions"]:
        """Those that `encode` of the quantiser gives: (n, *maps[0].shape)."""
        z = self._vectors(params, x)
        return self.quantiser.encode(params["quantiser"], state, z)

    def likelihood(self, params: Params, state: Tree, codes: Int[Tensor, "n *positions"], /) -> Distribution:
        """p(x | codes), fields (n, D). ValueError for codes of another shape, or out of range."""
        check_map(codes, self.maps[0])
        _check(params)
        z = self.quantiser.decode(params["quantiser"], state, codes)
        return self.given(params, z.to(leaves(params["decoder"])[0].dtype))

    def decode_codes(self, params: Params, state: Tree, codes: Int[Tensor, "n *positions"], /) -> Float[Tensor, "n D"]:
        """The mean of p(x | codes)."""
        return mean_of(self.likelihood(params, state, codes))

    def independent(self, x: Float[Tensor, "N D"], /) -> Distribution:
        """The likelihood fitted to each pixel of x alone, fields (D,): a model of independent pixels."""
        check_data(x, self.data)
        return self.observation.independent(x)

    def _vectors(self, params: Params, x: Tensor) -> Tensor:
        check_data(x, self.data, self.observation.binary)
        _check(params)
        return self.encode(params["encoder"], x)


def mlp(
    data: int,
    hidden: Sequence[int],
    positions: int,
    width: int,
    quantiser: Quantiser,
    activation: Activation = F.relu,
    likelihood: Likelihood = SQUARED_ERROR,
) -> Autoencoder:
    """Multilayer perceptrons: data -> *hidden -> vectors (positions, width), and back by *reversed(hidden)."""
    data, positions, width = check_count("data", data), check_count("positions", positions), check_count("width", width)
    hidden, weight = check_sizes("hidden", hidden), initialiser(activation)
    check_quantiser("quantiser", quantiser)
    check_likelihood(likelihood)

    def init(key: Tensor, bias: Tensor) -> Params:
        encoder_key, decoder_key = keys.split(key)
        encoder = mlps.init(encoder_key, (data, *hidden, positions * width), weight, bias.dtype)
        decoder = mlps.init(decoder_key, (positions * width, *reversed(hidden), data), weight, bias.dtype)
        mlps.last(decoder)["bias"] = bias.clone()
        return {"encoder": encoder, "decoder": decoder}

    def encode(params: Params, x: Tensor) -> Tensor:
        return rearrange(mlps.apply(params, x, activation), "n (p d) -> n p d", d=width)

    def decode(params: Params, z: Tensor) -> Linear:
        return Linear(mlps.features(params, rearrange(z, "n p d -> n (p d)"), activation), **mlps.last(params))

    last = f"{len(hidden)}.weight"
    return Autoencoder(init, encode, decode, data, (positions,), quantiser, likelihood, last)


def conv(
    image: convnet.Image,
    channels: Sequence[int],
    width: int,
    quantiser: Quantiser,
    activation: Activation = F.relu,
    likelihood: Likelihood = SQUARED_ERROR,
) -> Autoencoder:
    """Convolutions that halve the image once per entry of channels, to a grid of vectors, and back; data are flat."""
    grid, width = convnet.smallest(image, channels), check_count("width", width)
    weight = initialiser(activation)
    check_quantiser("quantiser", quantiser)
    check_likelihood(likelihood)

    def init(key: Tensor, bias: Tensor) -> Params:
        encoder_key, decoder_key = keys.split(key)
        decoder = _grids.init_up(decoder_key, width, channels, image[0], weight, bias.dtype)
        return {
            "encoder": _grids.init_down(encoder_key, image[0], channels, width, weight, bias.dtype),
            "decoder": {"up": decoder, "bias": bias.clone()},
        }

    def encode(params: Params, x: Tensor) -> Tensor:
        pictures = rearrange(x, "n (c h w) -> n c h w", c=image[0], h=image[1])
        return rearrange(_grids.down(params, pictures, activation), "n d h w -> n h w d")

    def decode(params: Params, z: Tensor) -> Tensor:
        pictures = _grids.up(params["up"], rearrange(z, "n h w d -> n d h w"), activation)
        return rearrange(pictures, "n c h w -> n (c h w)") + params["bias"]

    last = f"up.levels.{len(channels) - 1}.weight"
    return Autoencoder(init, encode, decode, math.prod(image), grid, quantiser, likelihood, last)


def _check(params: Params) -> None:
    check_keys(params, ("encoder", "decoder", "likelihood", "quantiser"))
