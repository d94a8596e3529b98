"""The variational autoencoder (Kingma and Welling, 2014; Rezende et al., 2014).

p(x, z) = p(z) p(x | decode(z)) and q(z | x) = family(encode(x)), with z (s, n, d) and flat data x (n, D). `mlp` and
`conv` build the two networks; the likelihood is a value of `likelihoods`, the family one of `posteriors`, the diagonal
normal by default, and the prior one of `priors`, N(0, I) by default. Parameters are {"encoder": a network's, "decoder":
a network's, "likelihood": the likelihood's own, "posterior": the family's own, "prior": the prior's own}, {} for any
that has none.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core import keys
from jensen.core.checks import (
    check_count,
    check_dtype,
    check_floating,
    check_key,
    check_sizes,
)
from jensen.core.contracts import Distribution, Key
from jensen.core.distributions import DiagNormal
from jensen.core.models.latent.data import check_data, check_training_data
from jensen.core.models.latent.directed import Directed
from jensen.core.models.latent.likelihoods import BERNOULLI, Likelihood, Linear, Outputs
from jensen.core.models.latent.likelihoods.likelihood import check_likelihood
from jensen.core.models.latent.posteriors import DIAG, Posterior, check_posterior
from jensen.core.models.latent.priors import NORMAL, Prior
from jensen.core.models.latent.priors.prior import check_prior
from jensen.core.models.latent.priors.standard import standard_normal
from jensen.core.nn import convnet
from jensen.core.nn import mlp as mlps
from jensen.core.nn.initial import Activation, initialiser
from jensen.core.numerics import bounded
from jensen.core.trees import Params, Tree, check_keys


@dataclass(frozen=True)
class VAE(Directed):
    """An encoder, a decoder and a likelihood; every method is a pure function of its parameters."""

    init_networks: Callable[[Tensor, Tensor], Params]  # key, the decoder's output bias (D,) -> {"encoder", "decoder"}
    encode: Callable[[Params, Tensor], Tensor]  # x (n, D) -> (n, 2 d + the family's extra outputs)
    decode: Callable[[Params, Tensor], Outputs]  # z (s, n, d) -> (s, n, D), or the last linear layer and its inputs
    data: int
    latent: int
    observation: Likelihood
    family: Posterior = DIAG
    base: Prior = NORMAL

    def init(self, key: Key, x: Float[Tensor, "N D"], /) -> Params:
        """Parameters in x's dtype, with a decoder bias at the mean of training data x.

        ValueError for x of another width, for a single datum, such as the data's mean, and for fewer than a prior of
        pseudo-inputs needs.
        """
        check_key(key)
        check_training_data(x, self.data)
        likelihood, bias = self.observation.init(x)
        posterior = self.family.init(keys.fold_in(key, 2), self.latent, x.dtype)  # the networks split the key in two
        prior = self.base.init(keys.fold_in(key, 4), self.latent, x)
        return {**self.init_networks(key, bias), "likelihood": likelihood, "posterior": posterior, "prior": prior}

    def posterior(self, params: Params, x: Float[Tensor, "n D"], /) -> Distribution:
        """q(z | x), of n data. ValueError for grey x where it must be binary, while torch runs eagerly."""
        return self.posterior_of(params, self.encoded(params, x))

    def encoded(self, params: Params, x: Float[Tensor, "n D"], /) -> Float[Tensor, "n e"]:
        """The encoder's outputs, which `posterior_of` makes q of. ValueError as for `posterior`."""
        check_data(x, self.data, self.observation.binary)
        _check(params)
        return self.encode(params["encoder"], x)

    def posterior_of(self, params: Params, outputs: Float[Tensor, "n e"], /) -> Distribution:
        """q(z) of any outputs, one row per datum, as of an encoder: they may have any real values."""
        _check(params)
        expected = _outputs(self.family, self.latent)
        check_floating("outputs", outputs, f"n {expected}", f"an encoder's for {self.latent} latents of this posterior")
        loc, log_scale, extra = outputs.split([self.latent, self.latent, expected - 2 * self.latent], -1)
        return self.family(params["posterior"], DiagNormal(loc, log_scale), extra)

    def units(self, outputs: Float[Tensor, "n e"], /) -> Float[Tensor, "n e"]:
        """exp(log_scale) for loc, 1 for all else: steps of one size suit posteriors of any width."""
        check_floating("outputs", outputs, f"n {_outputs(self.family, self.latent)}", "one row per datum")
        scale = torch.exp(bounded(outputs[:, self.latent : 2 * self.latent]))
        return torch.cat([scale, torch.ones_like(outputs[:, self.latent :])], -1)

    def prior(self, params: Params, n: int, /) -> Distribution:
        """p(z) with rows for n data, in the parameters' dtype, of the posterior's family where that has it."""
        p = self._standard(params, n)
        return self.family.prior(p) if self.base.standard else self._prior(params, p)

    def likelihood(self, params: Params, z: Float[Tensor, "s n d"], /) -> Distribution:
        """p(x | z): fields (s, n, D)."""
        _check(params)
        self._check_latents(z)
        check_dtype("z", z, _first(params["decoder"]), "the parameters")
        return self.observation(params["likelihood"], self.decode(params["decoder"], z))

    def log_prior(self, params: Params, z: Float[Tensor, "s n d"], /) -> Float[Tensor, "s n"]:
        """log p(z) in nats per datum."""
        self._check_latents(z)
        return self._prior(params, self._standard(params, z.shape[-2])).log_prob(z)

    def _prior(self, params: Params, normal: DiagNormal) -> Distribution:
        """The prior, of N(0, I) and of the posterior at inputs that need not be binary."""
        return self.base(
            params["prior"], normal, lambda x: self.posterior_of(params, self.encode(params["encoder"], x))
        )

    def _standard(self, params: Params, n: int) -> DiagNormal:
        _check(params)
        return standard_normal(_first(params["decoder"]), n, self.latent)

    def _check_latents(self, z: Tensor) -> None:
        check_floating("z", z, f"... n {self.latent}", "samples lead, then data, then latent dimensions")


