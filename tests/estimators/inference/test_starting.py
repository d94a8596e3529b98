"""What inference asks before it begins, of every algorithm that takes a log density, and what no chain may enter."""

import math
from functools import partial

import pytest
import torch

from jensen.core import keys
from jensen.core.models import bayes
from jensen.estimators.inference import advi, hmc, metropolis, svgd
from jensen.estimators.inference.coordinates import around_a_mode

FITS = {
    "hmc": partial(hmc.fit, steps=20, warm_up=20),
    "metropolis": partial(metropolis.fit, steps=20, warm_up=20),
    "svgd": partial(svgd.fit, steps=5),
    "advi": partial(advi.fit, adam=advi.Adam(steps=5), rounds=1, samples=100),
}
KEY = keys.key(8)
START = 1 + keys.uniform(KEY, (1, 16, 1), torch.float64)[0]


def of(log_density):
    """A posterior of a, which is sound, and of b, which is not."""
    support = {"a": bayes.real(), "b": bayes.real()}
    return bayes.condition(bayes.Model(support, lambda t: -0.5 * t["a"].square() + log_density(t["b"])))


BAD = {
    "improper": lambda b: 0 * b,
    "of a wrong support": lambda b: torch.where(b > 0, -b, -math.inf),
    "of a NaN gradient": lambda b: -0.5 * b.square() + (0 * b).sqrt(),
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("name", FITS)
def test_a_posterior_that_nothing_can_be_inferred_of_is_refused_and_its_parameter_named(name, bad):
    posterior = of(BAD[bad])
    with pytest.raises(ValueError, match=r"\bb\b"):
        FITS[name](KEY, posterior, posterior.starts(KEY, 4))


@pytest.mark.parametrize("name", FITS)
def test_a_density_that_is_nowhere_is_refused(name):
    with pytest.raises(ValueError, match="finite"):
        FITS[name](KEY, lambda z: z.sum(-1) - math.inf, START)


@pytest.mark.parametrize("name", ["hmc", "metropolis"])
def test_no_chain_is_caught_where_a_density_overflows(name):
    """A log density of +inf is no density: a chain that entered could never leave."""

    def log_p(z):
        return torch.where(z.abs().sum(-1) < 0.5, math.inf, -0.5 * z.square().sum(-1))

    chains, _ = FITS[name](KEY, log_p, START, steps=50)
    assert chains.log_p.isfinite().all()
    assert (chains.z.abs() >= 0.5).all()
    assert (chains.z[-1] != START).all()


def test_steps_of_a_unit_metric_are_not_found_anew_in_each_window():
    """Of a scale of 1e5, where a warm-up of 100 steps finds the size once, and not from 0.5 in each window."""
    chains, _ = FITS["hmc"](KEY, lambda z: -0.5 * (1e-5 * z).square().sum(-1), START, warm_up=100, metric="unit")
    assert chains.accept.mean() < 0.97


def test_coordinates_of_an_ill_conditioned_posterior_in_float32():
    """Scales from 1e-4 to 1, whose covariance has no Cholesky factor in float32, while its precision's root has."""
    scale = torch.logspace(-4, 0, 6)
    turn = torch.linalg.qr(keys.normal(keys.key(5), (1, 6, 6))[0]).Q
    whitened = turn / scale  # rows z -> standard normals

    def log_p(z):
        return -0.5 * (z @ whitened).square().sum(-1)

    where, at_mode = around_a_mode(log_p, torch.zeros(1, 6), "full")
    assert at_mode
    assert where is not None
    _, log_det = where.forward(torch.zeros(1, 1, 6))
    assert log_det.item() == pytest.approx(scale.log().sum().item(), abs=0.15)  # the Hessian rounds
