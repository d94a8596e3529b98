"""Laws of relaxable distributions: what REBAR, RELAX and the Concrete relaxation rest on."""

import torch
from torch import Tensor

from jensen.core import trees
from jensen.core.contracts import Event, Relaxable
from jensen.core.distributions import Bernoulli
from jensen.laws._law import law, spoiled
from jensen.laws.assertions import mean_is_exact
from jensen.laws.distributions import COINS, KEY, ZERO, per_sample
from jensen.laws.regions import flat


@law(
    "distribution",
    needs=Relaxable,
    planted=lambda: [
        spoiled(COINS, perturbed=lambda q, u: q.logits + torch.logit(u)),  # the other side of the noise
        spoiled(COINS, relaxed=staticmethod(lambda t, temperature: torch.sigmoid(t * temperature))),
    ],
)
def cold_relaxations_are_samples(q: Relaxable) -> None:
    """relaxed(perturbed(noise), temperature) -> sample(noise) as temperature -> 0."""
    noise = q.noise(KEY, 100)
    cold = flat(q.relaxed(q.perturbed(noise), 1e-6))
    assert ((cold - flat(q.sample(noise))).abs() < 1e-3).double().mean() > 0.999, "a cold relaxation is no sample"


@law(
    "distribution", needs=Relaxable, planted=lambda: [spoiled(COINS, perturbed_given=lambda q, u, z: q.logits + 2 * z)]
)
def perturbed_given_its_sample_is_the_same_number(q: Relaxable) -> None:
    """perturbed_given(noise, sample(noise)) = perturbed(noise)."""
    noise = q.noise(KEY, 100)
    torch.testing.assert_close(q.perturbed_given(noise, q.sample(noise)), q.perturbed(noise), rtol=1e-6, atol=1e-6)


@law(
    "distribution",
    needs=Relaxable,
    planted=lambda: [
        spoiled(COINS, perturbed_given=lambda q, u, z: Bernoulli.perturbed(q, u)),
        spoiled(COINS, perturbed_given=lambda q, u, z: Bernoulli.perturbed(q, u).detach()),
    ],
)
def perturbed_given_has_the_conditional_path(q: Relaxable) -> None:
    """grad E[g(t)] = E[grad g(t given z) + g(t) grad log q(z)], t given z = perturbed_given(noise, z)."""

    def g(t: Tensor) -> Tensor:
        return torch.tanh(flat(t)).sum(-1)

    def difference(q: Relaxable, noise: Event) -> Tensor:
        z, t = trees.stop(q.sample(noise)), q.perturbed(noise)
        return g(t) - g(q.perturbed_given(noise, z)) - g(t).detach() * q.log_prob(z)

    mean_is_exact(lambda key, s: per_sample(difference, q, q.noise(key, s)), ZERO, KEY)
