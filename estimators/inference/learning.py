"""How a conditional density q(z | x) is learnt of simulations: a setting that neural posterior estimators share."""

from collections.abc import Callable
from dataclasses import dataclass

from jensen.core import keys
from jensen.core.checks import check_count, check_function, check_number, described
from jensen.core.contracts import Flow, Key
from jensen.core.flows import RationalQuadratic, maf
from jensen.estimators.inference.summaries import Summary, flattened

BINS, BOUND, HIDDEN = 8, 5.0, (50,)


def shaped_then_placed(key: Key, d: int, context: int = 0) -> tuple[Flow, ...]:
    """Two autoregressive layers of splines, then two affine ones: what the posterior's shape is, then where it lies."""
    shape_key, place_key = keys.split(key)
    splines = maf(shape_key, d, 2, HIDDEN, context, transform=RationalQuadratic(BINS, BOUND))
    return (*splines, *maf(place_key, d, 2, HIDDEN, context))


@dataclass(frozen=True)
class Learning:
    """How q is learnt of simulations.

    held_out  the share of simulations that q does not learn from: they say when to stop, and what the verdict says
    flow      key, d, context=c -> layers on d numbers given c, such as partial(maf, hidden=(64,))
    summary   of x: flattened, or a network that is learnt with q, Perceptron(16) or Exchangeable(16)
    patience  epochs without a gain after which steps halve, three times, before the last
    """

    held_out: float = 0.1
    flow: Callable[..., tuple[Flow, ...]] = shaped_then_placed
    summary: Summary = flattened
    batch_size: int = 100
    epochs: int = 100
    step_size: float = 0.005
    patience: int = 3

    def __post_init__(self) -> None:
        for name in ("batch_size", "epochs", "patience"):
            check_count(name, getattr(self, name))
        check_number("held_out", self.held_out, "(0, 1)")
        check_number("step_size", self.step_size, "(0, inf)")
        check_networks(self.flow, self.summary)

    def unseen(self, n: int) -> int:
        """How many of n simulations are held out. ValueError where that, or the rest, is below two."""
        m = round(self.held_out * n)
        if not 2 <= m <= n - 2:
            raise ValueError(f"expected held_out * n of 2 to n - 2, got {m} of {n}: simulate more, or hold others out")
        return m


def check_networks(flow: object, summary: object) -> None:
    """TypeError for what are no flow and no summary."""
    check_function("flow", flow, "partial(maf, hidden=(64,))")
    if isinstance(summary, type) or not isinstance(summary, Summary):
        raise TypeError(f"expected summary, a Summary, got {described(summary)}: pass Perceptron(16), or flattened")


def check_learning(value: object) -> None:
    """TypeError for what is no setting of this kind."""
    if not isinstance(value, Learning):
        raise TypeError(f"expected learning, a Learning, got {described(value)}: pass Learning(epochs=50)")
