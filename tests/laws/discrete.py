"""Laws of finitely many values: a support that is complete, and masses that are those of its values."""

import torch

from jensen.core import trees
from jensen.core.contracts import Discrete, Enumerable
from jensen.core.distributions import Bernoulli
from jensen.laws._law import law, spoiled
from jensen.laws.distributions import COINS
from jensen.laws.regions import flat


@law(
    "distribution",
    needs=Enumerable,
    planted=lambda: [
        spoiled(COINS, support=lambda q: Bernoulli.support(q)[1:]),
        spoiled(COINS, support=lambda q: Bernoulli.support(q).clamp_max(0.5).round()),
        spoiled(COINS, mean=lambda q: torch.full_like(q.logits, 0.5)),
    ],
)
def support_is_complete(q: Enumerable) -> None:
    """sum_z exp(log_prob(z)) = 1 and sum_z exp(log_prob(z)) z = mean() over support(), whose values differ."""
    z = q.support()
    values = flat(z)
    for column in values.unbind(1):
        assert len(column.unique(dim=0)) == len(column), "the support has a value twice"
    mass = q.log_prob(z).exp()
    torch.testing.assert_close(mass.sum(0), torch.ones_like(mass[0]), rtol=1e-6, atol=1e-6)
    mean = flat(trees.map(lambda t: t[None], q.mean()))[0]
    torch.testing.assert_close((mass[..., None] * values).sum(0), mean, rtol=1e-6, atol=1e-6)


@law(
    "distribution",
    needs=Discrete,
    planted=lambda: [
        spoiled(COINS, log_masses=lambda q: torch.stack([q.logits, -q.logits], -1)),
        spoiled(COINS, log_masses=lambda q: Bernoulli(2 * q.logits).log_masses()),
    ],
)
def masses_are_those_of_the_support(q: Discrete) -> None:
    """log_masses(), (n, d, k), is normalised; its sums over one value of each component are log_prob(support())."""
    masses = q.log_masses()
    torch.testing.assert_close(masses.exp().sum(-1), torch.ones_like(masses[..., 0]), rtol=1e-6, atol=1e-6)
    joint = masses.new_zeros(len(masses), 1)
    for component in masses.unbind(1):
        joint = (joint[:, :, None] + component[:, None]).flatten(1)
    torch.testing.assert_close(joint.sort(1).values, q.log_prob(q.support()).T.sort(1).values, rtol=1e-6, atol=1e-6)
