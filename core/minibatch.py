"""The log joint density of a whole data set, estimated from a minibatch: for posteriors over global latents.

Regression weights, rates and mixture proportions are latents of the data set, not of a datum. The data set is then the
one datum of a bound: q has n = 1 row, z is (s, 1, *event), and the bound is (1,), in nats per data set.
"""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

from jensen.core.contracts import Event, LogDensity


def log_joint(log_prior: LogDensity, log_likelihood: Callable[[Event], Tensor], num_data: int) -> LogDensity:
    """log p(z) + (num_data / b) sum_i log p(x_i | z), i over the b data of a minibatch (Hoffman et al., 2013).

    log_prior: z (s, 1, *event) -> (s, 1). log_likelihood: z -> (s, b), one column per datum of the batch, independent
    given z. Where each batch is a uniform draw of the num_data data, its value and gradient are unbiased, and so are
    those of the ELBO. Bounds that are not additive, such as IWAE, are biased by the batch's noise and no longer bounds.
    ValueError for other shapes, and for more data than num_data.
    """

    def density(z: Event) -> Float[Tensor, "s 1"]:
        prior, each = log_prior(z), log_likelihood(z)
        if prior.ndim != 2 or prior.shape[1] != 1 or each.ndim != 2 or len(each) != len(prior):
            raise ValueError(
                f"expected a log prior (s, 1) and log likelihoods (s, b), got {tuple(prior.shape)} and "
                f"{tuple(each.shape)}: give q one row, and sum over no data"
            )
        if not 1 <= each.shape[1] <= num_data:
            raise ValueError(f"expected a batch of 1 … num_data = {num_data} data, got {each.shape[1]}")
        return prior + num_data / each.shape[1] * each.sum(1, keepdim=True)

    return density
