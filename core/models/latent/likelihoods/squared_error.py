"""The Gaussian likelihood of grey pixels with a mean in (0, 1) and a fixed scale: squared errors."""

import math
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from jensen.core.checks import check_number
from jensen.core.distributions import Bernoulli, DiagNormal
from jensen.core.models.latent.likelihoods.likelihood import clipped_mean
from jensen.core.models.latent.likelihoods.outputs import Outputs, materialised
from jensen.core.trees import Params, check_keys


@dataclass(frozen=True)
class SquaredErrorLikelihood:
    """N(sigmoid(output), variance): log p(x) = -|x - sigmoid(output)|^2 / (2 variance) - D log(2 pi variance) / 2.

    At a variance of 1/2 that is minus the sum of squared errors, less a constant.
    """

    variance: float = 0.5
    binary: bool = False

    def __post_init__(self) -> None:
        check_number("variance", self.variance, "(0, inf)", "it is that of a pixel")

    def init(self, x: Float[Tensor, "N D"], /) -> tuple[Params, Float[Tensor, " D"]]:
        """No parameters; the logit of the data's mean."""
        return {}, Bernoulli.from_mean(clipped_mean(x)).logits

    def __call__(self, params: Params, out: Outputs, /) -> DiagNormal:
        check_keys(params, ())
        return self._around(materialised(out).sigmoid())

    def independent(self, x: Float[Tensor, "N D"], /) -> DiagNormal:
        """Each pixel's mean, with the same variance."""
        return self._around(x.mean(0))

    def _around(self, mean: Tensor) -> DiagNormal:
        return DiagNormal(mean, mean.new_tensor(0.5 * math.log(self.variance)).expand_as(mean))


SQUARED_ERROR = SquaredErrorLikelihood()
