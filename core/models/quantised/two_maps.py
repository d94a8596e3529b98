"""VQ-VAE-2: an autoencoder of two maps of codes, the bottom one conditioned on the top one (Razavi et al., 2019).

    f = bottom_encoder(x)         e = top quantiser of top_encoder(f)
    u = top_decoder(e)            b = bottom quantiser of join(f, u)
    p(x | codes) = likelihood(decoder(e at the bottom's resolution, b))

The top map has the coarse shape, from which the bottom one's vectors are predicted. Parameters are {"bottom_encoder",
"top_encoder", "top_decoder", "join", "decoder"}, a network's each, with "likelihood" and "quantisers", and the state is
that of the quantisers; each of these two is {"top", "bottom"}.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core import keys
from jensen.core.checks import check_count, check_key, check_sizes, described
from jensen.core.contracts import Distribution, Key
from jensen.core.models.latent.data import check_data, check_training_data
from jensen.core.models.latent.likelihoods import SQUARED_ERROR, Likelihood
from jensen.core.models.latent.likelihoods.likelihood import check_likelihood
from jensen.core.models.quantised import _grids
from jensen.core.models.quantised.autoencoder import FIRST, Activation
from jensen.core.models.quantised.coded import CodeMap, Step, check_map, check_quantiser, map_of, mean_of
from jensen.core.models.quantised.quantiser import Quantiser, follow
from jensen.core.nn import conv as convs
from jensen.core.nn import convnet
from jensen.core.nn.initial import initialiser
from jensen.core.trees import Params, Tree, check_keys

NETWORKS = ("bottom_encoder", "top_encoder", "top_decoder", "join", "decoder")


class Codes(NamedTuple):
    """Of both maps, the coarser first."""

    top: Tensor  # (n, h, w), and an axis more for several codes a position
    bottom: Tensor  # (n, h', w'), so many times finer


@dataclass(frozen=True)
class TwoMaps:
    """A `CodedModel` of two maps; `conv` makes one."""

    image: convnet.Image
    channels: tuple[int, ...]  # of the levels from the image to the bottom map
    above: tuple[int, ...]  # of those from there to the top map
    width: int
    top: Quantiser
    bottom: Quantiser
    activation: Activation
    observation: Likelihood

    @property
    def data(self) -> int:
        return math.prod(self.image)

    @property
    def maps(self) -> tuple[CodeMap, ...]:
        top = convnet.smallest(self.image, (*self.channels, *self.above))
        return map_of(self.top, top), map_of(self.bottom, convnet.smallest(self.image, self.channels))

    def init(self, key: Key, x: Float[Tensor, "N D"], /) -> tuple[Params, Tree]:
        """Networks in x's dtype, and the quantisers at their outputs for the first training data.

        ValueError for x of another width, and where a quantiser needs more vectors than these data have.
        """
        check_key(key)
        check_training_data(x, self.data)
        likelihood, bias = self.observation.init(x)
        *network_keys, top_key, bottom_key = keys.split(key, len(NETWORKS) + 2)
        params = {**self._networks(network_keys, bias), "likelihood": likelihood}
        features, z = self._above(params, x[:FIRST])
        own_top, top = self.top.init(top_key, z)
        vectors = self.top.decode(own_top, top, self.top.encode(own_top, top, z)).to(z.dtype)
        own_bottom, bottom = self.bottom.init(bottom_key, self._below(params, features, vectors))
        return {**params, "quantisers": {"top": own_top, "bottom": own_bottom}}, {"top": top, "bottom": bottom}

    def step(self, params: Params, state: Tree, x: Float[Tensor, "n D"], key: Key, /) -> Step:
        """log p(x | codes) less both quantisers' kl and terms. ValueError for grey x where it must be binary."""
        check_key(key)
        self._check(params, x)
        own, (top_key, bottom_key) = params["quantisers"], keys.split(key)
        features, z = self._above(params, x)
        top = self.top.quantise(own["top"], state["top"], z, top_key)
        bottom = self.bottom.quantise(own["bottom"], state["bottom"], self._below(params, features, top.z), bottom_key)
        each = {"top": top, "bottom": bottom}
        penalties = {f"{term}/{name}": value for name, q in each.items() for term, value in q.terms.items()}
        both = top._replace(kl=top.kl + bottom.kl, terms=penalties)
        terms = both.objective(self._given(params, top.z, bottom.z).log_prob(x))
        after, seen = ({name: getattr(q, of) for name, q in each.items()} for of in ("state", "seen"))
        return Step(terms, penalties, Codes(top.codes, bottom.codes), after, seen)

    def follow(self, state: Tree, seen: Tree, key: Key, /) -> Tree:
        """Both quantisers' states after what they saw, with a step's key."""
        if not isinstance(seen, dict) or seen.keys() != {"top", "bottom"}:
            raise TypeError(f"expected seen, a dict of top and bottom, got {described(seen)}: pass what step gave")
        top_key, bottom_key = keys.split(key)
        return {
            "top": follow(self.top, state["top"], seen["top"], top_key),
            "bottom": follow(self.bottom, state["bottom"], seen["bottom"], bottom_key),
        }

    def codes(self, params: Params, state: Tree, x: Float[Tensor, "n D"], /) -> Codes:
        """Of the quantisers' `encode`, the bottom's given the top's."""
        self._check(params, x)
        own = params["quantisers"]
        features, z = self._above(params, x)
        top = self.top.encode(own["top"], state["top"], z)
        vectors = self.top.decode(own["top"], state["top"], top).to(z.dtype)
        return Codes(top, self.bottom.encode(own["bottom"], state["bottom"], self._below(params, features, vectors)))

    def likelihood(self, params: Params, state: Tree, codes: Codes, /) -> Distribution:
        """p(x | codes), fields (n, D). ValueError for codes of other shapes, or out of range."""
        _check_keys(params)
        if not isinstance(codes, tuple) or len(codes) != 2:
            raise TypeError(f"expected codes, those of two maps, got {described(codes)}: pass Codes(top, bottom)")
        for name, each, of in zip(("codes.top", "codes.bottom"), codes, self.maps, strict=True):
            check_map(each, of, name)
        own, dtype = params["quantisers"], params["decoder"]["bias"].dtype
        top = self.top.decode(own["top"], state["top"], codes[0]).to(dtype)
        return self._given(params, top, self.bottom.decode(own["bottom"], state["bottom"], codes[1]).to(dtype))

    def decode_codes(self, params: Params, state: Tree, codes: Codes, /) -> Float[Tensor, "n D"]:
        """The mean of p(x | codes)."""
        return mean_of(self.likelihood(params, state, codes))

    def independent(self, x: Float[Tensor, "N D"], /) -> Distribution:
        """The likelihood fitted to each pixel of x alone, fields (D,): a model of independent pixels."""
        check_data(x, self.data)
        return self.observation.independent(x)

    def _networks(self, each: Sequence[Tensor], bias: Tensor) -> Params:
        weight, dtype, depth = initialiser(self.activation), bias.dtype, self.image[0]
        features, width = self.channels[-1], self.width
        bottom_key, top_key, top_back, join_key, back = each
        up = _grids.init_up(back, 2 * width, self.channels, depth, weight, dtype)
        return {
            "bottom_encoder": _grids.init_down(bottom_key, depth, self.channels, features, weight, dtype),
            "top_encoder": _grids.init_down(top_key, features, self.above, width, weight, dtype),
            "top_decoder": _grids.init_up(top_back, width, self.above, features, weight, dtype),
            "join": convs.init(join_key, 2 * features, width, 1, weight=weight, dtype=dtype),
            "decoder": {"up": up, "bias": bias.clone()},
        }

    def _above(self, params: Params, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features (n, c, h', w') at the bottom's resolution, and the top's vectors (n, h, w, d)."""
        pictures = rearrange(x, "n (c h w) -> n c h w", c=self.image[0], h=self.image[1])
        features = _grids.down(params["bottom_encoder"], pictures, self.activation)
        z = _grids.down(params["top_encoder"], self.activation(features), self.activation)
        return features, rearrange(z, "n d h w -> n h w d")

    def _below(self, params: Params, features: Tensor, top: Tensor) -> Tensor:
        """The bottom's vectors (n, h', w', d), given those of the top's codes."""
        given = _grids.up(params["top_decoder"], rearrange(top, "n h w d -> n d h w"), self.activation)
        z = convs.apply(params["join"], self.activation(torch.cat([features, given], 1)))
        return rearrange(z, "n d h w -> n h w d")

    def _given(self, params: Params, top: Tensor, bottom: Tensor) -> Distribution:
        finer = bottom.shape[1] // top.shape[1]
        coarse = repeat(top, "n h w d -> n d (h a) (w b)", a=finer, b=finer)
        both = torch.cat([coarse, rearrange(bottom, "n h w d -> n d h w")], 1)
        pictures = _grids.up(params["decoder"]["up"], both, self.activation)
        out = rearrange(pictures, "n c h w -> n (c h w)") + params["decoder"]["bias"]
        return self.observation(params["likelihood"], out)

    def _check(self, params: Params, x: Tensor) -> None:
        check_data(x, self.data, self.observation.binary)
        _check_keys(params)


def conv(
    image: convnet.Image,
    channels: Sequence[int],
    above: Sequence[int],
    width: int,
    top: Quantiser,
    bottom: Quantiser,
    activation: Activation = F.relu,
    likelihood: Likelihood = SQUARED_ERROR,
) -> TwoMaps:
    """Levels of so many channels to the bottom map, and so many more above it to the top one; each halves the sides."""
    convnet.smallest(image, channels)
    channels, above = tuple(channels), check_sizes("above", above)
    try:
        convnet.smallest(image, (*channels, *above))
    except ValueError as error:
        raise ValueError(f"expected above of fewer levels, got {above}: {error}") from error
    if not above:
        raise ValueError("expected above, of one level or more, got (): an autoencoder.conv has one map")
    check_count("width", width)
    initialiser(activation)
    check_quantiser("top", top)
    check_quantiser("bottom", bottom)
    check_likelihood(likelihood)
    return TwoMaps(image, channels, above, width, top, bottom, activation, likelihood)


def _check_keys(params: Params) -> None:
    check_keys(params, (*NETWORKS, "likelihood", "quantisers"))
