"""The conditional variational autoencoder (Sohn, Lee and Yan, 2015): x given a condition c, such as its label.

    p(x | c) = E[p(x | z, c)] under p(z | c) or N(0, I), and q(z | x, c)

Data are rows of x and its condition side by side, (n, D + C); densities are of x given c. Latents e (s, n, d) are in
units of the prior: e ~ N(0, I), and z = e, or z = loc(c) + scale(c) e where p(z | c) is learned. Then
KL(q(e | x, c) || N(0, I)) = KL(q(z | x, c) || p(z | c)), and `prior` needs no condition.

Parameters are {"encoder", "decoder": {"network", "conditions"}, "prior": p(z | c)'s or {}, "likelihood": the
likelihood's own}. The conditions are some of the training data's, of which samples without one are drawn.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_count, check_dtype, check_floating, check_key, check_sizes, described
from jensen.core.concrete import is_concrete
from jensen.core.contracts import Distribution, Key
from jensen.core.distributions import DiagNormal, check_binary
from jensen.core.models.latent.conditioned import Conditioned, Leading
from jensen.core.models.latent.data import check_data, check_rows, check_training_data
from jensen.core.models.latent.likelihoods import BERNOULLI, Likelihood, Linear
from jensen.core.models.latent.likelihoods.likelihood import check_likelihood
from jensen.core.models.latent.priors.standard import standard_normal
from jensen.core.nn import conditional, mlp
from jensen.core.nn.initial import Activation, initialiser
from jensen.core.trees import Params, check_keys

KEPT = 100  # conditions of training data


@dataclass(frozen=True)
class CVAE:
    """An encoder and a decoder given a condition; every method is a pure function of its parameters."""

    data: int  # D
    condition: int  # C
    hidden: tuple[int, ...]  # of the encoder and of p(z | c), in the decoder reversed
    latent: int
    learned: bool  # whether the prior is p(z | c)
    activation: Activation
    observation: Likelihood

    def init(self, key: Key, x: Float[Tensor, "N e"], /) -> Params:
        """Parameters in x's dtype, with a decoder bias at the mean of training data x, rows of x and c.

        ValueError for rows of another width, and for a single datum.
        """
        check_key(key)
        check_training_data(x, self.data + self.condition)
        likelihood, bias = self.observation.init(x[:, : self.data])
        encoder_key, decoder_key, prior_key = keys.split(key, 3)
        weight = initialiser(self.activation)
        up, down = (self.data, *self.hidden, 2 * self.latent), (self.latent, *self.hidden[::-1], self.data)
        network = conditional.init(decoder_key, down, self.condition, weight, x.dtype)
        conditional.last(network)["bias"] = bias.clone()
        prior = mlp.init(prior_key, (self.condition, *up[1:]), weight, x.dtype) if self.learned else {}
        if self.learned:
            mlp.last(prior)["weight"] *= 0.1  # near N(0, I)
        return {
            "encoder": conditional.init(encoder_key, up, self.condition, weight, x.dtype),
            "decoder": {"network": network, "conditions": x[:KEPT, self.data :].clone()},
            "prior": prior,
            "likelihood": likelihood,
        }

    def posterior(self, params: Params, x: Float[Tensor, "n e"], /) -> DiagNormal:
        """q(e | x, c). ValueError for grey x where it must be binary, while torch runs eagerly."""
        x, c = self.parts(x)
        self._check(params)
        return DiagNormal(*conditional.apply(params["encoder"], x, c, self.activation).chunk(2, -1))

    def prior(self, params: Params, n: int, /) -> DiagNormal:
        """N(0, I) with fields (n, d), in the parameters' dtype."""
        return standard_normal(self._bias(params), n, self.latent)

    def likelihood(self, params: Params, z: Float[Tensor, "s n d"], /) -> Conditioned:
        """p(x | z, c) for the c of its argument: log_prob takes rows of x and c."""
        self._check_latents(params, z)
        return Conditioned.of(self.given, params, z, self.data)

    def given(self, params: Params, z: Float[Tensor, "*s n d"], c: Float[Tensor, "*s n C"], /) -> Distribution:
        """p(x | z, c), fields (*s, n, D), of latents in units of the prior."""
        self._check_latents(params, z)
        check_floating("c", c, f"... n {self.condition}", "a condition for each datum")
        if self.learned:
            loc, log_scale = mlp.apply(params["prior"], c, self.activation).chunk(2, -1)
            z = loc + log_scale.exp() * z
        network = params["decoder"]["network"]
        features = conditional.features(network, z, c, self.activation)
        return self.observation(params["likelihood"], Linear(features, **conditional.last(network)))

    def log_prior(self, params: Params, z: Float[Tensor, "s n d"], /) -> Float[Tensor, "s n"]:
        """log N(e; 0, I) in nats per datum."""
        self._check_latents(params, z)
        return self.prior(params, z.shape[-2]).log_prob(z)

    def log_joint(self, params: Params, x: Float[Tensor, "n e"], z: Float[Tensor, "s n d"], /) -> Float[Tensor, "s n"]:
        """log p(x, e | c) = log_prior + log p(x | z, c), in nats per datum. ValueError as for `posterior`."""
        self.parts(x)
        log_prior = self.log_prior(params, z)
        check_rows(x, z)
        return log_prior + self.likelihood(params, z).log_prob(x)

    def independent(self, x: Float[Tensor, "N e"]) -> Leading:
        """The likelihood fitted to each pixel of x alone, without the condition."""
        check_data(x, self.data + self.condition)
        return Leading(self.observation.independent(x[:, : self.data]))

    def parts(self, x: Float[Tensor, "n e"], /) -> tuple[Float[Tensor, "n D"], Float[Tensor, "n C"]]:
        """x and c of rows. ValueError for rows of another width, and as for `posterior`."""
        check_data(x, self.data + self.condition)
        x, c = x.split([self.data, self.condition], -1)
        if self.observation.binary and is_concrete(x):
            check_binary(x)
        return x, c

    def _bias(self, params: Params) -> Tensor:
        self._check(params)
        return conditional.last(params["decoder"]["network"])["bias"]

    def _check(self, params: Params) -> None:
        check_keys(params, ("encoder", "decoder", "prior", "likelihood"))
        check_keys(params["decoder"], ("network", "conditions"))

    def _check_latents(self, params: Params, z: Tensor) -> None:
        check_floating("z", z, f"... n {self.latent}", "samples lead, then data, then latent dimensions")
        check_dtype("z", z, self._bias(params), "the parameters")


def build(
    data: int,
    condition: int,
    hidden: Sequence[int],
    latent: int,
    learned: bool = False,
    activation: Activation = torch.tanh,
    likelihood: Likelihood = BERNOULLI,
) -> CVAE:
    """x of width data given c of width condition; learned: the prior is p(z | c), else N(0, I)."""
    data, condition, latent = (
        check_count(name, value) for name, value in (("data", data), ("condition", condition), ("latent", latent))
    )
    hidden = check_sizes("hidden", hidden)
    if not hidden:
        raise ValueError("expected hidden, the width of one layer or more, got none: where x and c meet")
    if not isinstance(learned, bool):
        raise TypeError(f"expected learned, True or False, got {described(learned)}: True is the prior p(z | c)")
    initialiser(activation)
    check_likelihood(likelihood)
    return CVAE(data, condition, hidden, latent, learned, activation, likelihood)
