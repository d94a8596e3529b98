"""Posterior families by name, for command lines and laws: one row each."""

from collections.abc import Callable

from jensen.core import spelling
from jensen.core.models.latent.posteriors.flows import (
    InverseAutoregressive,
    PlanarFlows,
    RealNvp,
    Splines,
    SylvesterFlows,
)
from jensen.core.models.latent.posteriors.mixtures import MixtureOfNormals
from jensen.core.models.latent.posteriors.normals import DIAG, FULL, LowRank
from jensen.core.models.latent.posteriors.posterior import Posterior

ROWS: dict[str, Callable[..., Posterior]] = {
    "diag": lambda: DIAG,
    "full": lambda: FULL,
    "low-rank": LowRank,
    "mixture": MixtureOfNormals,
    "planar": PlanarFlows,
    "sylvester": SylvesterFlows,
    "iaf": InverseAutoregressive,
    "real-nvp": RealNvp,
    "spline": Splines,
}
NAMES = tuple(spelling.forms(ROWS))
POSTERIORS: dict[str, Posterior] = {name: build() for name, build in ROWS.items()}  # of their default sizes


def parse(text: str) -> Posterior:
    """The family of a name with its sizes, as in "iaf(8)" or "low-rank(5)"; NAMES lists them.

    ValueError for an unknown name or sizes that do not fit, with the form expected.
    """
    return spelling.parse(text, ROWS, "posterior")
