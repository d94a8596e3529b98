"""The sigmoid belief net (Neal, 1992) with a network for its posterior (Mnih and Gregor, 2014).

One layer of units:   p(z) p(x | z) and q(z | x), with z (s, n, units).
Two:                  p(z2) p(z1 | z2) p(x | z1) and q(z1 | x) q(z2 | z1), with z = (z1, z2) on the last axis.

Everything is Bernoulli; x (n, D) is flat and binary. Networks see centred values: x less the mean of the training
data, and units z as 2z - 1. Densities are also defined for z between 0 and 1, where relaxed estimators differentiate.

Parameters are {"encoder": {"mean", "0", "1"}, "decoder": {"prior", "0", "1"}}: network i of the encoder leads from
layer i up to layer i + 1, that of the decoder back down, and layer 0 is the data. The mean is a constant.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from jensen.core import keys
from jensen.core.distributions import Bernoulli, Hierarchical
from jensen.core.models.data import check_data
from jensen.core.nn import mlp
from jensen.core.nn.initial import he, xavier
from jensen.core.trees import Params, check_keys


class SBN(NamedTuple):
    """The sizes of a net, as a value; every method is a pure function of the parameters it takes."""

    data: int
    units: int  # of each layer
    layers: int
    hidden: tuple[int, ...]  # widths of the leaky rectifiers between one layer and the next; () is linear

    likelihood = Bernoulli

    @property
    def latent(self) -> int:
        """The units of all layers."""
        return self.units * self.layers

    def init(self, key: Int[Tensor, "3"], mean: Float[Tensor, " D"]) -> Params:
        """Parameters whose decoder starts at the data's mean (D,), clipped to [0.001, 0.999], in the mean's dtype."""
        ups, downs = (keys.split(each, self.layers) for each in keys.split(key))
        weight = he if self.hidden else xavier
        encoder: Params = {"mean": mean.clone()}
        decoder: Params = {"prior": mean.new_zeros(self.units)}
        for i in range(self.layers):
            sizes = (self.units if i else self.data, *self.hidden, self.units)
            encoder[str(i)] = mlp.init(ups[i], sizes, weight, mean.dtype)
            decoder[str(i)] = mlp.init(downs[i], sizes[::-1], weight, mean.dtype)
        decoder["0"][str(len(self.hidden))]["bias"] = Bernoulli.from_mean(mean.clamp(0.001, 0.999)).logits
        return {"encoder": encoder, "decoder": decoder}

    def posterior(self, encoder: Params, x: Float[Tensor, "n D"]) -> Bernoulli | Hierarchical:
        """q(z | x): a Bernoulli with logits (n, units), of two layers a Hierarchical of two."""
        check_data(x)
        check_keys(encoder, ("mean", *self._networks()))
        first = _bernoulli(encoder["0"], x - encoder["mean"].detach())
        return first if self.layers == 1 else Hierarchical(first, encoder["1"], _beside, self.units)

    def prior(self, decoder: Params) -> Bernoulli:
        """p of the top layer: logits (units,)."""
        return Bernoulli(decoder["prior"])

    def log_prior(self, decoder: Params, z: Float[Tensor, "s n d"]) -> Float[Tensor, "s n"]:
        """log p(z), the sum over layers, in nats per datum."""
        check_keys(decoder, ("prior", *self._networks()))
        *lower, top = layers = self._split(z)
        each = [_beside(decoder[str(i + 1)], layers[i + 1]).log_prob(units) for i, units in enumerate(lower)]
        return sum(each, self.prior(decoder).log_prob(top))

    def sample_prior(self, decoder: Params, key: Int[Tensor, "3"], n: int) -> Float[Tensor, "1 n d"]:
        """n draws from p(z), from the top layer down."""
        p, layers = Bernoulli(self.prior(decoder).logits.expand(n, -1)), []
        for i in reversed(range(self.layers)):
            layers.insert(0, p.sample(p.noise(keys.fold_in(key, i), 1)))
            if i > 0:
                p = Bernoulli(_beside(decoder[str(i)], layers[0]).logits[0])
        return torch.cat(layers, -1)

    def observation(self, decoder: Params, z: Float[Tensor, "s n d"]) -> Bernoulli:
        """p(x | z): logits (s, n, D)."""
        return _beside(decoder["0"], self._split(z)[0])

    def log_likelihood(
        self, decoder: Params, x: Float[Tensor, "n D"], z: Float[Tensor, "s n d"]
    ) -> Float[Tensor, "s n"]:
        """log p(x | z) in nats per datum. ValueError for grey x, where torch runs eagerly."""
        check_data(x, binary=True)
        return self.observation(decoder, z).log_prob(x)

    def log_joint(self, decoder: Params, x: Float[Tensor, "n D"], z: Float[Tensor, "s n d"]) -> Float[Tensor, "s n"]:
        """log p(x, z) = log p(z) + log p(x | z), in nats per datum."""
        return self.log_prior(decoder, z) + self.log_likelihood(decoder, x, z)

    def _networks(self) -> tuple[str, ...]:
        return tuple(str(i) for i in range(self.layers))

    def _split(self, z: Tensor) -> list[Tensor]:
        """Each layer's units, lowest first."""
        if z.ndim == 0 or z.shape[-1] != self.latent:
            raise ValueError(
                f"expected z (s, n, {self.latent}) for {self.layers} layers of {self.units} units, got {tuple(z.shape)}"
            )
        return list(z.split(self.units, -1))


def build(data: int, units: int = 200, layers: int = 1, hidden: Sequence[int] = ()) -> SBN:
    """data <-> units, or data <-> units <-> units, with leaky rectifiers of the hidden widths in between.

    hidden=() is the literature's linear net, (200, 200) its non-linear one; going down, the widths are reversed.
    """
    if layers not in (1, 2):
        raise ValueError(f"expected 1 or 2 layers of units, got {layers}")
    if min(data, units, *hidden) < 1:
        raise ValueError(f"expected positive widths, got data {data}, units {units}, hidden {tuple(hidden)}")
    return SBN(data, units, layers, tuple(hidden))


def _beside(params: Params, z: Float[Tensor, "... units"]) -> Bernoulli:
    """One layer given the units of the layer beside it."""
    return _bernoulli(params, 2 * z - 1)


def _bernoulli(params: Params, inputs: Tensor) -> Bernoulli:
    return Bernoulli(mlp.apply(params, inputs, F.leaky_relu))
