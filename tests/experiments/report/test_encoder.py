"""The parts of an amortisation gap, on a linear Gaussian VAE whose encoder is spoiled in one way at a time."""

from dataclasses import replace

import pytest
import torch

from jensen.core import keys
from jensen.core.distributions import DiagNormal
from jensen.experiments.report import encoder
from jensen.experiments.report.encoder import Fit, TrainingData, parts, refined, trained_on
from tests.experiments.report.test_inference import solved

N, KEY = 20, keys.key(17)
FIT = Fit(100, 0.03)


def problem():
    """Model, parameters, oracle of the training data, and the gap of an encoder that is off."""
    model, params, x, oracle = solved(n=N)
    precision = oracle.posterior()[1].inverse()
    scale = precision.diagonal().rsqrt()
    return model, params, x, 0.125 * (scale @ precision @ scale)  # half a standard deviation off in each dimension


def best(x, params):
    """The encoder that finds the best mean-field q of every datum."""
    layer = params["encoder"]["0"]
    bias = torch.cat([torch.zeros(2).double(), layer["bias"][2:]])
    return {**params, "encoder": {"0": {**layer, "bias": bias}}}


def found(model, params, x, test, steps=100):
    return parts(model, params, TrainingData(x, False), test, FIT, steps, KEY)


def test_an_encoder_that_was_stopped_early_loses_by_optimisation(monkeypatch):
    """On training and test data alike, and a linear one is all that this model needs."""
    monkeypatch.setattr(encoder, "LR", 5e-3)
    model, params, x, off = problem()
    of = found(model, params, x, off.expand(N), 120)
    assert off > 0.1
    assert of.optimisation == pytest.approx(off.item(), abs=0.1 * off.item())
    assert abs(of.generalisation) < 0.05 * off
    assert abs(of.capacity) < 0.1 * off
    assert "training the encoder for longer gains most" in of.verdict()
    torch.testing.assert_close(of.capacity + of.optimisation + of.generalisation, of.gap)


def test_an_encoder_that_cannot_see_the_data_loses_by_capacity():
    model, params, x, _ = problem()
    blind = replace(model, encode=lambda params, x: model.encode(params, 0 * x))
    layer = best(x, params)["encoder"]["0"]
    mean = DiagNormal(*model.encode({"0": layer}, x).chunk(2, -1))
    wide = (mean.loc.var(0, correction=0) + (2 * mean.log_scale[0]).exp()).log() / 2
    params = {**params, "encoder": {"0": {**layer, "bias": torch.cat([mean.loc.mean(0), wide])}}}
    train = found(blind, params, x, torch.zeros(N).double())
    of = found(blind, params, x, train.capacity + train.optimisation + torch.linspace(-0.1, 0.1, N).double())
    assert of.capacity > 1
    assert abs(of.optimisation) < 0.3 * of.capacity
    assert "a larger encoder gains most" in of.verdict()


def test_an_encoder_that_has_memorised_its_data_loses_by_generalisation():
    """Right on the training data, and off on all others: the gaps of these are given."""
    model, params, x, off = problem()
    of = found(model, best(x, params), x, off.expand(N) + torch.linspace(-0.01, 0.01, N).double(), 50)
    assert of.generalisation == pytest.approx(off.item(), abs=0.05 * off.item())
    assert abs(of.capacity) < 0.05 * off
    assert abs(of.optimisation) < 0.05 * off
    assert "more data" in of.verdict()


def test_only_the_encoder_is_trained_on():
    model, params, x, _ = problem()
    after = trained_on(model, params, TrainingData((x > 0).double() * 0.5, True), 3, KEY)
    assert all(after[name] is params[name] for name in ("decoder", "likelihood", "posterior"))
    assert not torch.equal(after["encoder"]["0"]["bias"], params["encoder"]["0"]["bias"])


def test_more_steps_from_the_encoders_q_leave_less_of_its_gap():
    model, params, x, off = problem()
    _, _, _, oracle = solved(n=N)
    family = oracle.elbo(*model.posterior(best(x, params), x))
    left = [(family - oracle.elbo(*refined(model, params, x, steps, KEY))).mean().item() for steps in (1, 5, 20, 80)]
    assert off > left[0] > left[1] > left[2] > left[3] > -1e-9
    assert left[3] < 0.02 * off
