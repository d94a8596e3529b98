"""Active units (Burda et al., 2016) and posterior collapse (Lucas et al., 2019): the latent dimensions in use.

Approximates  the latent dimensions that depend on the data
With          the variance over data of posterior means (`active_units`), or the share of data on which a
              dimension's KL to the prior is negligible (`collapse`)
Requires      a mean for each datum; for `collapse`, a q and a prior with independent dimensions
Unbiased when the data are a random sample: both are averages over them
Cost          the encoder's outputs, and no samples
Reference     Burda et al., 2016, section 5.1; Lucas et al., 2019, for (epsilon, delta)-collapse
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from jensen.core.checks import check_number, described
from jensen.core.contracts import ClosedForm, Distribution, Enumerable, can
from jensen.core.divergences import kl_per_dimension
from jensen.estimators.diagnostics._checks import check_prior
from jensen.estimators.wording import counted, listed, no_verdict


class ActiveUnits(NamedTuple):
    """Each (d,): the variance over data of the posterior mean, and whether it is above the threshold."""

    variance: Float[Tensor, " d"]
    active: Bool[Tensor, " d"]
    threshold: Float[Tensor, ""]

    def verdict(self) -> str:
        broken = ~torch.isfinite(self.variance)
        if broken.any():
            return no_verdict(broken, "posterior means of units", "the data and the encoder's outputs")
        used, d = int(self.active.sum()), len(self.active)
        rest = "every one" if used == d else f"all but {listed(~self.active)}" if used else "none"
        return (
            f"{used} of {counted(d, 'unit')} active, by posterior means whose variance over data is above "
            f"{self.threshold.item():g}: {rest}"
        )


class Collapse(NamedTuple):
    """Each (d,): the mean KL in nats per datum, the share of data whose KL is below epsilon, and whether collapsed."""

    kl: Float[Tensor, " d"]
    negligible: Float[Tensor, " d"]
    collapsed: Bool[Tensor, " d"]
    epsilon: Float[Tensor, ""]
    delta: Float[Tensor, ""]

    def verdict(self) -> str:
        if not torch.isfinite(self.kl).all():
            return no_verdict(~torch.isfinite(self.kl), "KLs of dimensions", "the encoder's outputs and the prior")
        count, d = int(self.collapsed.sum()), len(self.collapsed)
        rule = f"KL below {self.epsilon.item():g} nats on at least {1 - self.delta.item():.3g} of the data"
        others = torch.where(self.collapsed, torch.inf, self.kl)
        least = f"{others.min().item():.3g} nats, dimension {int(others.argmin())}"
        if not count:
            return f"no dimension of {d} has collapsed ({rule}): the least mean KL is {least}"
        cure = "warm the KL up, give it free bits, or train the encoder further before taking the latent space smaller"
        rest = f"; the least mean KL of the others is {least}" if count < d else ""
        named = listed(self.collapsed)
        return f"{count} of {counted(d, 'dimension')} collapsed to the prior ({rule}): {named}: {cure}{rest}"


@torch.no_grad()
def active_units(q: Distribution | Float[Tensor, "n *d"], threshold: float = 0.01) -> ActiveUnits:
    """A unit is active where the variance over data of E_q[z | x] exceeds the threshold, in squared units of z.

    q: a distribution with mean() (n, d), or the means themselves, for a q whose mean has no closed form. For a
    categorical, (n, d, k), a dimension's variance is the largest of its k classes'. ValueError for one datum.
    """
    if isinstance(q, type) or not (isinstance(q, Tensor) or can(q, ClosedForm) or can(q, Enumerable)):
        raise TypeError(f"expected q, or its means, got {described(q)}: pass q.sample(q.noise(key, 100)).mean(0)")
    threshold = check_number("threshold", threshold, "[0, inf)", "a variance, in squared units of z")
    means = q if isinstance(q, Tensor) else q.mean()
    if means.ndim not in (2, 3) or len(means) < 2 or means.numel() == 0:
        raise ValueError(
            f"expected q with means (n, d) of n >= 2 data, got {tuple(means.shape)}: the variance is over data"
        )
    if not means.is_floating_point():
        raise TypeError(f"expected q as means in floating point, got {means.dtype}: convert them with q.float()")
    variance = means.to(torch.promote_types(means.dtype, torch.float32)).var(0)
    variance = variance.amax(-1) if variance.ndim == 2 else variance
    return ActiveUnits(variance, variance > threshold, variance.new_tensor(threshold))


@torch.no_grad()
def collapse(q: Distribution, p: Distribution, epsilon: float = 0.01, delta: float = 0.01) -> Collapse:
    """Dimension d has collapsed where KL(q(z_d | x) || p(z_d)) < epsilon for a share of data of at least 1 - delta.

    q and p are of one `Dimensional` family, such as `model.prior(params, n)` for p.
    """
    check_prior(q, p)
    epsilon = check_number("epsilon", epsilon, "(0, inf)", "a KL in nats")
    delta = check_number("delta", delta, "[0, 1)", "a share of the data")
    kl = kl_per_dimension(q, p)
    negligible = (kl < epsilon).to(kl.dtype).mean(0)
    return Collapse(kl.mean(0), negligible, negligible >= 1 - delta, kl.new_tensor(epsilon), kl.new_tensor(delta))
