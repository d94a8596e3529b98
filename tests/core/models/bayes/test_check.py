"""Models that nothing can be inferred of are refused with the parameter's name, and sound ones are not."""

import math

import pytest
import torch

from jensen.core import keys
from jensen.core.models import bayes
from jensen.core.models.bayes import condition, densities

KEY = keys.key(8)
Y = torch.tensor([0.5, -0.2, 1.4], dtype=torch.float64)
COLLINEAR = torch.tensor([[1.0, 2.0], [2.0, 4.0], [-1.0, -2.0]], dtype=torch.float64)


def of(log_prior, log_likelihood=None, data=None, **support):
    data = {"y": Y} if log_likelihood is not None and data is None else data
    return condition(bayes.Model({"a": bayes.real(), **support}, log_prior, log_likelihood), data)


def known(theta):
    return densities.normal(theta["a"])


BAD = {
    "a flat prior": (lambda: of(lambda t: 0 * t["a"]), "proper", "a"),
    "a prior that grows": (lambda: of(lambda t: known(t) + t["b"], b=bayes.real()), "proper", "b"),
    "1 / t": (lambda: of(lambda t: known(t) - torch.log1p(t["b"].abs()), b=bayes.real()), "proper", "b"),
    "a flat scale": (lambda: of(lambda t: known(t) + 0 * t["b"], b=bayes.positive()), "proper", "b"),
    "1 / t near 0": (lambda: of(lambda t: known(t) - t["b"].log() - t["b"], b=bayes.positive()), "proper", "b"),
    "collinear covariates": (
        lambda: of(
            lambda t: known(t),
            lambda t, data: densities.normal(data["y"], t["b"] @ data["x"].mT),
            {"x": COLLINEAR, "y": Y},
            b=bayes.real(2),
        ),
        "proper",
        "b",
    ),
    "-inf everywhere": (lambda: of(lambda t: torch.where(t["a"] > 50, -t["a"], -math.inf)), "log_prior finite", "a"),
    "-inf for all": (lambda: of(lambda t: known(t) - math.inf), "log_prior finite", "a"),
    "an impossible datum": (
        lambda: of(known, lambda t, data: torch.where(data["y"] > 1, -math.inf, t["a"][..., None])),
        "log_likelihood finite",
        "datum 2",
    ),
    "a scale called real": (lambda: of(lambda t: densities.gamma(t["a"], 2.0, 1.0)), "support of a", "real()"),
    "a share called positive": (
        lambda: of(lambda t: known(t) + densities.beta(t["b"], 2.0, 2.0), b=bayes.positive()),
        "support of b",
        "positive()",
    ),
    "-inf outside": (
        lambda: of(lambda t: known(t) + torch.where(t["b"] > 0, -t["b"], -math.inf), b=bayes.real()),
        "support of b",
        "real()",
    ),
    "a constraint of two": (
        lambda: of(lambda t: torch.where((t["a"] + t["b"]).abs() < 2.5, 0.0, -math.inf), b=bayes.between(-2, 2)),
        "finite",
        "a",
    ),
    "a NaN gradient": (
        lambda: of(lambda t: known(t) + known({"a": t["b"]}) + (0 * t["b"]).sqrt(), b=bayes.real()),
        "gradient",
        "in b",
    ),
}


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_model_is_refused_and_its_parameter_named(bad):
    posterior, problem, name = BAD[bad]
    with pytest.raises(ValueError, match="expected") as raised:
        bayes.check(posterior(), KEY)
    assert problem in str(raised.value)
    assert name in str(raised.value)
    assert "\n" not in str(raised.value)


SOUND = {
    "normal": lambda: of(known),
    "a wide normal": lambda: of(lambda t: densities.normal(t["a"], 0.0, 1e4)),
    "Cauchy": lambda: of(lambda t: -torch.log1p(t["a"].square())),
    "half-Cauchy": lambda: of(lambda t: known(t) + densities.half_cauchy(t["b"], 5.0), b=bayes.positive()),
    "inverse gamma": lambda: of(lambda t: known(t) + densities.inverse_gamma(t["b"], 0.1, 0.1), b=bayes.positive()),
    "flat on an interval": lambda: of(lambda t: known(t), b=bayes.between(0, 1)),
    "flat on the simplex": lambda: of(lambda t: known(t), b=bayes.simplex(3)),
    "a flat prior and data": lambda: of(
        lambda t: -t["b"].log(),
        lambda t, data: densities.normal(data["y"], t["a"][..., None], t["b"][..., None]),
        b=bayes.positive(),
    ),
    "a likelihood that overflows": lambda: of(
        known,
        lambda t, data: data["y"] * 1e3 * t["a"][..., None] - torch.exp(1e3 * t["a"][..., None]),
    ),
    "float32": lambda: of(
        lambda t: densities.normal(t["a"], 0.0, 1e3) + densities.half_cauchy(t["b"], 100.0),
        lambda t, data: densities.normal(data["y"], t["a"][..., None], t["b"][..., None]),
        {"y": Y.float()},
        b=bayes.positive(),
    ),
}


@pytest.mark.parametrize("sound", SOUND)
def test_a_sound_model_is_not_refused(sound):
    bayes.check(SOUND[sound](), KEY)
