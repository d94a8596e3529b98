"""What latent-variable models of flat data share: p(x, z) = p(z) p(x | z)."""

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor

from jensen.core.contracts import Distribution
from jensen.core.models.latent.data import check_data, check_rows
from jensen.core.models.latent.likelihoods import Likelihood
from jensen.core.trees import Params


class Directed(ABC):
    """A prior and a likelihood of flat data x (n, D), given latents z (s, n, d)."""

    data: int  # D
    observation: Likelihood

    @abstractmethod
    def likelihood(self, params: Params, z: Float[Tensor, "s n d"], /) -> Distribution:
        """p(x | z): fields (s, n, D)."""

    @abstractmethod
    def log_prior(self, params: Params, z: Float[Tensor, "s n d"], /) -> Float[Tensor, "s n"]:
        """log p(z) in nats per datum."""

    def log_joint(self, params: Params, x: Float[Tensor, "n D"], z: Float[Tensor, "s n d"], /) -> Float[Tensor, "s n"]:
        """log p(x, z) = log_prior + log p(x | z), in nats per datum.

        ValueError for z of other data, and for grey x where it must be binary, while torch runs eagerly.
        """
        check_data(x, self.data, self.observation.binary)
        log_prior = self.log_prior(params, z)
        check_rows(x, z)
        return log_prior + self.likelihood(params, z).log_prob(x)

    def independent(self, x: Float[Tensor, "N D"]) -> Distribution:
        """The likelihood fitted to each pixel of x alone, fields (D,): a model of independent pixels."""
        check_data(x, self.data)
        return self.observation.independent(x)
