"""An encoder that learns to learn: Reptile (Nichol et al., 2018).

Tasks have models of their own, which the encoder does not see: what it says of x is right for one of them after a few
steps of gradient descent on that task's bound. Reptile learns the phi that these steps start from. With phi_k where k
steps lead for a task,

    phi <- phi - rate mean_tasks (phi - phi_k)

without a derivative of the steps themselves. For k = 1 that is gradient descent on the mean of the tasks' losses, a
start that knows of no steps to come; beyond, it also turns towards a phi from which gradients of one task agree.
Parameters are an mlp's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import trees
from jensen.core.checks import check_count, check_function, check_key, check_number, check_sizes
from jensen.core.contracts import Key
from jensen.core.distributions import DiagNormal
from jensen.core.models.latent.data import check_data
from jensen.core.nn import mlp
from jensen.core.nn.initial import Activation, initialiser
from jensen.core.trees import Params


@dataclass(frozen=True)
class Encoder:
    """q(z | x), a diagonal normal; every method is a pure function of its parameters."""

    data: int
    hidden: tuple[int, ...]
    latent: int
    activation: Activation

    def init(self, key: Key, dtype: torch.dtype = torch.float32, /) -> Params:
        """Parameters whose q is N(0, I) for every x, from which no step leads far."""
        check_key(key)
        params = mlp.init(key, (self.data, *self.hidden, 2 * self.latent), initialiser(self.activation), dtype)
        return {**params, str(len(self.hidden)): trees.map(torch.zeros_like, mlp.last(params))}

    def posterior(self, params: Params, x: Float[Tensor, "n D"], /) -> DiagNormal:
        """q(z | x): fields (n, d)."""
        check_data(x, self.data)
        return DiagNormal(*mlp.apply(params, x, self.activation).chunk(2, -1))


def build(data: int, hidden: Sequence[int], latent: int, activation: Activation = torch.tanh) -> Encoder:
    """data -> *hidden -> mean and log scale; without hidden widths both are linear in x."""
    initialiser(activation)
    return Encoder(check_count("data", data), check_sizes("hidden", hidden), check_count("latent", latent), activation)


def adapted(loss: Callable[[Params, int], Tensor], params: Params, steps: int, step_size: float) -> Params:
    """Where so many steps of gradient descent lead; loss(params, i) is that of step i, 0-d.

    Detached from params, and a pure function under every transform. TypeError for a loss that is no function.
    """
    check_function("loss", loss, "lambda params, step: -elbo(params, batches[step]).mean()")
    steps, step_size = check_count("steps", steps, 0), check_number("step_size", step_size, "(0, inf)")
    phi = trees.stop(params)
    for i in range(steps):
        slope = torch.func.grad(lambda p, i=i: loss(p, i))(phi)
        phi = trees.map(lambda t, g: (t - step_size * g).detach(), phi, slope)
    return phi


def pull(params: Params, adapted: Params) -> Float[Tensor, ""]:
    """0, with the gradient params - adapted: what an optimiser of params then follows is Reptile's update.

    Missing, unknown and misshapen leaves raise, as in `trees.from_paths`.
    """
    adapted = trees.from_paths(trees.paths(adapted), params)
    parts = trees.map(lambda t, to: (t * (t - to).detach()).sum(), params, adapted)
    total = torch.stack(trees.leaves(parts)).sum()
    return total - total.detach()
