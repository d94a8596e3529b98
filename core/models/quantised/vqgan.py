"""VQ-GAN (Esser et al., 2021): an autoencoder of codes, a distance of features, and a critic of patches.

    coder   minimises  L - objective of codes,  L = -log p(x | codes) + perceptual |phi(x) - phi(y)|² + lambda G(y)
    critic  minimises  relu(1 - c(x)) + relu(1 + c(y))                    averaged over patches (Lim and Ye, 2017)

for y the mean of p(x | codes), G(y) = -c(y), phi a classifier's features at unit length, and lambda the ratio of the
gradients of the rest of L and of G in the decoder's last weight, so that the critic pulls as hard as the data there:

    model = VqGan(autoencoder.conv(image, (32,), 8, Vq(128)), Patches(image, (32, 64)), features)
    params, state = model.init(key, x)                               # {"model", "critic"}; the quantiser's state
    step = model.coder_step(params, state, x, key)                   # minimise step.loss.mean() in params["model"]
    loss = model.critic_loss(params, state, x)                       # (n,), for params["critic"]
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import vjp
from torch.nn import functional as F

from jensen.core import keys, trees
from jensen.core.checks import check_floating, check_function, check_key, check_number, described
from jensen.core.contracts import Key
from jensen.core.models.adversarial.games import Game
from jensen.core.models.adversarial.patches import Patches
from jensen.core.models.quantised.autoencoder import Autoencoder
from jensen.core.models.quantised.coded import Step, mean_of, step_of
from jensen.core.trees import Params, Tree, check_keys

HINGE = Game(lambda a, b: F.relu(1 - a) + F.relu(1 + b), lambda a, b: -b)
TINY, MOST = 1e-6, 1e4  # added to the norm of G's gradient, and the largest ratio


class GanStep(NamedTuple):
    """A step of the coder's training on data (n, D)."""

    coded: Step  # as of the coder alone
    perceptual: Float[Tensor, " n"]  # weighted
    game: Float[Tensor, " n"]  # G of each datum, averaged over patches
    weight: Float[Tensor, ""]  # lambda

    @property
    def loss(self) -> Float[Tensor, " n"]:
        """What the coder minimises."""
        return self.perceptual + self.weight * self.game - self.coded.terms.objective


@dataclass(frozen=True)
class VqGan:
    """A coder of flat images and a critic of them; every method is a pure function of its parameters.

    features: (n, D) -> (n, h), that are compared; none without. perceptual: the weight of their distance, in nats.
    """

    coder: Autoencoder
    critic: Patches
    features: Callable[[Tensor], Tensor] | None = None
    perceptual: float = 10.0

    def __post_init__(self) -> None:
        for name, kind, example in (
            ("coder", Autoencoder, "autoencoder.conv(...)"),
            ("critic", Patches, "Patches(...)"),
        ):
            if not isinstance(getattr(self, name), kind):
                raise TypeError(f"expected {name}, {example}, got {described(getattr(self, name))}: pass a value")
        if self.coder.data != math.prod(self.critic.image):
            raise ValueError(
                f"expected a critic of {self.coder.data} pixels, got one of {math.prod(self.critic.image)}: pass the "
                "coder's image"
            )
        if self.features is not None:
            check_function("features", self.features, "partial(classifier.features, params)")
        check_number("perceptual", self.perceptual, "[0, inf)")

    def init(self, key: Key, x: Float[Tensor, "N D"], /) -> tuple[Params, Tree]:
        """The coder's parameters and state, at training data as it has them, and the critic's parameters."""
        check_key(key)
        coder_key, critic_key = keys.split(key)
        params, state = self.coder.init(coder_key, x)
        return {"model": params, "critic": self.critic.init(critic_key, x.dtype)}, state

    def coder_step(
        self, params: Params, state: Tree, x: Float[Tensor, "n D"], key: Key, /, game: float | Tensor = 1.0
    ) -> GanStep:
        """A step of the coder, without a gradient in the critic. game: a factor of lambda, 0 before it begins."""
        check_keys(params, ("model", "critic"))
        own, critic = params["model"], trees.stop(params["critic"])
        q = self.coder.quantised(own, state, x, key)
        p = self.coder.given(own, q.z)
        y = mean_of(p)

        def of_last(weight: Tensor) -> tuple[Tensor, Tensor]:
            decoder = trees.stop(own["decoder"])
            replaced = trees.from_paths({**trees.paths(decoder), self.coder.last: weight}, decoder)
            p = self.coder.given({**trees.stop(own), "decoder": replaced}, q.z.detach())
            y = mean_of(p)
            return (self._perceptual(x, y) - p.log_prob(x)).mean(), self._generated(critic, y).mean()

        last = trees.paths(own["decoder"])[self.coder.last].detach()
        return GanStep(
            step_of(q, p, x), self._perceptual(x, y), self._generated(critic, y), game * ratio(of_last, last)
        )

    def critic_loss(self, params: Params, state: Tree, x: Float[Tensor, "n D"], /) -> Float[Tensor, " n"]:
        """The hinge of data and their reconstructions, averaged over patches; no gradient of it reaches the coder."""
        check_keys(params, ("model", "critic"))
        own = trees.stop(params["model"])
        y = self.coder.decode_codes(own, state, self.coder.codes(own, state, x)).detach()
        values = self.critic(params["critic"], x), self.critic(params["critic"], y)
        return HINGE.critic(*values).mean((1, 2))

    def _perceptual(self, x: Tensor, y: Tensor) -> Float[Tensor, " n"]:
        if self.features is None:
            return torch.zeros_like(x[:, 0])
        a, b = (F.normalize(self.features(each), dim=1) for each in (x, y))
        return self.perceptual * (a - b).square().sum(1)

    def _generated(self, critic: Params, y: Tensor) -> Float[Tensor, " n"]:
        values = self.critic(critic, y)
        return HINGE.generator(values, values).mean((1, 2))


def ratio(losses: Callable[[Tensor], tuple[Tensor, Tensor]], weight: Tensor) -> Float[Tensor, ""]:
    """|d losses[0] / d weight| / (|d losses[1] / d weight| + TINY), at most MOST, detached."""
    check_function("losses", losses, "a pair of losses of the weight")
    check_floating("weight", weight)
    slopes = vjp(losses, weight)[1]
    one = torch.ones((), dtype=weight.dtype, device=weight.device)
    first, other = (torch.linalg.vector_norm(slopes(each)[0]) for each in ((one, 0 * one), (0 * one, one)))
    return (first / (other + TINY)).clamp_max(MOST).detach()
