"""The Gaussian likelihood of real-valued pixels, with one learned scale."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from jensen.core.distributions import DiagNormal
from jensen.core.models.latent.likelihoods.outputs import Outputs, materialised
from jensen.core.trees import Params, check_keys


@dataclass(frozen=True)
class GaussianLikelihood:
    """N(output, exp(log_scale)^2), the scale shared by all pixels."""

    binary: bool = False

    def init(self, x: Float[Tensor, "N D"], /) -> tuple[Params, Float[Tensor, " D"]]:
        """{"log_scale": ()}, 0 at the start; the data's mean."""
        return {"log_scale": x.new_zeros(())}, x.mean(0)

    def __call__(self, params: Params, out: Outputs, /) -> DiagNormal:
        check_keys(params, ("log_scale",))
        loc = materialised(out)
        return DiagNormal(loc, params["log_scale"].expand_as(loc))

    def independent(self, x: Float[Tensor, "N D"], /) -> DiagNormal:
        """Each pixel's mean, and one scale for all as in the model."""
        mean = x.mean(0)
        return DiagNormal(mean, (x - mean).square().mean().sqrt().log().expand_as(mean))


GAUSSIAN = GaussianLikelihood()
