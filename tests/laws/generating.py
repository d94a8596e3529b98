"""Laws of characteristic and moment generating functions."""

import torch
from torch import Tensor
from torch.func import grad

from jensen.core import keys
from jensen.core.contracts import Characteristic, ClosedForm, Distribution, MomentGenerating, can
from jensen.core.distributions import Exponential, Laplace, characteristic, log_mgf
from jensen.laws._law import law, spoiled
from jensen.laws.assertions import mean_is_exact
from jensen.laws.distributions import KEY, NORMAL
from jensen.laws.regions import PILOT

DOUBLE_SIDED = Laplace(*NORMAL)
WAITING = Exponential(torch.full((2, 3), 0.7, dtype=torch.float64))


def spread(q: Distribution) -> Tensor:
    """Some arguments of every component, (4, n, d), by the middle half of its samples."""
    z = q.sample(q.noise(PILOT, 400)).double()
    width = (z.quantile(0.75, 0) - z.quantile(0.25, 0)).clamp_min(0.2)
    return torch.linspace(-2, 2, 4, dtype=torch.float64).reshape(-1, 1, 1) / width


@law(
    "distribution",
    needs=Characteristic,
    planted=lambda: [
        spoiled(NORMAL, characteristic=lambda q, t: torch.exp(1j * t * q.loc - 0.5 * (q.log_scale.exp() * t).abs())),
        spoiled(WAITING, characteristic=lambda q, t: 1 / (1 + 1j * t / q.rate)),  # conjugate
    ],
)
def characteristic_is_that_of_samples(q: Characteristic) -> None:
    """E e^(i t z), real and imaginary part, of every component; 1 at 0, its conjugate at -t, and nowhere above 1."""
    t = spread(q)
    found = characteristic(q, t)
    torch.testing.assert_close(characteristic(q, 0 * t), torch.ones_like(found), rtol=0, atol=1e-9)
    torch.testing.assert_close(characteristic(q, -t), found.conj(), rtol=1e-9, atol=1e-9)
    assert (found.abs() <= 1 + 1e-9).all(), found.abs().max()

    def draw(key: Tensor, s: int) -> Tensor:
        angles = t * q.sample(q.noise(key, s)).double()[:, None]
        return torch.stack([angles.cos(), angles.sin()], -1)

    mean_is_exact(draw, torch.view_as_real(found.to(torch.complex128)), KEY)


@law(
    "distribution",
    needs=MomentGenerating,
    planted=lambda: [
        spoiled(NORMAL, log_mgf=lambda q, t: q.loc * t + (q.log_scale.exp() * t).square()),
        spoiled(DOUBLE_SIDED, log_mgf=lambda q, t: q.loc * t - torch.log((1 - (q.log_scale.exp() * t).square()).abs())),
    ],
)
def log_mgf_is_that_of_samples(q: MomentGenerating) -> None:
    """exp(log_mgf(t)) = E e^(t z) around 0, real numbers or inf elsewhere; the mean and the variance are its slopes."""
    t = 0.1 * spread(q)
    found = log_mgf(q, t)
    mean_is_exact(lambda key, s: torch.exp(t * q.sample(q.noise(key, s)).double()[:, None] - found), 1.0 + 0 * t, KEY)
    far = log_mgf(q, 1e3 * t)
    assert not far.isnan().any(), far
    assert (far > -torch.inf).all(), far
    assert (far - 1e3 * t * _mean(q) >= -1e-9 * (1 + far.abs())).all(), "below the tangent at 0"


def _mean(q: MomentGenerating) -> Tensor:
    zero = torch.zeros_like(q.sample(q.noise(KEY, 1))[0]).double()
    slope = grad(lambda t: log_mgf(q, t).sum())(zero)
    if can(q, ClosedForm):
        torch.testing.assert_close(slope.to(q.mean().dtype), q.mean(), rtol=1e-6, atol=1e-8)
    bend = grad(lambda t: grad(lambda t: log_mgf(q, t).sum())(t).sum())(zero)

    def squares(key: Tensor, s: int) -> Tensor:
        return (q.sample(q.noise(keys.fold_in(key, 1), s)).double() - slope).square() - bend

    mean_is_exact(squares, 0 * bend, KEY)
    return slope