def mlp(
    data: int,
    hidden: Sequence[int],
    latent: int,
    activation: Activation = torch.tanh,
    likelihood: Likelihood = BERNOULLI,
    posterior: Posterior = DIAG,
    prior: Prior = NORMAL,
) -> VAE:
    """Multilayer perceptrons: data -> *hidden -> q's fields, and latent -> *reversed(hidden) -> data."""
    data, latent, hidden = check_count("data", data), check_count("latent", latent), check_sizes("hidden", hidden)
    weight = initialiser(activation)
    check_likelihood(likelihood)
    check_posterior(posterior)
    check_prior(prior)
    outputs = _outputs(posterior, latent)

    def init(key: Tensor, bias: Tensor) -> Params:
        encoder_key, decoder_key = keys.split(key)
        encoder = mlps.init(encoder_key, (data, *hidden, outputs), weight, bias.dtype)
        mlps.last(encoder)["weight"][2 * latent :] = 0
        decoder = mlps.init(decoder_key, (latent, *reversed(hidden), data), weight, bias.dtype)
        mlps.last(decoder)["bias"] = bias.clone()
        return {"encoder": encoder, "decoder": decoder}

    def decode(params: Params, z: Tensor) -> Linear:
        return Linear(mlps.features(params, z, activation), **mlps.last(params))

    return VAE(init, partial(mlps.apply, activation=activation), decode, data, latent, likelihood, posterior, prior)


def conv(
    image: convnet.Image,
    channels: Sequence[int],
    latent: int,
    activation: Activation = F.relu,
    likelihood: Likelihood = BERNOULLI,
    posterior: Posterior = DIAG,
    prior: Prior = NORMAL,
) -> VAE:
    """Convolutions that halve the image once per entry of channels, and their transposes; data are flat images."""
    convnet.smallest(image, channels)
    latent, weight = check_count("latent", latent), initialiser(activation)
    check_likelihood(likelihood)
    check_posterior(posterior)
    check_prior(prior)
    outputs = _outputs(posterior, latent)

    def init(key: Tensor, bias: Tensor) -> Params:
        encoder_key, decoder_key = keys.split(key)
        encoder = convnet.init_encoder(encoder_key, image, channels, outputs, weight, bias.dtype)
        encoder["head"]["weight"][2 * latent :] = 0
        decoder = convnet.init_decoder(decoder_key, latent, tuple(reversed(channels)), image, weight, bias.dtype)
        return {"encoder": encoder, "decoder": {**decoder, "bias": bias.clone()}}

    return VAE(
        init,
        partial(convnet.encode, image=image, activation=activation),
        partial(convnet.decode, image=image, activation=activation),
        math.prod(image),
        latent,
        likelihood,
        posterior,
        prior,
    )


def _outputs(posterior: Posterior, latent: int) -> int:
    """How many outputs an encoder has for this family."""
    return 2 * latent + posterior.extra(latent)


def _first(params: Tree) -> Tensor:
    """A tensor of parameters, which have one dtype."""
    while not isinstance(params, Tensor):
        params = next(iter(params.values()))
    return params


def _check(params: Params) -> None:
    check_keys(params, ("encoder", "decoder", "likelihood", "posterior", "prior"))
