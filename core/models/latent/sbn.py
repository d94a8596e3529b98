"""The sigmoid belief net (Neal, 1992) with a network for its posterior (Mnih and Gregor, 2014).

One layer of units:   p(z) p(x | z) and q(z | x), with z (s, n, units).
Of L layers:          p(zL) ... p(z1 | z2) p(x | z1) and q(z1 | x) q(z2 | z1) ..., with z = (z1, ..., zL) on the last
                      axis.

Every distribution is Bernoulli; x (n, D) is flat and binary. Inputs of networks are centred: x less the mean of the
training data, and units z as 2z - 1. Densities are defined for z between 0 and 1 too, where relaxed estimators
differentiate them.

Parameters are {"encoder": {"mean", "0", "1"}, "decoder": {"prior", "0", "1"}}: network i of the encoder maps layer i to
layer i + 1, that of the decoder back, and layer 0 is the data. The mean has no gradient.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core import keys
from jensen.core.checks import check_count, check_dtype, check_floating, check_key, check_sizes
from jensen.core.contracts import Key
from jensen.core.distributions import Bernoulli, Given, Hierarchical, LinearBernoulli
from jensen.core.models.latent.data import check_data, check_training_data
from jensen.core.models.latent.directed import Directed
from jensen.core.models.latent.likelihoods import BERNOULLI
from jensen.core.models.latent.top_down import TopDown
from jensen.core.nn import mlp
from jensen.core.nn.initial import he, xavier
from jensen.core.trees import Params, check_keys


@dataclass(frozen=True)
class SBN(Directed):
    """A sigmoid belief net of given sizes; every method is a pure function of its parameters."""

    data: int
    units: int  # of each layer
    layers: int
    hidden: tuple[int, ...]  # widths of the leaky rectifiers between one layer and the next; () is linear
    observation = BERNOULLI

    @property
    def latent(self) -> int:
        """The units of all layers."""
        return self.units * self.layers

    def init(self, key: Key, x: Float[Tensor, "N D"], /) -> Params:
        """Parameters in x's dtype, with decoder biases at the mean of training data x.

        ValueError for x of another width, and for a single datum, such as the data's mean.
        """
        check_key(key)
        check_training_data(x, self.data)
        _, bias = self.observation.init(x)
        ups, downs = (keys.split(each, self.layers) for each in keys.split(key))
        weight = he if self.hidden else xavier
        encoder: Params = {"mean": x.mean(0)}
        decoder: Params = {"prior": x.new_zeros(self.units)}
        for i in range(self.layers):
            sizes = (self.units if i else self.data, *self.hidden, self.units)
            encoder[str(i)] = mlp.init(ups[i], sizes, weight, x.dtype)
            decoder[str(i)] = mlp.init(downs[i], sizes[::-1], weight, x.dtype)
        mlp.last(decoder["0"])["bias"] = bias
        return {"encoder": encoder, "decoder": decoder}

    def posterior(self, params: Params, x: Float[Tensor, "n D"], /) -> Bernoulli | Hierarchical:
        """q(z | x): a Bernoulli with logits (n, units), of several layers a Hierarchical of them.

        ValueError for grey x, while torch runs eagerly.
        """
        check_data(x, self.data, binary=True)
        encoder = self._networks(params, "encoder", "mean")
        check_dtype("x", x, encoder["mean"], "the parameters")
        first = Bernoulli(mlp.apply(encoder["0"], x - encoder["mean"].detach(), F.leaky_relu))
        if self.layers == 1:
            return first
        above = [(Given(encoder[str(i)], _beside), self.units) for i in range(1, self.layers)]
        return Hierarchical.of((first, self.units), *above)

    def prior(self, params: Params, n: int, /) -> Bernoulli | TopDown:
        """p(z): a Bernoulli with logits (n, units), of several layers from the top one down."""
        decoder = self._networks(params, "decoder", "prior")
        top = Bernoulli(decoder["prior"].expand(check_count("n", n, 0), -1))
        if self.layers == 1:
            return top
        below = [(Given(decoder[str(i)], _beside), self.units) for i in range(self.layers - 1, 0, -1)]
        return TopDown(Hierarchical.of((top, self.units), *below))

    def likelihood(self, params: Params, z: Float[Tensor, "s n d"], /) -> LinearBernoulli:
        """p(x | z): logits (s, n, D), given the lowest layer alone."""
        self._check(params, z)
        network = self._networks(params, "decoder", "prior")["0"]
        h = mlp.features(network, 2 * z[..., : self.units] - 1, F.leaky_relu)
        return LinearBernoulli(h, **mlp.last(network))

    def log_prior(self, params: Params, z: Float[Tensor, "s n d"], /) -> Float[Tensor, "s n"]:
        """log p(z), the sum over layers, in nats per datum."""
        self._check(params, z)
        return self.prior(params, z.shape[-2]).log_prob(z)

    def _networks(self, params: Params, side: str, constant: str) -> Params:
        check_keys(params, ("encoder", "decoder"))
        check_keys(params[side], (constant, *(str(i) for i in range(self.layers))))
        return params[side]

    def _check(self, params: Params, z: Tensor) -> None:
        layers = f"{self.layers} layers of {self.units} units are side by side"
        check_floating("z", z, f"... n {self.latent}", layers)
        check_dtype("z", z, self._networks(params, "decoder", "prior")["prior"], "the parameters")


def build(data: int, units: int = 200, layers: int = 1, hidden: Sequence[int] = ()) -> SBN:
    """data <-> units <-> ... <-> units, with leaky rectifiers of the hidden widths in between.

    hidden=() is the literature's linear net, (200, 200) its non-linear one; going down, the widths are reversed.
    """
    data, units, layers = check_count("data", data), check_count("units", units), check_count("layers", layers)
    return SBN(data, units, layers, check_sizes("hidden", hidden))


def _beside(params: Params, z: Float[Tensor, "... units"]) -> Bernoulli:
    """One layer given the units of the layer beside it, the last of z."""
    units = params["0"]["weight"].shape[-1]
    return Bernoulli(mlp.apply(params, 2 * z[..., -units:] - 1, F.leaky_relu))
