"""The mutual information of z and x under q, and the KL of the aggregate posterior to the prior.

Approximates  I(x; z) = E KL(q(z | x) || q(z)) with q(z) = E q(z | x), and KL(q(z) || p(z)) = E KL(q(z|x) || p) - I
With          q(z) as a mean over the n data at hand: all of them, or all but the datum that z came from
Requires      data that are a random sample; a q that can be sampled and has a log_prob
Unbiased when never for the population: over all n data the estimate is at most log n and too small on average, over
              the others it is too large on average, so that the two bracket I. For a finite data set given whole,
              the first is unbiased for I between z and the datum's index
Cost          s n^2 evaluations of log_prob, `chunk` elements at once
Reference     Hoffman and Johnson, 2016; for the two bounds Poole et al., 2019
"""

import math
from typing import NamedTuple

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from jensen.core import distributions, trees
from jensen.core.checks import check_count, check_key
from jensen.core.contracts import ClosedForm, Distribution, Key, can
from jensen.core.numerics import log_sum_exp
from jensen.estimators.diagnostics._checks import check_prior

CHUNK = 2**22  # elements of z against every datum, at once
NEAR = 0.9  # of log n, which the first estimate cannot exceed


class Information(NamedTuple):
    """Estimates over n data, 0-d tensors in nats."""

    lower: Float[Tensor, ""]  # of I(x; z), at most log n
    upper: Float[Tensor, ""]
    error: Float[Tensor, ""]  # standard error of `lower` over data, as if q(z) were known
    kl: Float[Tensor, ""]  # mean KL(q(z | x) || p(z))
    n: int

    @property
    def marginal_kl(self) -> Float[Tensor, ""]:
        """KL(q(z) || p(z)) for q(z) over the n data: kl - lower, never below the population's on average."""
        return self.kl - self.lower

    def verdict(self) -> str:
        if self.lower.isnan() or self.upper.isnan() or self.kl.isnan():
            return "no verdict: log q or the KL is NaN: look at q's fields, one datum at a time, first"
        lower, upper = sorted(max(0.0, t.item()) for t in (self.lower, self.upper))  # noise may turn them round
        most = math.log(self.n)
        text = (
            f"z carries between {lower:.2f} and {upper:.2f} nats about x (± {self.error.item():.2f}) of a mean KL of "
            f"{self.kl.item():.2f}; the aggregate posterior is up to {self.marginal_kl.item():.2f} nats from the prior"
        )
        if lower > NEAR * most:
            return f"{text}: {lower:.2f} is close to log n = {most:.2f}, the most that {self.n} data can show: use more"
        if lower < 0.01:
            return f"{text}: below 0.01 nats, the latent code is not used"
        return text


@torch.no_grad()
def aggregate_information(q: Distribution, p: Distribution, key: Key, s: int = 1, chunk: int = CHUNK) -> Information:
    """From s samples of each datum's q: fields (n, d) or (n, d, k), and the prior p of the same family.

    lower = mean log q(z | x_i) - log mean_j q(z | x_j), z from q(z | x_i); upper leaves j = i out of the mean.
    q and p are of one `ClosedForm` family whose fields are tensors of n rows. ValueError for fewer than two data.
    """
    check_prior(q, p)
    check_key(key)
    s, chunk = check_count("s", s), check_count("chunk", chunk)
    fields = trees.leaves(q)
    if not can(q, ClosedForm) or not can(p, ClosedForm) or {len(t) for t in fields} != {len(fields[0])}:
        raise TypeError(
            "expected q of a family with tensors as fields and a kl in closed form, got "
            f"{type(q).__name__}: take one such as DiagNormal, or estimate the KL from samples"
        )
    n = len(fields[0])
    if n < 2:
        raise ValueError(f"expected q for n >= 2 data, got {n}: the aggregate posterior is a mean over data")
    z, own = distributions.draw(q, key, s)
    rows, width = rearrange(z, "s n ... -> (s n) ..."), max(1, chunk // max(1, z[0].numel()))
    index = torch.arange(n, device=z.device).repeat(s)
    both = [_aggregate(q, part, i) for part, i in zip(rows.split(width), index.split(width), strict=True)]
    whole, others = (rearrange(torch.cat(each), "(s n) -> s n", s=s) for each in zip(*both, strict=True))
    lower = (own - whole).mean(0)
    return Information(
        lower.mean(), (own - others).mean(), lower.std() / math.sqrt(n), q.kl(p).to(lower.dtype).mean(), n
    )


def _aggregate(q: Distribution, z: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """log q(z) of z (r, *d) that came from the data `index` (r,): over all data, and over all others."""
    n = len(trees.leaves(q)[0])
    log_q = q.log_prob(z[:, None].expand(-1, n, *z.shape[1:]))
    others = log_q.scatter(1, index[:, None], -torch.inf)
    return log_sum_exp(log_q, 1) - math.log(n), log_sum_exp(others, 1) - math.log(n - 1)
