"""Priors by name, for command lines and laws: one row each."""

from collections.abc import Callable

from jensen.core import spelling
from jensen.core.models.latent.priors.mixtures import MixtureOfNormals, MixtureOfPosteriors
from jensen.core.models.latent.priors.prior import Prior
from jensen.core.models.latent.priors.standard import NORMAL

ROWS: dict[str, Callable[..., Prior]] = {
    "normal": lambda: NORMAL,
    "mixture": MixtureOfNormals,
    "vamp": MixtureOfPosteriors,
}
NAMES = tuple(spelling.forms(ROWS))
PRIORS: dict[str, Prior] = {name: build() for name, build in ROWS.items()}  # of their default sizes


def parse(text: str) -> Prior:
    """The prior of a name with its size, as in "vamp(50)"; NAMES lists them.

    ValueError for an unknown name or sizes that do not fit, with the form expected.
    """
    return spelling.parse(text, ROWS, "prior")
