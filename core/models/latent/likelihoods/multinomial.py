"""The multinomial likelihood of counts over a vocabulary or items (Liang et al., 2018; Miao et al., 2016)."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from jensen.core.distributions import LinearCategorical
from jensen.core.models.latent.likelihoods.outputs import Linear, Outputs
from jensen.core.trees import Params, check_keys


@dataclass(frozen=True)
class MultinomialLikelihood:
    """sum_D x log softmax(outputs): the items of x in one order, without the multinomial coefficient.

    Logits over a large vocabulary are never stored, so the decoder must end in a linear layer.
    """

    binary: bool = False

    def init(self, x: Float[Tensor, "N D"], /) -> tuple[Params, Float[Tensor, " D"]]:
        """No parameters; the logarithms of the items' shares by Laplace's rule."""
        return {}, _log_shares(x)

    def __call__(self, params: Params, out: Outputs, /) -> LinearCategorical:
        check_keys(params, ())
        if not isinstance(out, Linear):
            raise TypeError("expected a decoder that ends in a linear layer for counts, got its outputs: use vae.mlp")
        return LinearCategorical(*out)

    def independent(self, x: Float[Tensor, "N D"], /) -> LinearCategorical:
        """The shares of the items in the data, the same for every datum."""
        shares = _log_shares(x)
        return LinearCategorical(x.new_zeros(0), x.new_zeros(len(shares), 0), shares)  # a layer of no features


def _log_shares(x: Tensor) -> Tensor:
    counts = x.sum(0) + 1
    return (counts / counts.sum()).log()


MULTINOMIAL = MultinomialLikelihood()
