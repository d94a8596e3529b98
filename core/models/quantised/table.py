"""Quantisers by name, for command lines: one row each."""

from collections.abc import Callable

from jensen.core import spelling
from jensen.core.models.quantised.fsq import Fsq
from jensen.core.models.quantised.gradient_vq import GradientVq
from jensen.core.models.quantised.gumbel import GumbelVq
from jensen.core.models.quantised.lfq import Lfq
from jensen.core.models.quantised.quantiser import Quantiser
from jensen.core.models.quantised.residual import ResidualVq
from jensen.core.models.quantised.soft import SoftVq
from jensen.core.models.quantised.vq import Vq

ROWS: dict[str, Callable[..., Quantiser]] = {
    "vq": Vq,
    "gradient-vq": GradientVq,
    "residual-vq": lambda size, depth: ResidualVq(Vq(size), depth),
    "fsq": lambda *levels: Fsq(levels),
    "lfq": Lfq,
    "soft-vq": SoftVq,
    "gumbel-vq": GumbelVq,
}
NAMES = tuple(spelling.forms(ROWS))


def parse(text: str) -> Quantiser:
    """The quantiser of a name with its settings, as in "vq(512, path=rotation)" or "fsq(8, 5, 5)"; NAMES lists them.

    ValueError for an unknown name or settings that do not fit, with the form expected.
    """
    return spelling.parse(text, ROWS, "quantiser")
