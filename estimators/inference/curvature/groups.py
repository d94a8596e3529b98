"""Groups of a network's parameters, each with a prior precision of its own."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from jensen.core.checks import check_number, described
from jensen.core.trees import Static
from jensen.estimators.inference.curvature.linearised import Linearised, begins

VARIANCE = "1 / variance of each parameter"


class Groups(NamedTuple):
    """How the paths of each of g groups begin, and the group of each of p parameters in the layout's order."""

    starts: Static[tuple[str, ...]]
    of: Int[Tensor, " p"]

    @classmethod
    def starting(cls, linearised: Linearised, starts: Sequence[str]) -> "Groups":
        """One group for each start, such as "2" for a layer; of all parameters for none.

        ValueError for a parameter of no group or several, and for a group of none.
        """
        if (
            isinstance(starts, str)
            or not isinstance(starts, Sequence)
            or not all(isinstance(each, str) for each in starts)
        ):
            raise TypeError(
                f"expected groups, a tuple of paths, got {described(starts)}: pass tuple(parameters) for one a layer"
            )
        vector, random = linearised.vector(), linearised.random()
        if not starts:
            return cls(Static(("all",)), torch.zeros_like(vector, dtype=torch.int64))
        places = {}
        for path, leaf in random.items():
            mine = [i for i, start in enumerate(starts) if begins(path, start)]
            if len(mine) != 1:
                raise ValueError(
                    f"expected each random parameter in one of groups {', '.join(map(str, starts))}, got {path} in "
                    f"{len(mine)}: pass tuple(parameters) for one a layer"
                )
            places[path] = torch.full_like(leaf, mine[0])
        found = cls(Static(tuple(starts)), linearised.layout.value.flat(places).long())
        empty = [start for i, start in enumerate(starts) if not (found.of == i).any()]
        if empty:
            raise ValueError(f"expected groups of paths {', '.join(random)}, got {empty[0]!r}: leave it out")
        return found

    def sums(self, values: Float[Tensor, " p"]) -> Float[Tensor, " g"]:
        """Over each group, in float64."""
        none = torch.zeros(len(self.starts.value), dtype=torch.float64, device=values.device)
        return none.index_add(0, self.of, values.double())

    def precisions(self, prior_precision: float | Sequence[float]) -> Float[Tensor, " g"]:
        """One for each group, all the same for one number. ValueError for another number of them."""
        g = len(self.starts.value)
        if isinstance(prior_precision, list | tuple):
            if len(prior_precision) != g:
                raise ValueError(
                    f"expected prior_precision of {g} groups, got {len(prior_precision)}: pass one number for each, or "
                    "one for all"
                )
            each = [check_number("each of prior_precision", value, "(0, inf)", VARIANCE) for value in prior_precision]
        else:
            each = g * [check_number("prior_precision", prior_precision, "(0, inf)", VARIANCE)]
        return torch.tensor(each, dtype=torch.float64, device=self.of.device)
