"""Fisher information, expected and observed, and the least variance of an unbiased estimate."""

from collections.abc import Callable
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import grad, hessian, vmap

from jensen.core import trees
from jensen.core.checks import check_count, check_distribution, check_floating, check_function, check_key
from jensen.core.concrete import is_concrete
from jensen.core.contracts import Distribution, Event, Key
from jensen.core.trees import Tree

Q = TypeVar("Q", bound=Distribution)


def fisher_information(q: Distribution) -> Float[Tensor, "n m m"]:
    """E_q[s s^T], s the gradient of log q(z) in the m numbers of a datum's fields: (n, m, m), in closed form.

    The Hessian of KL(q || p) in p at p = q, in the order of `trees.ravel` of one datum's fields. Each field has one row
    per datum. TypeError for a q without a KL: `score_information` averages over samples.
    """
    check_distribution("q", q)
    kl = getattr(q, "kl", None)
    if kl is None:
        raise TypeError(
            f"expected q, a distribution with a KL in closed form, got {type(q).__name__}: "
            "average over samples with score_information(q, key, s)"
        )

    def row(q: Distribution) -> Tensor:
        vector, unravel = trees.ravel(_alone(q))
        fixed = unravel(vector.detach())
        return hessian(lambda v: fixed.kl(unravel(v)).sum())(vector)

    return vmap(row)(q)


def score_information(q: Distribution, key: Key, s: int) -> tuple[Float[Tensor, "n m m"], Float[Tensor, "n m m"]]:
    """The mean of s s^T over s samples of q, and its standard errors: `fisher_information` where that has no form."""
    check_distribution("q", q)
    check_key(key)
    s = check_count("s", s, 2)
    z = trees.stop(q.sample(q.noise(key, s)))

    def row(q: Distribution, z: Event) -> Tensor:
        vector, unravel = trees.ravel(_alone(q))
        scores = vmap(lambda one: grad(lambda v: unravel(v).log_prob(_first(one)).sum())(vector))(z)
        return scores[:, :, None] * scores[:, None, :]

    products = vmap(row, (0, 1))(q, z)
    return products.mean(1), products.std(1) / s**0.5


def observed_information(log_likelihood: Callable[[Tree], Tensor], theta: Tree) -> Float[Tensor, "m m"]:
    """Minus the Hessian of a log likelihood at theta, a tree of m numbers: (m, m), in the order of `trees.ravel`.

    log_likelihood: theta -> 0-d, in nats, summed over observations. At its maximum the inverse is the covariance of the
    estimate, which `cramer_rao` bounds.
    """
    check_function("log_likelihood", log_likelihood, "lambda theta: model(theta).log_prob(x).sum()")
    for leaf in trees.leaves(theta) or [theta]:
        check_floating("theta", leaf)
    vector, unravel = trees.ravel(theta)
    return -hessian(lambda v: _scalar(log_likelihood(unravel(v))))(vector)


def cramer_rao(
    information: Float[Tensor, "*n m m"], jacobian: Float[Tensor, "*n k m"] | None = None
) -> Float[Tensor, "*n k k"]:
    """J I^-1 J^T: no estimate whose mean has the slope J in theta has a smaller covariance (Rao, 1945; Cramér, 1946).

    The information is that of all observations: of s independent ones, s times one's. J, (k, m), is the slope of an
    unbiased estimate's target f(theta), with the slope of the bias added for another; without J that of theta itself.
    ValueError for an information that is singular: some direction of theta is not identified.
    """
    check_floating("information", information, "... m m", "a square matrix, for each datum")
    if information.shape[-1] != information.shape[-2]:
        raise ValueError(f"expected information (m, m), got {tuple(information.shape)}: pass a square matrix")
    m = information.shape[-1]
    if jacobian is None:
        jacobian = torch.eye(m, dtype=information.dtype, device=information.device)
    check_floating("jacobian", jacobian, f"... k {m}", "the slopes of k functions in theta")
    factor, failed = torch.linalg.cholesky_ex(information)
    diagonal = factor.diagonal(dim1=-2, dim2=-1).square()
    rounding = m * torch.finfo(information.dtype).eps * information.diagonal(dim1=-2, dim2=-1)
    if is_concrete(failed) and ((failed != 0) | (diagonal <= rounding).any(-1)).any():
        raise ValueError(
            "expected information, a positive definite matrix, got a singular one: some direction of theta is not "
            "identified; fix it, or bound functions of what is"
        )
    white = torch.linalg.solve_triangular(factor, jacobian.mT, upper=False)
    return white.mT @ white


def _alone(q: Q) -> Q:
    """One datum with its data axis."""
    return trees.map(lambda t: t[None], q)


def _first(z: Event) -> Event:
    """One sample of one datum, with both axes."""
    return trees.map(lambda t: t[None, None], z)


def _scalar(value: Tensor) -> Tensor:
    if value.ndim:
        raise ValueError(f"expected log_likelihood 0-d, got {tuple(value.shape)}: sum it over observations")
    return value
