"""The variational autoencoder of several stochastic layers (Rezende et al., 2014; Burda et al., 2016).

p(x, z) = N(zL; 0, I) ... p(z1 | z2) p(x | z1) and q(z | x) = q(z1 | x) q(z2 | z1) ..., all layers normal, with
z = (z1, ..., zL) on the last axis and flat data x (n, D).

Parameters are {"encoder": {"0", "1", ...}, "decoder": {"0", "1", ...}, "likelihood": the likelihood's own}: network i
of the encoder maps layer i to layer i + 1, that of the decoder back, and layer 0 is the data.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_count, check_dtype, check_floating, check_key, check_sizes
from jensen.core.contracts import Distribution, Key
from jensen.core.distributions import DiagNormal, Given, Hierarchical
from jensen.core.models.latent.data import check_data, check_training_data
from jensen.core.models.latent.directed import Directed
from jensen.core.models.latent.likelihoods import BERNOULLI, Likelihood, Linear
from jensen.core.models.latent.likelihoods.likelihood import check_likelihood
from jensen.core.models.latent.priors.standard import standard_normal
from jensen.core.models.latent.top_down import TopDown
from jensen.core.nn import mlp
from jensen.core.nn.initial import Activation, initialiser
from jensen.core.trees import Params, check_keys


@dataclass(frozen=True)
class HVAE(Directed):
    """Stochastic layers of given sizes; every method is a pure function of its parameters."""

    data: int
    latents: tuple[int, ...]  # of each layer, from the data up
    hidden: tuple[int, ...]  # widths between one layer and the next, going up
    activation: Activation
    observation: Likelihood

    @property
    def latent(self) -> int:
        """The dimensions of all layers."""
        return sum(self.latents)

    def init(self, key: Key, x: Float[Tensor, "N D"], /) -> Params:
        """Parameters in x's dtype, with a decoder bias at the mean of training data x.

        ValueError for x of another width, and for a single datum, such as the data's mean.
        """
        check_key(key)
        check_training_data(x, self.data)
        likelihood, bias = self.observation.init(x)
        ups, downs = (keys.split(each, len(self.latents)) for each in keys.split(key))
        weight, below = initialiser(self.activation), (self.data, *self.latents)
        inputs = self._upward()
        encoder: Params = {}
        decoder: Params = {}
        for i, size in enumerate(self.latents):
            outputs = 2 * below[i] if i else self.data
            encoder[str(i)] = mlp.init(ups[i], (inputs[i], *self.hidden, 2 * size), weight, x.dtype)
            decoder[str(i)] = mlp.init(downs[i], (size, *self.hidden[::-1], outputs), weight, x.dtype)
        mlp.last(decoder["0"])["bias"] = bias.clone()
        return {"encoder": encoder, "decoder": decoder, "likelihood": likelihood}

    def posterior(self, params: Params, x: Float[Tensor, "n D"], /) -> Hierarchical | TopDown:
        """q(z | x), of n data. ValueError for grey x where it must be binary, while torch runs eagerly."""
        check_data(x, self.data, self.observation.binary)
        networks = self._networks(params, "encoder")
        first = self._normal(networks["0"], x)
        above = [self._layer(networks[str(i)], self.latents[i]) for i in range(1, len(self.latents))]
        return Hierarchical.of((first, self.latents[0]), *above)

    def prior(self, params: Params, n: int, /) -> TopDown:
        """p(z) with rows for n data, in the parameters' dtype, from the top layer down."""
        networks = self._networks(params, "decoder")
        top = standard_normal(mlp.last(networks["0"])["bias"], n, self.latents[-1])
        below = [self._layer(networks[str(i)], self.latents[i - 1]) for i in range(len(self.latents) - 1, 0, -1)]
        return TopDown(Hierarchical.of((top, self.latents[-1]), *below))

    def likelihood(self, params: Params, z: Float[Tensor, "s n d"], /) -> Distribution:
        """p(x | z1): fields (s, n, D)."""
        self._check(params, z)
        network = self._networks(params, "decoder")["0"]
        features = mlp.features(network, z[..., : self.latents[0]], self.activation)
        return self.observation(params["likelihood"], Linear(features, **mlp.last(network)))

    def log_prior(self, params: Params, z: Float[Tensor, "s n d"], /) -> Float[Tensor, "s n"]:
        """log p(z), the sum over layers, in nats per datum."""
        self._check(params, z)
        return self.prior(params, z.shape[-2]).log_prob(z)

    def _upward(self) -> tuple[int, ...]:
        """What each network of the encoder reads: the layer below."""
        return (self.data, *self.latents[:-1])

    def _layer(self, network: Params, size: int) -> tuple[Given, int]:
        """One layer given that beside it, the last of those drawn."""
        return Given(network, self._beside), size

    def _beside(self, network: Params, z: Float[Tensor, "... d"]) -> DiagNormal:
        return self._normal(network, z[..., -network["0"]["weight"].shape[-1] :])

    def _normal(self, network: Params, h: Float[Tensor, "... i"]) -> DiagNormal:
        return DiagNormal(*mlp.apply(network, h, self.activation).chunk(2, -1))

    def _networks(self, params: Params, side: str) -> Params:
        check_keys(params, ("encoder", "decoder", "likelihood"))
        check_keys(params[side], tuple(str(i) for i in range(len(self.latents))))
        return params[side]

    def _check(self, params: Params, z: Tensor) -> None:
        check_floating("z", z, f"... n {self.latent}", f"layers of {' + '.join(map(str, self.latents))} side by side")
        check_dtype("z", z, mlp.last(self._networks(params, "decoder")["0"])["bias"], "the parameters")


def build(
    data: int,
    latents: Sequence[int],
    hidden: Sequence[int] = (200, 200),
    activation: Activation = torch.tanh,
    likelihood: Likelihood = BERNOULLI,
) -> HVAE:
    """data -> *hidden -> z1 -> *hidden -> z2 -> ..., latents of sizes (z1, z2, ...), and the same way back."""
    initialiser(activation)
    check_likelihood(likelihood)
    latents, hidden = check_sizes("latents", latents), check_sizes("hidden", hidden)
    if not latents:
        raise ValueError("expected latents, the size of each layer, got none: write (50, 25)")
    return HVAE(check_count("data", data), latents, hidden, activation, likelihood)
