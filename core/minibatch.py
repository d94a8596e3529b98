"""The log joint density of a whole data set, estimated from a minibatch: for posteriors over global latents.

Regression weights, rates and mixture proportions are latents of the data set, not of a datum. The data set is then the
one datum of a bound: q has n = 1 row, z is (s, 1, *event), and the bound is (1,), in nats per data set.
"""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

from jensen.core.checks import check_count, check_floating, check_function
from jensen.core.contracts import Event, LogDensity


def log_joint(log_prior: LogDensity, log_likelihood: Callable[[Event], Tensor], num_data: int) -> LogDensity:
    """log p(z) + (num_data / b) sum_i log p(x_i | z), i over the b data of a minibatch (Hoffman et al., 2013).

    log_prior: z (s, 1, *event) -> (s, 1). log_likelihood: z -> (s, b), one column per datum of the batch, independent
    given z. Where each batch is a uniform draw of the num_data data, its value and gradient are unbiased, and so are
    those of the ELBO. Bounds that are not additive, such as IWAE, are biased by the batch's noise and no longer bounds.
    ValueError for other shapes, and for more data than num_data.
    """
    check_function("log_prior", log_prior, "q.log_prob")
    check_function("log_likelihood", log_likelihood, "lambda z: likelihood(z).log_prob(x)")
    num_data = check_count("num_data", num_data)

    def density(z: Event) -> Float[Tensor, "s 1"]:
        prior, each = log_prior(z), log_likelihood(z)
        check_floating("log_prior(z)", prior, "s 1", "give q one row")
        check_floating("log_likelihood(z)", each, "s b", "one column per datum, so sum over no data")
        if len(each) != len(prior):
            raise ValueError(
                f"expected log_likelihood(z) ({len(prior)}, b), as log_prior(z) has it, got {tuple(each.shape)}: "
                "samples lead, then data"
            )
        if not 1 <= each.shape[1] <= num_data:
            raise ValueError(
                f"expected a batch of 1 to num_data = {num_data} data, got {each.shape[1]}: "
                "num_data is the size of the whole set"
            )
        return prior + num_data / each.shape[1] * each.sum(1, keepdim=True)

    return density
