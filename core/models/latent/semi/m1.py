"""M1 (Kingma et al., 2014): a classifier of a VAE's latents, its features.

The VAE learns of all data, the classifier of those with labels. Parameters are {"first": the VAE's, "second": the
classifier's}.
"""

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_key, described
from jensen.core.contracts import Key
from jensen.core.models.classifier import Classifier
from jensen.core.models.latent.data import check_data
from jensen.core.models.latent.vae import VAE
from jensen.core.trees import Params, check_keys


@dataclass(frozen=True)
class M1:
    """A VAE and a classifier of its latents; every method is a pure function of its parameters."""

    first: VAE
    second: Classifier

    def __post_init__(self) -> None:
        if not isinstance(self.first, VAE) or not isinstance(self.second, Classifier):
            raise TypeError(
                f"expected first, a VAE, and second, a classifier of its latents, got {described(self.first)} and "
                f"{described(self.second)}: build them with vae.mlp and classifier.mlp"
            )
        check_widths(self.first, self.second.data)

    def init(self, key: Key, x: Float[Tensor, "N D"], /) -> Params:
        """Parameters in x's dtype. ValueError as for a VAE."""
        check_key(key)
        first_key, second_key = keys.split(key)
        return {"first": self.first.init(first_key, x), "second": self.second.init(second_key, x.dtype)}

    def log_prob(self, params: Params, x: Float[Tensor, "n D"], labels: Int[Tensor, " n"], /) -> Float[Tensor, " n"]:
        """log p(label | features) in nats per datum, of detached features. ValueError as for a classifier."""
        check_keys(params, ("first", "second"))
        return self.second.log_prob(params["second"], features(self.first, params["first"], x), labels)

    def correct(self, params: Params, x: Float[Tensor, "n D"], labels: Int[Tensor, " n"], /) -> Float[Tensor, " n"]:
        """1 where the largest logit is the label's, else 0: its mean is the accuracy."""
        check_keys(params, ("first", "second"))
        return self.second.correct(params["second"], features(self.first, params["first"], x), labels)


def features(first: VAE, params: Params, x: Float[Tensor, "n D"]) -> Float[Tensor, "n m"]:
    """The encoder's means of q(h | x), detached; x may be grey, as the mean of binary pixels."""
    check_data(x, first.data)
    return first.encode(params["encoder"], x)[:, : first.latent].detach()


def check_widths(first: VAE, data: int) -> None:
    """ValueError unless what is above a VAE takes data as wide as its latents."""
    if data != first.latent:
        raise ValueError(
            f"expected second of data as wide as the {first.latent} latents of first, got {data}: build it of as many"
        )
