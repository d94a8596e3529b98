"""The VAE with a Gaussian-process prior over time (Casale et al., 2018), by inducing points (Jazbec et al., 2021).

    z_l ~ GP(0, k_l)    x(t) ~ N(decode(z(t)), exp(log_scale)^2)

and q(z | x, t) is Gaussian-process regression on the encoder's pseudo-observations (Pearce, 2020): it sees x(t) as z(t)
with noise, N(z(t); encode(x(t))), for each dimension. The bound needs the marginals of q at observed times alone, and
costs O(times * inducing^2) for each series. Parameters are {"encoder", "decoder": perceptrons', "kernel":
{"log_length", "places"}, "likelihood": {"log_scale"}}.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_count, check_floating, check_key, check_number, check_sizes
from jensen.core.contracts import Key
from jensen.core.distributions import DiagNormal
from jensen.core.models.latent.likelihoods import GAUSSIAN
from jensen.core.models.latent.series import Inferred, Series, check_series, moments
from jensen.core.models.latent.sparse_gp import SparseGP
from jensen.core.nn import mlp
from jensen.core.trees import Params, check_keys


@dataclass(frozen=True)
class GaussianProcessVAE:
    """Inducing points start evenly on [0, duration]; every method is a pure function of its parameters."""

    channels: int
    latent: int
    duration: float
    inducing: int
    length: float  # of the kernels, at the start
    encoder: tuple[int, ...]  # widths of hidden layers; () is linear
    decoder: tuple[int, ...]
    jitter: float

    def init(self, key: Key, x: Series, /) -> Params:
        """Parameters in x's dtype, with a decoder bias and a scale of training series x. ValueError as `moments`."""
        check_key(key)
        check_series(x, self.channels)
        mean, log_scale = moments(x)
        encoder_key, decoder_key = keys.split(key)
        dtype = x.values.dtype
        decoder = mlp.init(decoder_key, (self.latent, *self.decoder, self.channels), dtype=dtype)
        mlp.last(decoder)["bias"] = mean
        places = torch.linspace(0, self.duration, self.inducing, dtype=dtype, device=x.times.device)
        return {
            "encoder": mlp.init(encoder_key, (self.channels, *self.encoder, 2 * self.latent), dtype=dtype),
            "decoder": decoder,
            "kernel": {"log_length": x.times.new_full((self.latent,), self.length).log(), "places": places},
            "likelihood": {"log_scale": log_scale},
        }

    def pseudo_observations(self, params: Params, x: Series, /) -> DiagNormal:
        """What the encoder sees of z at each time: fields (n, m, l), those of times not observed without a meaning."""
        check_series(x, self.channels)
        _check(params)
        return DiagNormal(*mlp.apply(params["encoder"], x.filled()).chunk(2, -1))

    def posterior(self, params: Params, x: Series, /) -> SparseGP:
        """q(z | x, t), of the observations in x."""
        y, kernel = self.pseudo_observations(params, x), params["kernel"]
        jitter = kernel["places"].new_tensor(self.jitter)
        return SparseGP.of(y, x.times, x.mask, kernel["places"], kernel["log_length"], jitter)

    def likelihood(self, params: Params, z: Float[Tensor, "s n m l"], /) -> DiagNormal:
        """p(x(t) | z(t)) at each time: fields (s, n, m, c)."""
        _check(params)
        check_floating("z", z, f"... n m {self.latent}", "samples lead, then data, then times")
        return GAUSSIAN(params["likelihood"], mlp.apply(params["decoder"], z))

    def infer(self, params: Params, x: Series, key: Key, s: int, /) -> Inferred:
        """p(x | z) of s samples of q's marginals at all of x's times, and the KL by latent dimension, (n, l)."""
        q = self.posterior(params, x)
        marginals = q.at(x.times)
        eps = keys.normal(key, (check_count("s", s), *marginals.loc.shape), marginals.loc.dtype)
        return Inferred(self.likelihood(params, marginals.loc + torch.exp(marginals.log_scale) * eps), q.kl())


def build(
    channels: int,
    latent: int,
    duration: float,
    inducing: int = 20,
    length: float = 1.0,
    encoder: Sequence[int] = (64,),
    decoder: Sequence[int] = (64,),
    jitter: float = 1e-4,
) -> GaussianProcessVAE:
    """A VAE with Gaussian-process priors over series of that many channels, at times on [0, duration]."""
    return GaussianProcessVAE(
        check_count("channels", channels),
        check_count("latent", latent),
        check_number("duration", duration, "(0, inf)"),
        check_count("inducing", inducing, 2),
        check_number("length", length, "(0, inf)"),
        check_sizes("encoder", encoder),
        check_sizes("decoder", decoder),
        check_number("jitter", jitter, "(0, 1)", "float32 needs 1e-6 for each inducing point"),
    )


def _check(params: Params) -> None:
    check_keys(params, ("encoder", "decoder", "kernel", "likelihood"))
