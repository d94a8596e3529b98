"""The generative adversarial network (Goodfellow et al., 2014): x = generator(z), z ~ N(0, I), and a critic of x.

    model = mlp(data=2, latent=2, hidden=(128, 128), game="relativistic", smooth=R1R2(1.0))
    params, state = model.init(key)
    critic_loss, state = model.critic_loss(params, state, x, key)         # for params["critic"]
    generator_loss = model.generator_loss(params, state, x, key)          # for params["generator"]

Each loss is differentiated in its own part of {"generator", "critic"}; the state is the constraint's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core import keys
from jensen.core.checks import (
    check_choice,
    check_count,
    check_floating,
    check_function,
    check_key,
    check_sizes,
    check_value,
)
from jensen.core.concrete import is_concrete
from jensen.core.contracts import Key
from jensen.core.models.adversarial.games import GAMES
from jensen.core.models.adversarial.smoothness import GradientPenalty, Smoothness
from jensen.core.nn import mlp as mlps
from jensen.core.nn.initial import Activation, he
from jensen.core.trees import Params, Tree, check_keys


@dataclass(frozen=True)
class Gan:
    """Two networks, what they minimise, and what keeps the critic smooth."""

    init_networks: Callable[[Key, torch.dtype], Params]
    generate: Callable[[Params, Tensor], Tensor]  # z (n, latent) -> (n, D)
    criticise: Callable[[Params, Tensor], Tensor]  # x (n, D) -> (n,)
    data: int
    latent: int
    game: str
    smooth: Smoothness
    bounded: bool = False  # whether what is generated, and so the data, is in [-1, 1]

    def init(self, key: Key, dtype: torch.dtype = torch.float32, /) -> tuple[Params, Tree]:
        """Parameters, and the constraint's state."""
        check_key(key)
        params = self.init_networks(key, dtype)
        return params, self.smooth.start(keys.fold_in(key, 2), params["critic"])

    def sample(self, params: Params, key: Key, n: int) -> Float[Tensor, "n D"]:
        """n draws of the generator."""
        check_keys(params, ("generator", "critic"))
        check_key(key)
        like = mlps.last(params["generator"])["bias"]
        z = keys.normal(key, (1, check_count("n", n), self.latent), like.dtype)[0]
        return self.generate(params["generator"], z)

    def value(self, params: Params, state: Tree, x: Float[Tensor, "n D"]) -> Float[Tensor, " n"]:
        """The critic under its constraint."""
        self._check(params, x)
        return self.criticise(self.smooth.constrained(params["critic"], state)[0], x)

    def critic_loss(
        self, params: Params, state: Tree, x: Float[Tensor, "n D"], key: Key
    ) -> tuple[dict[str, Float[Tensor, " n"]], Tree]:
        """({"game", "penalty"}, whose sum the critic minimises; the next state). No gradient reaches the generator."""
        self._check(params, x)
        check_key(key)
        noise_key, penalty_key = keys.split(key)
        fake = self.sample(params, noise_key, len(x)).detach()
        critic, state = self.smooth.constrained(params["critic"], state)
        value = partial(self.criticise, critic)
        game = GAMES[self.game].critic(value(x), value(fake))
        return {"game": game, "penalty": self.smooth.penalty(value, x, fake, penalty_key)}, state

    def generator_loss(self, params: Params, state: Tree, x: Float[Tensor, "n D"], key: Key) -> Float[Tensor, " n"]:
        """What the generator minimises. Without a gradient for the critic's parameters where they are detached."""
        self._check(params, x)
        check_key(key)
        critic = self.smooth.constrained(params["critic"], state)[0]
        fake = self.sample(params, key, len(x))
        return GAMES[self.game].generator(self.criticise(critic, x), self.criticise(critic, fake))

    def _check(self, params: Params, x: Tensor) -> None:
        check_keys(params, ("generator", "critic"))
        check_floating("x", x, f"n {self.data}", "one row per datum")
        if self.bounded and is_concrete(x) and (x.abs() > 1).any():
            low, high = x.min().item(), x.max().item()
            raise ValueError(f"expected x in [-1, 1], as what is generated is, got {low:g} to {high:g}: rescale it")


def mlp(
    data: int,
    latent: int,
    hidden: Sequence[int] = (128, 128, 128),
    game: str = "wasserstein",
    smooth: Smoothness = GradientPenalty(),
    activation: Activation = F.leaky_relu,
    critic: Sequence[int] | None = None,
    critic_activation: Activation | None = None,
    bounded: bool = False,
) -> Gan:
    """latent -> *hidden -> data, and by tanh to [-1, 1] where that is bounded; data -> *critic -> 1.

    The critic's hidden widths are the generator's reversed, and its activation the generator's, unless given.
    """
    data, latent, hidden = check_count("data", data), check_count("latent", latent), check_sizes("hidden", hidden)
    widths = hidden[::-1] if critic is None else check_sizes("critic", critic)
    check_choice("game", game, tuple(GAMES))
    check_function("activation", activation, "torch.relu")
    critic_activation = activation if critic_activation is None else critic_activation
    check_function("critic_activation", critic_activation, "torch.relu")
    check_value("smooth", smooth, Smoothness, "GradientPenalty(10.0)")

    def init(key: Key, dtype: torch.dtype) -> Params:
        first, second = keys.split(key)
        return {
            "generator": mlps.init(first, (latent, *hidden, data), he, dtype),
            "critic": mlps.init(second, (data, *widths, 1), he, dtype),
        }

    def generate(params: Params, z: Float[Tensor, "n l"]) -> Float[Tensor, "n D"]:
        x = mlps.apply(params, z, activation)
        return x.tanh() if bounded else x

    def criticise(params: Params, x: Float[Tensor, "n D"]) -> Float[Tensor, " n"]:
        return mlps.apply(params, x, critic_activation).squeeze(-1)

    return Gan(init, generate, criticise, data, latent, game, smooth, bounded)
