"""log Bernoulli(x; sigmoid(logits)), summed over the last axis."""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core.ops.log_scale import at_least_float32


def bernoulli_log_prob(x: Float[Tensor, "... d"], logits: Float[Tensor, "... d"]) -> Float[Tensor, "..."]:
    """sum_d of x logits - log(1 + e^logits), in nats: a log probability for x in {0, 1}.

    Batch axes broadcast; the last axes must agree. For x strictly between 0 and 1 it is minus a cross-entropy and
    no density. Half precision is computed and returned in float32.
    """
    logits = at_least_float32(logits)
    return (at_least_float32(x) * logits + F.logsigmoid(-logits)).sum(-1)
