"""The real numbers of named parameters, one after another in the order of their supports, and back."""

import math
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.checks import check_floating, described
from jensen.core.concrete import is_concrete
from jensen.core.models.bayes.supports import Support
from jensen.core.trees import check_keys


def size(supports: Mapping[str, Support]) -> int:
    """How many real numbers there are."""
    return sum(support.d for support in supports.values())


def places(supports: Mapping[str, Support]) -> dict[str, slice]:
    """Where each parameter's numbers are."""
    found, begin = {}, 0
    for name, support in supports.items():
        found[name] = slice(begin, begin + support.d)
        begin += support.d
    return found


def parts(supports: Mapping[str, Support], z: Float[Tensor, "... d"]) -> Iterator[tuple[str, Support, Tensor]]:
    """Each parameter's name, support and numbers (..., support.d)."""
    check_floating("z", z, f"... {size(supports)}", f"the real numbers of {', '.join(supports)}")
    split = z.split([support.d for support in supports.values()], -1)
    return zip(supports, supports.values(), split, strict=True)


def constrained(supports: Mapping[str, Support], z: Float[Tensor, "... d"]) -> dict[str, Tensor]:
    """The parameters (..., *shape) by name."""
    return {name: support.forward(part)[0] for name, support, part in parts(supports, z)}


def unconstrained(supports: Mapping[str, Support], theta: Mapping[str, Tensor]) -> Float[Tensor, "... d"]:
    """z of parameters (..., *shape). ValueError that names one outside its support."""
    if not isinstance(theta, Mapping):
        names = ", ".join(supports)
        raise TypeError(f"expected theta, a dict of {names}, got {described(theta)}: see what constrained gives")
    check_keys(theta, supports)
    for name, support in supports.items():
        axes = " ".join(["...", *map(str, support.shape)])
        check_floating(f"theta[{name!r}]", theta[name], axes, f"{name} is {support}")
        inside = support.contains(theta[name])
        if is_concrete(inside) and not inside.all():
            out = f"{int((~inside).sum())} of {inside.numel()}"
            raise ValueError(
                f"expected theta[{name!r}] in {support}, got {out} values outside: the parameter has another support"
            )
    return torch.cat([support.inverse(theta[name]) for name, support in supports.items()], -1)


def flat(
    supports: Mapping[str, Support], values: Mapping[str, Tensor], lead: tuple[int, ...]
) -> Float[Tensor, "... k"]:
    """The numbers that vary of all values (*lead, *shape), as one vector."""
    each = {name: value.reshape(*lead, math.prod(value.shape[len(lead) :])) for name, value in values.items()}
    return torch.cat(
        [t[..., list(_varying(supports[name]))] if name in supports else t for name, t in each.items()], -1
    )


def flat_names(supports: Mapping[str, Support], values: Mapping[str, Tensor]) -> tuple[str, ...]:
    """A name for each of these numbers, of values (*shape), such as "theta[3]" and "loadings[0, 2]", from 0."""
    names = {name: [name + _index(at) for at in product(*map(range, t.shape))] for name, t in values.items()}
    varying = {name: _varying(supports[name]) if name in supports else range(len(own)) for name, own in names.items()}
    return tuple(names[name][i] for name in values for i in varying[name])


@cache
def _varying(support: Support) -> tuple[int, ...]:
    """The places of a value's numbers that are not the same for every z, as a triangular factor's zeros are."""
    z = torch.linspace(0.1, 1.0, 2 * support.d, dtype=torch.float64).reshape(2, support.d)
    one, other = support.forward(z)[0].reshape(2, -1)
    return tuple((one != other).nonzero()[:, 0].tolist())


def _index(at: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, at))}]" if at else ""
