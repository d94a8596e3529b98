"""The Poisson variational autoencoder (Vafaii et al., 2024).

p(x, z) = Poisson(z; r) p(x | decode(z)) and q(z | x) = Poisson(z; r dr(x)), with counts z (s, n, d), learned rates r
(d,) of the prior, and flat data x (n, D). The encoder gives log dr, by which a datum's rates differ from those, so that

    KL(q || p) = sum_d r (1 - dr + dr log dr)

charges for every unit that fires more than it does for the average datum: counts come out sparse. With a linear decoder
of columns phi this is sparse coding (Olshausen and Field, 1996) whose counts an encoder infers, and under a Gaussian
likelihood the expected squared error is known without samples.

Parameters are {"encoder": an mlp's, "decoder": an mlp's, "prior": {"log_rate": (d,)}, "likelihood": its own}.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core import keys
from jensen.core.checks import check_count, check_dtype, check_floating, check_key, check_sizes
from jensen.core.contracts import Distribution, Key
from jensen.core.distributions import Poisson
from jensen.core.models.latent.data import check_data, check_training_data
from jensen.core.models.latent.directed import Directed
from jensen.core.models.latent.likelihoods import GAUSSIAN, Likelihood, Linear
from jensen.core.models.latent.likelihoods.likelihood import check_likelihood
from jensen.core.nn import mlp
from jensen.core.nn.initial import Activation, initialiser
from jensen.core.numerics import bounded
from jensen.core.trees import Params, check_keys

RATE = 0.1  # of the prior's units, at the start
MOST = 5.0  # of log dr, which levels off there: one large output would otherwise be an error of e^output


@dataclass(frozen=True)
class PoissonVAE(Directed):
    """Counts of so many units; every method is a pure function of its parameters."""

    data: int
    latent: int
    encoder: tuple[int, ...]  # widths of hidden layers; () is linear
    decoder: tuple[int, ...]
    activation: Activation
    observation: Likelihood

    def init(self, key: Key, x: Float[Tensor, "N D"], /) -> Params:
        """Parameters in x's dtype, with a decoder bias at the mean of training data x.

        ValueError for x of another width, and for a single datum, such as the data's mean.
        """
        check_key(key)
        check_training_data(x, self.data)
        likelihood, bias = self.observation.init(x)
        (up, down), weight = keys.split(key), initialiser(self.activation)
        decoder = mlp.init(down, (self.latent, *self.decoder, self.data), weight, x.dtype)
        mlp.last(decoder)["bias"] = bias.clone()
        return {
            "encoder": mlp.init(up, (self.data, *self.encoder, self.latent), weight, x.dtype),
            "decoder": decoder,
            "prior": {"log_rate": x.new_full((self.latent,), math.log(RATE))},
            "likelihood": likelihood,
        }

    def posterior(self, params: Params, x: Float[Tensor, "n D"], /) -> Poisson:
        """q(z | x), rates (n, d) = r dr(x). ValueError for grey x where it must be binary, while torch runs eagerly."""
        check_data(x, self.data, self.observation.binary)
        log_ratio = mlp.apply(_part(params, "encoder"), x, self.activation)
        return self._of(_log_rate(params) + MOST - F.softplus(MOST - log_ratio))

    def prior(self, params: Params, n: int, /) -> Poisson:
        """Rates r for each of n data, (n, d)."""
        return self._of(_log_rate(params).expand(check_count("n", n, 0), -1))

    def likelihood(self, params: Params, z: Float[Tensor, "s n d"], /) -> Distribution:
        """p(x | z): fields (s, n, D)."""
        self._check(params, z)
        network = _part(params, "decoder")
        out = Linear(mlp.features(network, z, self.activation), **mlp.last(network))
        return self.observation(params["likelihood"], out)

    def log_prior(self, params: Params, z: Float[Tensor, "s n d"], /) -> Float[Tensor, "s n"]:
        """log Poisson(z; r) in nats per datum, -inf for what is no count."""
        self._check(params, z)
        return self.prior(params, z.shape[-2]).log_prob(z)

    @property
    def linear(self) -> bool:
        """Whether the mean of x is linear in z and its scale fixed, as `reconstruction` and `dictionary` need."""
        return not self.decoder and self.observation == GAUSSIAN

    def reconstruction(self, params: Params, x: Float[Tensor, "n D"], /) -> Float[Tensor, " n"]:
        """E_q log p(x | z) in closed form, in nats per datum.

        E |x - Phi z|^2 = |x - Phi lambda|^2 + sum_d lambda_d |phi_d|^2, for rates lambda: a Poisson's variance is its
        mean. ValueError for a decoder that is not linear, or another likelihood than the Gaussian's.
        """
        rate = self.posterior(params, x).rate
        at_rate = self.likelihood(params, rate[None].to(x.dtype)).log_prob(x)[0]
        variance = (rate * self.dictionary(params).square().sum(-1)).sum(-1)
        return at_rate - 0.5 * variance * torch.exp(-2 * bounded(params["likelihood"]["log_scale"]))

    def dictionary(self, params: Params, /) -> Float[Tensor, "d D"]:
        """phi_d, what a count of each unit adds to the mean of x. ValueError as for `reconstruction`."""
        if not self.linear:
            raise ValueError(
                "expected a linear decoder under a Gaussian likelihood, got "
                f"decoder={self.decoder} and {type(self.observation).__name__}: average over samples, or build one"
            )
        return mlp.last(_part(params, "decoder"))["weight"].T

    def _of(self, log_rate: Tensor) -> Poisson:
        return Poisson(torch.exp(bounded(log_rate)))

    def _check(self, params: Params, z: Tensor) -> None:
        check_floating("z", z, f"... n {self.latent}", "samples lead, then data, then units")
        check_dtype("z", z, _log_rate(params), "the parameters")


def build(
    data: int,
    latent: int = 64,
    encoder: Sequence[int] = (),
    decoder: Sequence[int] = (),
    activation: Activation = torch.tanh,
    likelihood: Likelihood = GAUSSIAN,
) -> PoissonVAE:
    """data -> *encoder -> log dr, and counts -> *decoder -> data; without hidden widths both are linear."""
    initialiser(activation)
    check_likelihood(likelihood)
    data, latent = check_count("data", data), check_count("latent", latent)
    widths = check_sizes("encoder", encoder), check_sizes("decoder", decoder)
    return PoissonVAE(data, latent, *widths, activation, likelihood)


def _part(params: Params, name: str) -> Params:
    check_keys(params, ("encoder", "decoder", "prior", "likelihood"))
    return params[name]


def _log_rate(params: Params) -> Tensor:
    prior = _part(params, "prior")
    check_keys(prior, ("log_rate",))
    return prior["log_rate"]
