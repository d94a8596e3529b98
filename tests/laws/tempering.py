"""Laws of tempered distributions: q^(1 / T) up to a constant, and normalised."""

import torch

from jensen.core.contracts import Temperable
from jensen.core.distributions import DiagNormal, tempered
from jensen.laws._law import law, spoiled
from jensen.laws.assertions import mean_is_exact
from jensen.laws.distributions import COINS, KEY, NORMAL, data
from jensen.laws.regions import flat

COOL, WARM = 0.8, 1.25


def _unnormalised(q: DiagNormal, temperature: float) -> DiagNormal:
    return spoiled(q, log_prob=lambda q, z: DiagNormal.log_prob(q, z) / temperature)


def _by_scale(q: DiagNormal, temperature: float) -> DiagNormal:
    """Of T times the scale."""
    return DiagNormal(q.loc, q.log_scale + torch.log(torch.as_tensor(temperature)))


@law(
    "distribution",
    needs=Temperable,
    planted=lambda: [spoiled(NORMAL, tempered=_by_scale), spoiled(COINS, tempered=lambda q, temperature: q)],
)
def tempered_is_the_power(q: Temperable) -> None:
    """log tempered(T) - log q / T is the same for every z of a datum, T the data's or each its own; T = 1 gives q."""
    z, n = q.sample(q.noise(KEY, 20)), data(q)
    log_q = q.log_prob(z).double()
    own = torch.linspace(COOL, WARM, n, dtype=torch.float64)
    for temperature in (COOL, WARM, own):
        excess = tempered(q, temperature).log_prob(z).double() - log_q / temperature
        torch.testing.assert_close(excess, excess[:1].expand_as(excess), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(tempered(q, 1.0).log_prob(z).double(), log_q, rtol=1e-9, atol=1e-9)


@law("distribution", needs=Temperable, planted=lambda: [spoiled(NORMAL, tempered=_unnormalised)])
def tempered_is_normalised(q: Temperable) -> None:
    """E_q[tempered(T) / q] = 1 for a T below 1, whose tails are lighter."""
    cool = tempered(q, COOL)

    def draw(key: torch.Tensor, s: int) -> torch.Tensor:
        z = q.sample(q.noise(key, s))
        return torch.exp((cool.log_prob(z) - q.log_prob(z)).double())

    mean_is_exact(draw, torch.ones(data(q), dtype=torch.float64), KEY)
    z = cool.sample(cool.noise(KEY, 3))
    assert flat(z).isfinite().all(), z
