"""Maximum likelihood in an exponential family, which is moment matching, with its standard errors."""

from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import jacrev

from jensen.core import trees
from jensen.core.checks import check_floating
from jensen.core.concrete import is_concrete
from jensen.core.contracts import Distribution
from jensen.core.exponential.family import ExponentialFamily, Natural, by_row, check_family, covariance

Q = TypeVar("Q", bound=Distribution)


def maximum_likelihood(family: ExponentialFamily[Q], x: Float[Tensor, "s ..."]) -> tuple[Q, dict[str, Tensor]]:
    """The member whose mean parameters are the observations' mean statistics, and its fields' standard errors by name.

    x (s, n, *event), s observations of each of n data. Errors are those of many observations from a member: with mu
    the mean of s statistics, of covariance F / s, a field f(mu) has variance J F J^T / s, J = df / dmu. They are 0 of
    what is known. ValueError for observations outside the support, and for those whose means no member has, as of one
    observation.
    """
    check_family(family)
    check_floating("x", x, "s ...", "observations come first")
    s = len(x)
    mean = trees.map(lambda t: t.mean(0), family.statistics(x))
    try:
        q = family.from_mean(mean)
    except ValueError as error:
        raise ValueError(f"expected x with mean statistics that a member has: {error}") from error
    _check_support(q, x)
    information = covariance(family, family.natural(q))

    def variances(family: ExponentialFamily, mean: Natural, information: Tensor) -> Tensor:
        vector, unravel = trees.ravel(mean)
        slopes = jacrev(lambda v: trees.ravel(family.from_mean(unravel(v)))[0])(vector)
        return ((slopes @ information) * slopes).sum(-1) / s

    variance = by_row(variances, family, mean)(family, mean, information)
    return q, _by_field(variance.clamp_min(0).sqrt(), q, mean, family)


def _check_support(q: Distribution, x: Tensor) -> None:
    log_p = q.log_prob(x)
    if is_concrete(log_p) and (log_p == -torch.inf).any():
        outside = int((log_p == -torch.inf).sum())
        raise ValueError(
            f"expected x in the support of {type(q).__name__}, got {outside} of {log_p.numel()} outside: "
            "choose a family with the data's support"
        )


def _by_field(errors: Tensor, q: Distribution, mean: Natural, family: ExponentialFamily) -> dict[str, Tensor]:
    """Rows of all fields in a line, (*n, p), as the fields."""
    name = next(iter(family.axes))
    rows = mean[name].ndim - family.axes[name]
    fields = trees.paths(q)
    sizes = [t[(0,) * rows].numel() for t in fields.values()]
    parts = errors.split(sizes, -1)
    return {path: part.reshape(t.shape) for (path, t), part in zip(fields.items(), parts, strict=True)}
