"""Laws of distribution functions: quantiles invert them, they rise from 0 to 1, and their slope is the density.

Of discrete distributions a quantile is the least value whose cdf reaches it, and the cdf rises by steps of the mass.
"""

import torch
from torch import Tensor

from jensen.core import keys, trees
from jensen.core.contracts import Cdf, Marginal
from jensen.core.distributions import Exponential, Laplace, Logistic
from jensen.laws._law import law, spoiled
from jensen.laws.assertions import mean_is_exact
from jensen.laws.distributions import KEY, NORMAL
from jensen.laws.regions import is_discrete

LOGISTIC = Logistic(*NORMAL)
WAITING = Exponential(torch.full((2, 3), 0.7, dtype=torch.float64))
SHARES = (0.02, 0.1, 0.25, 0.3, 0.55, 0.75, 0.9, 0.98)
STEP = 1e-4  # of the middle half's width, by which values are moved


def values(q: Cdf) -> Tensor:
    """The quantiles of every component at SHARES, (8, n, d)."""
    one = q.sample(q.noise(KEY, 1))
    shares = torch.tensor(SHARES, dtype=one.dtype).reshape(-1, 1, 1)
    return q.quantile(shares.expand(-1, *one.shape[1:]))


@law(
    "distribution",
    needs=Cdf,
    planted=lambda: [
        spoiled(LOGISTIC, quantile=lambda q, u: q.loc - q.log_scale.exp() * torch.logit(u)),
        spoiled(LOGISTIC, cdf=lambda q, z: torch.sigmoid(z - q.loc)),
    ],
)
def quantiles_invert_the_cdf(q: Cdf) -> None:
    """cdf(quantile(u)) = u for u in (0, 1), quantile(cdf(z)) = z, and u of the samples are at most quantile(u).

    Of discrete ones cdf(quantile(u)) >= u > cdf(quantile(u) - 1).
    """
    z = q.sample(q.noise(KEY, 1))
    u = 0.05 + 0.9 * keys.uniform(keys.fold_in(KEY, 1), tuple(z.shape), torch.float64).to(z.dtype)
    value = q.quantile(u)
    reached = q.cdf(value)
    if is_discrete(q):
        assert (reached >= u).all(), (reached, u)
        assert (q.cdf(value - 1) < u).all(), (q.cdf(value - 1), u)
    else:
        torch.testing.assert_close(reached, u, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(q.quantile(reached), value, rtol=1e-5, atol=1e-5)
    mean_is_exact(lambda key, s: (q.sample(q.noise(key, s)) <= value[0]).to(u.dtype), reached[0], KEY)


@law(
    "distribution",
    needs=Cdf,
    planted=lambda: [
        spoiled(LOGISTIC, cdf=lambda q, z: torch.sigmoid((q.loc - z) / q.log_scale.exp())),  # of larger values
        spoiled(LOGISTIC, cdf=lambda q, z: 0.9 * Logistic.cdf(q, z)),
        spoiled(WAITING, cdf=lambda q, z: -torch.expm1(-q.rate * z)),  # below 0 outside the support
    ],
)
def the_cdf_rises_from_0_to_1(q: Cdf) -> None:
    """cdf(-inf) = 0, cdf(inf) = 1, and between them it falls nowhere, outside the support neither."""
    z = values(q)
    spread = z.abs().amax(0, keepdim=True) + 1
    ends = torch.full_like(spread, torch.inf)
    found = q.cdf(torch.cat([-ends, -1e3 * spread, z, 1e3 * spread, ends]))
    assert (found[0] == 0).all(), found[0]
    assert (found[-1] == 1).all(), found[-1]
    assert (found.diff(dim=0) >= 0).all(), found


@law(
    "distribution",
    needs=Cdf,
    planted=lambda: [
        spoiled(LOGISTIC, log_prob=lambda q, z: Laplace(*q).log_prob(z)),
        spoiled(LOGISTIC, cdf=lambda q, z: Logistic.cdf(q, z).square()),
    ],
)
def the_cdf_rises_by_the_density(q: Cdf) -> None:
    """sum_d log of the cdf's slopes is log_prob, by central differences; of discrete ones that of its steps."""
    z = values(q)
    if is_discrete(q):
        rise = q.cdf(z) - q.cdf(z - 1)
    else:
        step = STEP * (z[5] - z[2])
        rise = (q.cdf(z + step) - q.cdf(z - step)) / (2 * step)
    torch.testing.assert_close(torch.log(rise).sum(-1), q.log_prob(z), rtol=1e-5, atol=1e-4)


@law(
    "distribution",
    needs=Marginal,
    planted=lambda: [
        spoiled(LOGISTIC, marginals=lambda q, z: (*Logistic.marginals(q, z)[:2], -Logistic.marginals(q, z)[2])),
        spoiled(LOGISTIC, marginals=lambda q, z: (q.cdf(z).log(), *Logistic.marginals(q, z)[1:])),
    ],
)
def marginals_are_those_of_the_components(q: Marginal) -> None:
    """log densities that sum to log_prob, the cdf, and the log density's slope in z; of one more data axis the same."""
    z = q.sample(q.noise(KEY, 4))
    log_p, below, slope = q.marginals(z)
    torch.testing.assert_close(log_p.sum(-1), q.log_prob(z), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(below, q.cdf(z), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(slope, torch.func.grad(lambda z: q.log_prob(z).sum())(z), rtol=1e-9, atol=1e-9)
    several = trees.map(lambda t: torch.stack([t, t], 1), q)
    for one, more in zip((log_p, below, slope), several.marginals(torch.stack([z, z], 2)), strict=True):
        torch.testing.assert_close(more[:, :, 1], one, rtol=1e-9, atol=1e-9)
