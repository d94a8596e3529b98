"""The KL decomposed (Chen et al., 2018): index-code mutual information, total correlation, dimension-wise KL.

KL(q(z | x) || p(z)), averaged over data, = index-code MI  KL(q(z, x) || q(z) p(x))
                                          + total correlation  KL(q(z) || prod_d q(z_d))
                                          + dimension-wise KL  sum_d KL(q(z_d) || p(z_d)),
where q(z) is the aggregated posterior, the mean of q(z | x) over all N data. A minibatch of n data estimates log q(z_i)
by log sum_j W_ij q(z_i | x_j).
"""

from typing import Literal, NamedTuple

import torch
from einops import repeat
from jaxtyping import Float
from torch import Tensor

from jensen.core import trees
from jensen.core.checks import check_choice, check_count, check_distribution, check_floating, described
from jensen.core.contracts import Dimensional, Distribution, can
from jensen.core.numerics import at_least_float32, log_sum_exp
from jensen.core.objectives.terms import Terms, charged, check_scalar, checked, scaled


class Decomposition(NamedTuple):
    """Terms of mean_s log q(z | x) - log p(z), the sampled KL: (n,) each, in nats per datum."""

    index_code_mi: Float[Tensor, " n"]  # log q(z | x) - log q(z)
    total_correlation: Float[Tensor, " n"]  # log q(z) - sum_d log q(z_d)
    dimension_wise_kl: Float[Tensor, " n"]  # sum_d log q(z_d) - log p(z_d)

    @property
    def kl(self) -> Float[Tensor, " n"]:
        return self.index_code_mi + self.total_correlation + self.dimension_wise_kl

    @property
    def marginal_kl(self) -> Float[Tensor, " n"]:
        """Terms of KL(q(z) || p(z)): the KL less its index-code MI (Hoffman and Johnson, 2016)."""
        return self.total_correlation + self.dimension_wise_kl


def beta_tc(
    reconstruction: Float[Tensor, " n"],
    parts: Decomposition,
    beta: float | Tensor,
    alpha: float | Tensor = 1.0,
    gamma: float | Tensor = 1.0,
) -> Terms:
    """reconstruction - alpha MI - beta TC - gamma dimension-wise KL, the beta-TC-VAE (Chen et al., 2018).

    All weights 1 make the sampled ELBO. ValueError for a negative weight, or one that is neither () nor (n,).
    """
    if not isinstance(parts, Decomposition):
        raise TypeError(f"expected parts, a Decomposition, got {described(parts)}: make them with `decompose`")
    reconstruction, *each = checked(reconstruction=reconstruction, **parts._asdict())
    for name, weight in (("alpha", alpha), ("beta", beta), ("gamma", gamma)):
        check_scalar(name, weight, len(reconstruction), 0.0)
    mi, tc, dimension_wise = (scaled(w, t) for w, t in zip((alpha, beta, gamma), each, strict=True))
    parts = Decomposition(*each)
    return charged(reconstruction, parts.kl, mi + tc + dimension_wise, parts._asdict())


def decompose(
    q: Distribution,
    prior: Distribution,
    z: Float[Tensor, "s n d"],
    data: int,
    weights: Literal["weighted", "stratified"] = "stratified",
) -> Decomposition:
    """The terms at samples z of q, for n of `data` data, drawn without replacement; mean over s.

    They sum to mean_s log q(z | x) - log p(z) for all weights. Each is biased, by the logarithm of an average over the
    minibatch, up for MI where `stratified`; with n = data it is exact in expectation. Memory s n^2 d.
    TypeError for a q without independent dimensions. ValueError for z of another shape, and see `batch_weights`.
    """
    check_distribution("q", q)
    check_distribution("prior", prior)
    fields = trees.leaves((q, prior))
    if not (can(q, Dimensional) and can(prior, Dimensional)) or any(field.ndim != 2 for field in fields):
        raise TypeError(
            f"decompose needs a q and a prior of independent dimensions, such as diagonal normals, got "
            f"{type(q).__name__} and {type(prior).__name__}: its densities are those of one dimension at a time"
        )
    check_floating("z", z, "s n d", "draw z = q.sample(q.noise(key, s))")
    shapes = {tuple(field.shape) for field in fields}
    if z.ndim != 3 or not len(z) or shapes != {tuple(z.shape[1:])}:
        raise ValueError(
            f"expected z (s, n, d), s >= 1, for q and a prior (n, d), got {tuple(z.shape)} for "
            f"{' and '.join(map(str, sorted(shapes)))}: draw z = q.sample(q.noise(key, s))"
        )
    log_weights = torch.log(batch_weights(z.shape[1], data, weights, z))[..., None]  # (i, j, 1)
    each = trees.map(lambda field: field[..., None], q)
    every = repeat(z, "s i d -> s i j d 1", j=z.shape[1])  # z_i beside each x_j
    pairs = at_least_float32(each.log_prob(every))  # log q(z_i | x_j) per dimension: (s, i, j, d)
    own = q.log_prob(z)
    joint = log_sum_exp(log_weights[..., 0] + pairs.sum(-1), -1)
    marginals = log_sum_exp(log_weights + pairs, -2).sum(-1)
    return Decomposition((own - joint).mean(0), (joint - marginals).mean(0), (marginals - prior.log_prob(z)).mean(0))


def batch_weights(n: int, data: int, kind: Literal["weighted", "stratified"], like: Tensor) -> Float[Tensor, "n n"]:
    """W (n, n), positive: sum_j W_ij q(z_i | x_j) estimates the aggregated posterior of N = data data at z_i.

    "stratified": W_ii = 1 / N and the others (N - 1) / (N (n - 1)). Rows sum to 1 and the estimate of q(z_i) is
    unbiased for minibatches without replacement; for n = N it is q(z_i) itself. These are the weights of Chen et al.
    (2018, appendix C.2) averaged over the order of the minibatch: theirs give one neighbour another weight than the
    rest. "weighted": all 1 / (n N), which sum to 1 / N: log q(z_i) is too small by log n, for
    posteriors far apart, to log N, for equal ones.

    ValueError unless data is an integer and 1 <= n <= data, and n >= 2 for "stratified" of more than one datum.
    """
    n, data = check_count("n", n), check_count("data", data)
    check_choice("weights", kind, ("weighted", "stratified"))
    check_floating("like", like)
    if n > data:
        raise ValueError(f"expected n of 1 to data = {data}, got {n}: data is the size of the whole set")
    if kind == "weighted":
        value, own = 1 / (n * data), 1 / (n * data)
    else:
        if n == 1 and data > 1:
            raise ValueError("expected at least two data for stratified weights, got one: enlarge the minibatch")
        value, own = (data - 1) / (data * max(1, n - 1)), 1 / data
    like = at_least_float32(like)
    diagonal = torch.eye(n, dtype=torch.bool, device=like.device)
    return torch.where(diagonal, own, torch.full((n, n), value, dtype=like.dtype, device=like.device))
