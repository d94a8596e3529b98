"""The kernel two-sample test (Gretton et al., 2012), and posterior predictive checks (Gelman et al., 1996).

Approximates  the p-value of "x and y are draws of one distribution" (`two_sample`), and P(T(x_rep) >= T(x) | x)
              (`predictive_check`)
With          the maximum mean discrepancy under a Gaussian kernel, against permutations of the joint sample; or
              replicates from the posterior predictive
Requires      independent draws; for the check, a statistic that the model was not fitted to
Unbiased when always for the permutation test, at any size: its p-value is uniform under equality, and where samples
              have values in common at least as large. A posterior predictive p-value concentrates around 1/2, because
              the data are used twice
Cost          (n + m)^2 distances in d dimensions, and as many products per permutation
Reference     Gretton et al., 2012; Gelman et al., 1996
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import vmap

from jensen.core import keys
from jensen.core.checks import check_count, check_function, check_key, check_tensor
from jensen.core.contracts import Key
from jensen.estimators.diagnostics._checks import check_filled, check_samples
from jensen.estimators.wording import counted, listed, no_verdict

LEVEL = 0.05


class TwoSample(NamedTuple):
    """0-d tensors: the squared discrepancy, its permutation p-value, and the kernel's bandwidth."""

    mmd: Float[Tensor, ""]
    p_value: Float[Tensor, ""]
    bandwidth: Float[Tensor, ""]

    def verdict(self) -> str:
        p = self.p_value.item()
        text = f"a squared discrepancy of {self.mmd.item():.3g} has a permutation p-value of {p:.3g}"
        if p <= LEVEL:
            return f"the samples differ: {text}, not above {LEVEL}: look for where, one coordinate at a time"
        return f"no difference is seen: {text}, above {LEVEL}, which larger samples may still find"


class PredictiveCheck(NamedTuple):
    """Each (t,), one per statistic: its value on the data, its mean and sd over replicates, and two p-values.

    p_value estimates P(T(x_rep) >= T(x)); one_sided is the conservative p-value of the nearer tail: the share of data
    and replicates that are as far out.
    """

    observed: Float[Tensor, " t"]
    mean: Float[Tensor, " t"]
    sd: Float[Tensor, " t"]
    p_value: Float[Tensor, " t"]
    one_sided: Float[Tensor, " t"]
    s: int  # replicates

    def verdict(self) -> str:
        if self.p_value.isnan().any():
            return no_verdict(self.p_value.isnan(), "statistics", "their values on the data and on the replicates")
        t = len(self.p_value)
        limit, need = LEVEL / (2 * t), math.ceil(2 * t / LEVEL - 1e-9) - 1  # two sides of each
        if self.s < need:
            few = f"{self.s} replicates are too few to judge {counted(t, 'statistic')} at a level of {LEVEL}"
            return f"no verdict: {few}: draw {need} or more"
        bad, worst = self.one_sided <= limit * (1 + 1e-9), int(self.one_sided.argmin())
        text = (
            f"statistic {worst} is {self.observed[worst].item():.3g} on the data and {self.mean[worst].item():.3g} ± "
            f"{self.sd[worst].item():.2g} on replicates (p-value {self.p_value[worst].item():.3g})"
        )
        if not bad.any():
            return f"replicates look like the data in all {len(bad)} statistics: at the worst, {text}"
        return (
            f"replicates do not look like the data in statistics {listed(bad)} of {len(bad)}: {text}, outside "
            f"{limit:.3g} … {1 - limit:.3g}: the model misses this feature"
        )


@torch.no_grad()
def two_sample(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"], key: Key, permutations: int = 500) -> TwoSample:
    """MMD^2 = mean k(x, x') + mean k(y, y') - 2 mean k(x, y), k = exp(-|x - y|^2 / (2 h^2)), h the median distance.

    The median is over distances above 0, since samples of counts have many equal points. p = (1 + the number of
    permutations with an MMD^2 at least as large) / (1 + permutations). ValueError for NaN or infinite data.
    """
    check_samples("x", x, "y", y)
    check_key(key)
    permutations = check_count("permutations", permutations)
    both = torch.cat([x, y]).double()
    distance = torch.cdist(both, both, compute_mode="donot_use_mm_for_euclid_dist")  # products lose far points' digits
    apart = torch.triu_indices(len(both), len(both), 1, device=both.device)
    positive = distance[apart[0], apart[1]]
    positive = positive[positive > 0]
    bandwidth = positive.median() if len(positive) else positive.new_ones(())
    kernel = torch.exp(-0.5 * (distance / bandwidth).square())
    signs = torch.cat([both.new_full((len(x),), 1 / len(x)), both.new_full((len(y),), -1 / len(y))])
    orders = vmap(lambda each: keys.permutation(each, len(both)))(keys.split(key, permutations))
    weights = torch.cat([signs[None], signs[orders]])
    mmd = ((weights @ kernel) * weights).sum(1)
    at_least = (mmd[1:] >= mmd[0] - 1e-12).sum()
    return TwoSample(mmd[0].clamp_min(0), (1 + at_least).double() / (1 + permutations), bandwidth)


@torch.no_grad()
def predictive_check(
    statistic: Callable[[Tensor], Tensor], x: Float[Tensor, "n *D"], replicates: Float[Tensor, "s n *D"]
) -> PredictiveCheck:
    """p = (1/2 + the number of replicates with T(x_rep) > T(x), ties by half) / (s + 1), for T: (n, *D) -> () or (t,).

    `replicates` are s data sets drawn from p(x_rep | z), z from the posterior given x, of x's shape. A verdict is at
    LEVEL over both sides of all t statistics together, which takes s >= 2 t / LEVEL - 1 replicates.
    """
    check_function("statistic", statistic, "lambda x: x.var()")
    check_tensor("x", x)
    check_tensor("replicates", replicates)
    if replicates.ndim != x.ndim + 1 or replicates.shape[1:] != x.shape or len(replicates) < 2:
        raise ValueError(
            f"expected replicates (s, {', '.join(map(str, x.shape))}) with s >= 2, as many data sets of x's shape, got "
            f"{tuple(replicates.shape)} for x {tuple(x.shape)}: x comes before its replicates"
        )
    if replicates.dtype != x.dtype:
        raise TypeError(
            f"expected replicates in {x.dtype}, as x is, got {replicates.dtype}: convert one of x and replicates"
        )
    check_filled("x", x)
    observed = statistic(x)
    check_tensor("statistic(x)", observed)
    if observed.ndim > 1 or observed.numel() == 0:
        raise ValueError(
            f"expected statistic(x) () or (t,) of a data set, got {tuple(observed.shape)}: reduce over data"
        )
    drawn = vmap(statistic)(replicates)
    observed, drawn = observed.reshape(-1).double(), drawn.reshape(len(replicates), -1).double()
    s, above, below = len(drawn), (drawn > observed).double().sum(0), (drawn < observed).double().sum(0)
    p_value = (0.5 + 0.5 * (s + above - below)) / (s + 1)
    one_sided = (1 + s - torch.maximum(above, below)) / (s + 1)
    finite = torch.isfinite(observed) & torch.isfinite(drawn).all(0)
    p_value, one_sided = (torch.where(finite, p, torch.nan) for p in (p_value, one_sided))
    return PredictiveCheck(observed, drawn.mean(0), drawn.std(0), p_value, one_sided, s)
