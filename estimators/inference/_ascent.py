"""What steps up the ELBO of each datum's own share: its gradient in the numbers that build q."""

from collections.abc import Callable
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import grad

from jensen.core import trees
from jensen.core.checks import check_distribution, check_floating, check_function
from jensen.core.contracts import Distribution, Key, LogDensity, Noise
from jensen.estimators.gradients._pathwise import stl
from jensen.estimators.gradients.contract import density, weighted

Build: TypeAlias = Callable[[Tensor], Distribution]  # phi (n, e) -> q with rows for n data


def checked(log_p: LogDensity, build: Build, start: Float[Tensor, "n e"]) -> None:
    """TypeError and ValueError for what cannot be climbed."""
    check_function("log_p", log_p, "partial(model.log_joint, params, x)")
    check_function("build", build, "partial(model.posterior_of, params)")
    check_floating("start", start, "n e", "one row per datum, such as model.encoded(params, x)")
    q = build(start)
    check_distribution("build(start)", q)
    if not q.reparameterised:
        raise TypeError(
            f"expected build, of reparameterised distributions, got one of {type(q).__name__}: samples need a path"
        )


def slope(
    log_p: LogDensity, build: Build, phi: Float[Tensor, "n e"], key: Key, s: int, differentiable: bool
) -> Float[Tensor, "n e"]:
    """The gradient of each datum's ELBO in its row of phi, by `stl` at s samples, whose noise is the same for all data.

    Where `differentiable`, in all that it is made of; else it has no gradient.
    """
    at = phi if differentiable else phi.detach()
    q = build(at)
    noise = alike(q.noise(key, s))
    if not differentiable:
        return grad(lambda phi: stl(log_p, build(phi), noise).sum())(at).detach()

    def elbo(phi: Tensor) -> Tensor:  # the density of samples is that of q, whose own path is not followed
        z = build(phi).sample(noise)
        log_w = density(log_p, z) - q.log_prob(z)
        return weighted(torch.full_like(log_w, 1 / s), log_w).sum()

    return grad(elbo)(at)


def alike(noise: Noise) -> Noise:
    """The first datum's noise for all: what follows from it depends on no datum's place."""
    return trees.map(lambda t: t[:, :1].expand_as(t), noise)
