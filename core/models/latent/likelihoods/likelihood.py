"""The Protocol of a likelihood, and the means that those of pixels start from."""

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from jensen.core.checks import described
from jensen.core.contracts import Distribution
from jensen.core.models.latent.likelihoods.outputs import Outputs
from jensen.core.trees import Params


@runtime_checkable
class Likelihood(Protocol):
    """p(x | z) as a function of a decoder's outputs, one per pixel, and of parameters of its own.

    binary       whether x must be 0 or 1; models refuse other data
    init         training data x (N, D) -> (own parameters, {} where it has none; the decoder's output bias (D,)),
                 in x's dtype: where the decoder's outputs are its bias, the likelihood's mean is the data's
    independent  the maximum-likelihood fit to each pixel of x (N, D) alone, fields (D,), by Laplace's rule where a
                 pixel may be constant: a model of independent pixels
    """

    @property
    def binary(self) -> bool: ...
    def init(self, x: Float[Tensor, "N D"], /) -> tuple[Params, Float[Tensor, " D"]]: ...
    def __call__(self, params: Params, out: Outputs, /) -> Distribution: ...
    def independent(self, x: Float[Tensor, "N D"], /) -> Distribution: ...


def check_likelihood(likelihood: Likelihood) -> None:
    """TypeError for what is no likelihood, such as the name or the class of one."""
    if isinstance(likelihood, type) or not isinstance(likelihood, Likelihood):
        raise TypeError(
            f"expected likelihood, such as likelihoods.BERNOULLI, got {described(likelihood)}: "
            "pass one of likelihoods.LIKELIHOODS, a dict by name"
        )


def clipped_mean(x: Float[Tensor, "N D"]) -> Float[Tensor, " D"]:
    """The mean of each pixel within [0.001, 0.999], whose logit is finite: (D,)."""
    return x.mean(0).clamp(0.001, 0.999)


def laplace_mean(x: Float[Tensor, "N D"]) -> Float[Tensor, " D"]:
    """(sum + 1) / (N + 2), the mean of each pixel by Laplace's rule, neither 0 nor 1: (D,)."""
    return (x.sum(0) + 1) / (len(x) + 2)
