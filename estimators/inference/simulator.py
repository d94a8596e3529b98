"""A simulator: a prior and a likelihood that are drawn from, without a density of either."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.func import vmap

from jensen.core import keys
from jensen.core.checks import check_count, check_floating, check_function, check_key, described
from jensen.core.contracts import Key
from jensen.core.models.bayes import Posterior, Support, Theta, coordinates

SHOWN = 4  # numbers of a parameter in an error


class Simulations(NamedTuple):
    """Draws of (z, x), z the parameters' real numbers."""

    z: Float[Tensor, "n d"]
    x: Float[Tensor, "n *event"]

    def rows(self, index: slice | Int[Tensor, " b"] | Bool[Tensor, " n"]) -> "Simulations":
        return Simulations(self.z[index], self.x[index])


@dataclass(frozen=True)
class Simulator:
    """p(theta) p(x | theta) by its draws.

        simulator = Simulator({"rate": positive()}, draw, simulate)
        simulator = Simulator.of(posterior, "y")                 # of a `bayes.Model` that simulates its data

    support   name -> where the parameter lies
    draw      key, s -> theta (s, 1, *shape), as in a `bayes.Model`
    simulate  key, theta of one draw (*shape) -> x (*event), a tensor of one shape whatever theta
    mapped    whether `torch.func.vmap` goes through simulate; else it is called for one draw after another
    """

    support: Mapping[str, Support]
    draw: Callable[[Key, int], Theta]
    simulate: Callable[[Key, Theta], Tensor]
    mapped: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.support, Mapping) or not self.support:
            raise TypeError(
                f"expected support, a dict of parameters' supports, got {described(self.support)}: "
                'write {"rate": positive()}'
            )
        for name, support in self.support.items():
            if not isinstance(support, Support):
                raise TypeError(f"expected the support of {name}, got {described(support)}: write positive()")
            support.check(name)
        check_function("draw", self.draw, "lambda key, s: {'rate': draws.exponential(key, (s, 1))}")
        check_function("simulate", self.simulate, "lambda key, theta: theta['rate'] + keys.normal(key, (10,))")

    @classmethod
    def of(cls, posterior: Posterior, observed: str) -> "Simulator":
        """The simulator of a model, given the covariates in the posterior's data; x is the column that is observed.

        ValueError for a model without draws of its prior or its data.
        """
        if not isinstance(posterior, Posterior):
            raise TypeError(f"expected posterior, a Posterior, got {described(posterior)}: pass condition(model, data)")
        if observed not in posterior.data:
            raise ValueError(f"expected observed, one of {', '.join(posterior.data)}, got {observed!r}: name a column")
        model = posterior.model.value
        if model.draw is None or model.simulate is None:
            missing = "draw" if model.draw is None else "simulate"
            raise ValueError(f"expected a model that draws its prior and its data, got {missing} = None: give it one")
        draw, dtype = model.draw, posterior.dtype

        def drawn(key: Key, s: int) -> Theta:
            return {name: t.to(dtype) for name, t in draw(key, s).items()}

        return cls(posterior.support, drawn, lambda key, theta: posterior.simulated(key, theta)[observed])

    def simulations(self, key: Key, n: int) -> Simulations:
        """n draws. ValueError that names parameters outside their supports, or whose x is not finite."""
        check_key(key)
        n = check_count("n", n)
        prior_key, simulate_key = keys.split(key)
        return self.at(simulate_key, self.prior(prior_key, n))

    def prior(self, key: Key, n: int) -> Float[Tensor, "n d"]:
        """n draws of z, without their x."""
        check_key(key)
        n = check_count("n", n)
        theta = self.draw(key, n)
        z = coordinates.unconstrained(self.support, theta)
        if z.ndim != 3 or z.shape[:2] != (n, 1):
            shape = tuple(theta[next(iter(self.support))].shape)
            raise ValueError(f"expected draw(key, {n}) to give theta ({n}, 1, *shape), got {shape}: samples lead")
        return z[:, 0]

    def at(self, key: Key, z: Float[Tensor, "n d"]) -> Simulations:
        """z, and a draw of x given each. ValueError that names the first whose x is not finite."""
        check_key(key)
        check_floating("z", z, f"n {coordinates.size(self.support)}", "a row for each draw of x")
        theta, n = coordinates.constrained(self.support, z), len(z)
        x = self._simulated(keys.split(key, n), theta)
        finite = x.isfinite().reshape(n, -1).all(1)
        if not finite.all():
            first = int((~finite).nonzero()[0])
            where = ", ".join(f"{name} = {_shown(t[first])}" for name, t in theta.items())
            raise ValueError(
                f"expected finite x of simulate(key, theta), got NaN or infinity in {int((~finite).sum())} of {n}, "
                f"the first at {where}: mend simulate there, or leave such theta out of the prior's draws"
            )
        return Simulations(z, x.to(z.dtype))

    def _simulated(self, each: Int[Tensor, "n 3"], theta: Theta) -> Tensor:
        def one(key: Tensor, theta: Theta) -> Tensor:
            x = self.simulate(key, theta)
            if not isinstance(x, Tensor) or x.is_complex() or not x.numel():
                raise TypeError(f"expected simulate(key, theta) to give a tensor x, got {described(x)}: return one")
            return x

        if self.mapped:
            return vmap(one)(each, dict(theta))
        return torch.stack([one(key, {name: t[i] for name, t in theta.items()}) for i, key in enumerate(each)])


def _shown(value: Tensor) -> str:
    numbers = [f"{number:.3g}" for number in value.flatten()[:SHOWN].tolist()]
    more = ", …" if value.numel() > SHOWN else ""
    return f"({', '.join(numbers)}{more})" if value.ndim else numbers[0]
