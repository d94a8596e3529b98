"""Ready models by sampling and by approximation: draws given simulated data are calibrated."""

import pytest
import torch

from jensen.core import keys
from jensen.core.models import bayes
from jensen.estimators.diagnostics import calibration, ranks
from jensen.estimators.inference import advi, hmc
from tests.laws.bayesian import COVARIATES

KEY = keys.key(15)
S = 31  # draws of each posterior
MODELS = {"logistic": bayes.logistic_regression(2), "noisy": bayes.noisy_regression(2)}


def by_hmc(key, posterior):
    """The last draws of chains that do not know of each other."""
    start_key, run_key = keys.split(key)
    chains, _ = hmc.fit(run_key, posterior, posterior.starts(start_key, S), steps=5, warm_up=100)
    return chains.z[-1]


def by_advi(key, posterior):
    start_key, run_key, draw_key = keys.split(key, 3)
    found, _ = advi.fit(run_key, posterior, posterior.starts(start_key, 2), rounds=2, samples=1000)
    return found.draws(draw_key, S)[:, 0]


@pytest.mark.slow
@pytest.mark.parametrize(("by", "model"), [(by_hmc, "logistic"), (by_advi, "logistic"), (by_advi, "noisy")])
def test_draws_are_calibrated(by, model):
    """Parameters from the prior, data given them: the parameters' ranks among draws given the data are uniform."""
    truths, draws = [], []
    before = bayes.condition(MODELS[model], COVARIATES)
    for key in keys.split(KEY, 60):
        theta_key, data_key, run_key = keys.split(key, 3)
        z = before.prior().noise(theta_key, 1)[0, 0]
        posterior = bayes.condition(MODELS[model], before.simulated(data_key, before.constrained(z)))
        truths.append(z)
        draws.append(by(run_key, posterior))
    found = calibration(ranks(torch.stack(truths), torch.stack(draws, 1), keys.fold_in(KEY, 1)), S)
    assert found.verdict().startswith("calibrated"), found.verdict()
