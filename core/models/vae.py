"""The variational autoencoder (Kingma and Welling, 2014; Rezende et al., 2014).

p(x, z) = N(z; 0, I) p(x | decode(z)) and q(z | x) = N(z; encode(x)), with z (s, n, d) and flat data x (n, D).
Parameters are {"encoder": ..., "decoder": ...}; `mlp` and `conv` build the two networks.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from jensen.core import keys, trees
from jensen.core.distributions import Bernoulli, ContinuousBernoulli, DiagNormal, SoftBernoulli
from jensen.core.models.data import check_data
from jensen.core.nn import convnet
from jensen.core.nn import mlp as mlps
from jensen.core.nn.initial import he, xavier
from jensen.core.trees import Params, check_keys

Activation = Callable[[Tensor], Tensor]
Likelihood = type[Bernoulli] | type[SoftBernoulli] | type[ContinuousBernoulli] | type[DiagNormal]


class VAE(NamedTuple):
    """A pair of networks and a likelihood, as a value; every method is a pure function of the parameters it takes."""

    init_networks: Callable[[Tensor, Tensor], Params]  # key, the decoder's output bias (D,) -> {"encoder", "network"}
    encode: Callable[[Params, Tensor], Tensor]  # x (n, D) -> (n, 2 d)
    decode: Callable[[Params, Tensor], Tensor]  # z (s, n, d) -> (s, n, D)
    latent: int
    likelihood: Likelihood

    def init(self, key: Int[Tensor, "3"], mean: Float[Tensor, " D"]) -> Params:
        """Parameters whose decoder starts at the data's mean (D,), clipped to [0.001, 0.999] where it is a probability.

        The dtype is the mean's. A Gaussian likelihood adds one log scale, shared by all outputs and learned.
        """
        if self.likelihood is not DiagNormal:
            mean = mean.clamp(0.001, 0.999)
        networks = self.init_networks(key, self.likelihood.from_mean(mean)[0])
        decoder = {"network": networks["decoder"]}
        if self.likelihood is DiagNormal:
            decoder["log_scale"] = torch.zeros((), dtype=mean.dtype, device=mean.device)
        return {"encoder": networks["encoder"], "decoder": decoder}

    def prior(self, like: Tensor) -> DiagNormal:
        """N(0, I) with fields (d,), of the dtype and device of `like`."""
        zeros = torch.zeros(self.latent, dtype=like.dtype, device=like.device)
        return DiagNormal(zeros, zeros)

    def sample_prior(self, decoder: Params, key: Int[Tensor, "3"], n: int) -> Float[Tensor, "1 n d"]:
        """n draws from p(z), in the decoder's dtype."""
        like = trees.leaves(decoder)[0]
        return self.prior(like).sample(keys.normal(key, (1, n, self.latent), like.dtype))

    def posterior(self, encoder: Params, x: Float[Tensor, "n D"]) -> DiagNormal:
        """q(z | x): fields (n, d)."""
        check_data(x)
        out = self.encode(encoder, x)
        if out.shape[-1] != 2 * self.latent:
            raise ValueError(
                f"expected an encoder of {2 * self.latent} outputs for {self.latent} latents, got {out.shape[-1]}"
            )
        loc, log_scale = out.chunk(2, -1)
        return DiagNormal(loc, log_scale)

    def observation(self, decoder: Params, z: Float[Tensor, "s n d"]) -> Bernoulli | ContinuousBernoulli | DiagNormal:
        """p(x | z): fields (s, n, D)."""
        check_keys(decoder, ("network", "log_scale") if self.likelihood is DiagNormal else ("network",))
        out = self.decode(decoder["network"], z)
        if self.likelihood is DiagNormal:
            return DiagNormal(out, decoder["log_scale"].expand_as(out))
        return self.likelihood(out)  # pyright: ignore[reportCallIssue]  (the others have one field)

    def log_likelihood(
        self, decoder: Params, x: Float[Tensor, "n D"], z: Float[Tensor, "s n d"]
    ) -> Float[Tensor, "s n"]:
        """log p(x | z) in nats per datum. ValueError for grey x under a Bernoulli, where torch runs eagerly."""
        check_data(x, binary=self.likelihood is Bernoulli)
        return self.observation(decoder, z).log_prob(x)

    def log_joint(self, decoder: Params, x: Float[Tensor, "n D"], z: Float[Tensor, "s n d"]) -> Float[Tensor, "s n"]:
        """log p(x, z) = log N(z; 0, I) + log p(x | z), in nats per datum."""
        return self.prior(z).log_prob(z) + self.log_likelihood(decoder, x, z)


def mlp(
    data: int,
    hidden: Sequence[int],
    latent: int,
    activation: Activation = torch.tanh,
    likelihood: Likelihood = Bernoulli,
) -> VAE:
    """Multilayer perceptrons: data -> *hidden -> 2 latent, and latent -> *reversed(hidden) -> data."""
    weight = initialiser(activation)

    def init(key: Tensor, bias: Tensor) -> Params:
        encoder_key, decoder_key = keys.split(key)
        encoder = mlps.init(encoder_key, (data, *hidden, 2 * latent), weight, bias.dtype)
        decoder = mlps.init(decoder_key, (latent, *reversed(hidden), data), weight, bias.dtype)
        decoder[str(len(hidden))]["bias"] = bias.clone()
        return {"encoder": encoder, "decoder": decoder}

    apply = partial(mlps.apply, activation=activation)
    return VAE(init, apply, apply, latent, likelihood)


def conv(
    image: convnet.Image,
    channels: Sequence[int],
    latent: int,
    activation: Activation = F.relu,
    likelihood: Likelihood = Bernoulli,
) -> VAE:
    """Convolutions that halve the image once per entry of channels, and their mirror image; data are flat images."""
    convnet.smallest(image, channels)
    weight = initialiser(activation)

    def init(key: Tensor, bias: Tensor) -> Params:
        encoder_key, decoder_key = keys.split(key)
        encoder = convnet.init_encoder(encoder_key, image, channels, 2 * latent, weight, bias.dtype)
        decoder = convnet.init_decoder(decoder_key, latent, tuple(reversed(channels)), image, weight, bias.dtype)
        return {"encoder": encoder, "decoder": {**decoder, "bias": bias.clone()}}

    return VAE(
        init,
        partial(convnet.encode, image=image, activation=activation),
        partial(convnet.decode, image=image, activation=activation),
        latent,
        likelihood,
    )


def initialiser(activation: Activation) -> Callable[..., Tensor]:
    """He's weights for rectifiers, Xavier's for the rest."""
    return he if activation in (F.relu, F.leaky_relu, F.gelu, torch.relu) else xavier
