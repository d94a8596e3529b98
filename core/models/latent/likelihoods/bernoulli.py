"""The Bernoulli likelihood of binary pixels, and of grey ones as soft targets."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from jensen.core.distributions import Bernoulli, LinearBernoulli
from jensen.core.models.latent.likelihoods.likelihood import clipped_mean, laplace_mean
from jensen.core.models.latent.likelihoods.outputs import Linear, Outputs
from jensen.core.trees import Params, check_keys


@dataclass(frozen=True)
class BernoulliLikelihood:
    """P(x = 1) = sigmoid(output). For grey x, soft targets, log_prob is minus a cross-entropy and no density of x."""

    binary: bool

    def init(self, x: Float[Tensor, "N D"], /) -> tuple[Params, Float[Tensor, " D"]]:
        """No parameters; the logit of the data's mean."""
        return {}, Bernoulli.from_mean(clipped_mean(x)).logits

    def __call__(self, params: Params, out: Outputs, /) -> Bernoulli | LinearBernoulli:
        check_keys(params, ())
        return LinearBernoulli(*out) if isinstance(out, Linear) else Bernoulli(out)

    def independent(self, x: Float[Tensor, "N D"], /) -> Bernoulli:
        """The Bernoulli of each pixel's mean by Laplace's rule."""
        return Bernoulli.from_mean(laplace_mean(x))


BERNOULLI = BernoulliLikelihood(binary=True)
SOFT_BERNOULLI = BernoulliLikelihood(binary=False)
