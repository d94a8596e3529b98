"""Tempered distributions: their derivative in the temperature, and where a power cannot be normalised."""

import pytest
import torch
from scipy import integrate
from torch.func import grad

from jensen.core import keys
from jensen.core.distributions import (
    Beta,
    Cauchy,
    DiagNormal,
    Gamma,
    InverseGamma,
    LogNormal,
    Mixture,
    Pareto,
    Poisson,
    StudentT,
    TruncatedNormal,
    tempered,
)

KEY = keys.key(39)
ONE = torch.ones(2, 1, dtype=torch.float64)
LINE = {
    "Gamma": (Gamma(2.5 * ONE, 0.7 * ONE), 0.0, 60.0),
    "Beta": (Beta(2.5 * ONE, 1.7 * ONE), 0.0, 1.0),
    "StudentT": (StudentT(6 * ONE, ONE, -ONE), -400.0, 400.0),
    "LogNormal": (LogNormal(0.3 * ONE, -ONE), 0.0, 60.0),
    "TruncatedNormal": (TruncatedNormal(0.3 * ONE, 0 * ONE, -ONE, 2 * ONE), -1.0, 2.0),
}


@pytest.mark.parametrize("name", LINE)
def test_powers_divided_by_their_integrals_are_the_densities(name):
    """By quadrature of q^(1 / T), for another temperature of each datum."""
    q, low, high = LINE[name]
    temperature = torch.tensor([0.7, 1.4], dtype=torch.float64)
    one = q.mean()

    def power(z, i):
        return (q.log_prob(torch.full_like(one, z)[None])[0, i] / temperature[i]).exp().item()

    for i in range(2):
        middle = one[0, 0].item()
        mass = sum(integrate.quad(power, *ends, args=(i,), limit=200)[0] for ends in ((low, middle), (middle, high)))
        found = tempered(q, temperature).log_prob(one[None])[0, i].exp().item()
        assert found == pytest.approx(power(middle, i) / mass, rel=1e-7)


@pytest.mark.parametrize("name", ["Gamma", "StudentT", "LogNormal"])
def test_the_derivative_in_the_temperature_is_minus_a_mean(name):
    """d log q_T / d T = (E log q - log q) / T^2, the mean under q_T, here by central differences of log q_T."""
    q = LINE[name][0]
    z, t = q.mean()[None], torch.tensor([0.9, 1.2], dtype=torch.float64)

    def log_p(t):
        return tempered(q, t).log_prob(z).sum()

    slope, step = grad(log_p)(t), 1e-5 * torch.eye(2, dtype=torch.float64)
    for i in range(2):
        exact = (log_p(t + step[i]) - log_p(t - step[i])) / 2e-5
        assert slope[i].item() == pytest.approx(exact.item(), rel=1e-6)


def test_float32_fields_stay_float32_and_numbers_are_exact():
    q = DiagNormal(torch.zeros(2, 3), torch.zeros(2, 3))
    found = tempered(q, 0.64)
    assert found.log_scale.dtype == torch.float32
    torch.testing.assert_close(found.log_scale, torch.full((2, 3), 0.8).log())


@pytest.mark.parametrize(
    ("q", "temperature", "fault", "message"),
    [
        (Mixture(torch.zeros(2, 3), Cauchy(torch.zeros(2, 3, 1), torch.zeros(2, 3, 1))), 2.0, TypeError,
         r"closed form of q\^\(1 / T\), got a Mixture: weight samples of q by"),
        (Poisson(ONE), 2.0, TypeError, "got a Poisson: weight samples"),
        (Cauchy(ONE, ONE), 2.0, ValueError, "finite integral, got 2, whose df would be 0: choose one nearer to 1"),
        (Pareto(ONE, ONE), 3.0, ValueError, "got 3, whose concentration would be -0.3333"),
        (InverseGamma(ONE, ONE), torch.tensor([1.0, 4.0]), ValueError, "got 4, whose concentration would be -0.5"),
        (Gamma(0.5 * ONE, ONE), 0.5, ValueError, "got 0.5, whose concentration would be 0"),
        (Beta(ONE, 0.5 * ONE), 0.5, ValueError, "got 0.5, whose concentration0 would be 0"),
        (Gamma(ONE, ONE), 0.0, ValueError, r"expected temperature in \(0, inf\), got 0.0"),
        (Gamma(ONE, ONE), -torch.ones(2), ValueError, "expected temperature above 0, got -1: pass its exponential"),
        (Gamma(ONE, ONE), torch.ones(3), ValueError, r"expected temperature \(2,\), got \(3,\): one for each datum"),
    ],
)  # fmt: skip
def test_what_cannot_be_normalised_is_refused(q, temperature, fault, message):
    with pytest.raises(fault, match=message):
        tempered(q, temperature)
