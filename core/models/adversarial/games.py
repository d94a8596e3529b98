"""What critic and generator minimise, as functions of the critic's values at data a and at what is generated b.

game = GAMES["relativistic"]
game.critic(a, b), game.generator(a, b)     # (n,) each; a_i and b_i are pairs only where the game compares them
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import softplus

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Game:
    """The two losses; the generator's gradient comes through b."""

    critic: Loss
    generator: Loss


def _classified(a: Tensor, b: Tensor) -> Tensor:
    """-log sigmoid(a) - log(1 - sigmoid(b))."""
    return softplus(-a) + softplus(b)


def _minimax(a: Tensor, b: Tensor) -> Tensor:
    """log(1 - sigmoid(b)), whose gradient vanishes where the critic is sure."""
    return -softplus(b)


def _non_saturating(a: Tensor, b: Tensor) -> Tensor:
    """-log sigmoid(b)."""
    return softplus(-b)


def _difference(a: Tensor, b: Tensor) -> Tensor:
    """b - a: over critics of slope 1, minus Wasserstein's distance."""
    return b - a


def _negated(a: Tensor, b: Tensor) -> Tensor:
    """-b."""
    return -b


def _compared(a: Tensor, b: Tensor) -> Tensor:
    """-log sigmoid(a - b)."""
    return softplus(b - a)


def _compared_back(a: Tensor, b: Tensor) -> Tensor:
    """-log sigmoid(b - a)."""
    return softplus(a - b)


GAMES = {
    "minimax": Game(_classified, _minimax),  # Goodfellow et al., 2014
    "non-saturating": Game(_classified, _non_saturating),  # the same
    "wasserstein": Game(_difference, _negated),  # Arjovsky et al., 2017
    "relativistic": Game(_compared, _compared_back),  # Jolicoeur-Martineau, 2019
}
