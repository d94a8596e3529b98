"""M1+M2 (Kingma et al., 2014): an M2 of the latents of a VAE, its features.

    p(x, h, y, z) = p(y) p(z) p(h | y, z) p(x | h);      q(h | x) q(y | h) q(z | h, y)

Latents are {"features": h (s, n, m), "y": (s, n, 1, classes), "z": (s, n, d)}. Kingma et al. train the VAE first, under
p(h) = N(0, I), and M2 on samples of its posterior; `first` and `second` are those two models. Parameters are
{"first": the VAE's, "second": M2's}.
"""

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import described
from jensen.core.contracts import Distribution, Key
from jensen.core.distributions import Categorical, DiagNormal, Given, Joint
from jensen.core.distributions.joint import Latents
from jensen.core.models.latent.data import check_data, check_rows
from jensen.core.models.latent.semi.m1 import check_widths, features
from jensen.core.models.latent.semi.m2 import M2, check_latents
from jensen.core.models.latent.vae import VAE
from jensen.core.trees import Params, check_keys

PARTS = ("first", "second")


@dataclass(frozen=True)
class Stacked:
    """A VAE and an M2 of its latents; every method is a pure function of its parameters."""

    first: VAE
    second: M2

    def __post_init__(self) -> None:
        if not isinstance(self.first, VAE) or not isinstance(self.second, M2):
            raise TypeError(
                f"expected first, a VAE, and second, an M2 of its latents, got {described(self.first)} and "
                f"{described(self.second)}: build them with vae.mlp and m2.build"
            )
        check_widths(self.first, self.second.data)

    def init(self, key: Key, x: Float[Tensor, "N D"], /) -> Params:
        """Parameters in x's dtype; M2's data are the VAE's posterior means. ValueError as for a VAE."""
        first_key, second_key = keys.split(key)
        first = self.first.init(first_key, x)
        return {"first": first, "second": self.second.init(second_key, features(self.first, first, x))}

    def posterior(self, params: Params, x: Float[Tensor, "n D"], /) -> Joint:
        """q(h | x) q(y | h) q(z | h, y), of n data. ValueError as for a VAE's."""
        check_keys(params, PARTS)
        h = self.first.posterior(params["first"], x)
        return Joint(features=h, y=Given(params["second"], self._class), z=Given(params["second"], self._rest))

    def prior(self, params: Params, n: int, /) -> Joint:
        """p(y) p(z) p(h | y, z), with rows for n data, in the parameters' dtype."""
        check_keys(params, PARTS)
        below = Given(params["second"], self.second.likelihood)
        return Joint(**self.second.prior(params["second"], n).latents, features=below)

    def likelihood(self, params: Params, z: Latents, /) -> Distribution:
        """p(x | h): fields (s, n, D)."""
        check_keys(params, PARTS)
        check_latents(z, ("features", "y", "z"))
        return self.first.likelihood(params["first"], z["features"])

    def log_prior(self, params: Params, z: Latents, /) -> Float[Tensor, "s n"]:
        """log p(y) + log p(z) + log p(h | y, z) in nats per datum."""
        check_latents(z, ("features", "y", "z"))
        return self.prior(params, z["features"].shape[-2]).log_prob(z)

    def log_joint(self, params: Params, x: Float[Tensor, "n D"], z: Latents, /) -> Float[Tensor, "s n"]:
        """log p(x, h, y, z) = log_prior + log p(x | h), in nats per datum. ValueError as for `posterior`."""
        check_data(x, self.first.data, self.first.observation.binary)
        log_prior = self.log_prior(params, z)
        check_rows(x, z["features"])
        return log_prior + self.likelihood(params, z).log_prob(x)

    def log_prob(self, params: Params, x: Float[Tensor, "n D"], labels: Int[Tensor, " n"], /) -> Float[Tensor, " n"]:
        """log q(label | features) in nats per datum, of detached features. ValueError as for a classifier."""
        check_keys(params, PARTS)
        return self.second.log_prob(params["second"], features(self.first, params["first"], x), labels)

    def correct(self, params: Params, x: Float[Tensor, "n D"], labels: Int[Tensor, " n"], /) -> Float[Tensor, " n"]:
        """1 where q(y | features) is largest at the label, else 0: its mean is the accuracy."""
        check_keys(params, PARTS)
        return self.second.correct(params["second"], features(self.first, params["first"], x), labels)

    def independent(self, x: Float[Tensor, "N D"]) -> Distribution:
        """The VAE's likelihood fitted to each pixel of x alone, fields (D,): a model of independent pixels."""
        return self.first.independent(x)

    def _class(self, second: Params, earlier: Latents) -> Categorical:
        return self.second.classify(second, earlier["features"])

    def _rest(self, second: Params, earlier: Latents) -> DiagNormal:
        return self.second.encode(second, earlier["features"], earlier["y"])
