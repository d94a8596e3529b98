"""The continuous Bernoulli likelihood of grey pixels in [0, 1] (Loaiza-Ganem and Cunningham, 2019)."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from jensen.core.distributions import ContinuousBernoulli
from jensen.core.models.latent.likelihoods.likelihood import clipped_mean, laplace_mean
from jensen.core.models.latent.likelihoods.outputs import Outputs, materialised
from jensen.core.trees import Params, check_keys


@dataclass(frozen=True)
class ContinuousBernoulliLikelihood:
    """ContinuousBernoulli(logits = output)."""

    binary: bool = False

    def init(self, x: Float[Tensor, "N D"], /) -> tuple[Params, Float[Tensor, " D"]]:
        """No parameters; the logits of the data's mean."""
        return {}, ContinuousBernoulli.from_mean(clipped_mean(x)).logits

    def __call__(self, params: Params, out: Outputs, /) -> ContinuousBernoulli:
        check_keys(params, ())
        return ContinuousBernoulli(materialised(out))

    def independent(self, x: Float[Tensor, "N D"], /) -> ContinuousBernoulli:
        """The density of each pixel's mean by Laplace's rule."""
        return ContinuousBernoulli.from_mean(laplace_mean(x))


CONTINUOUS_BERNOULLI = ContinuousBernoulliLikelihood()
