"""The gaps of a model whose posterior is known: a Gaussian with correlations, which a mean-field q cannot have."""

import pytest
import torch

from jensen.core import keys
from jensen.core.models.latent import vae
from jensen.core.models.latent.likelihoods import GAUSSIAN
from jensen.estimators.evidence import Annealed, Evidence
from jensen.experiments.report import inference
from jensen.laws.oracles import LinearGaussian

KEY = keys.key(7)
OFF = 0.5  # standard deviations, in each dimension, between the encoder's means and the posterior's


def solved(d=2, n=3, data=4, sigma=0.5):
    """A linear Gaussian VAE, its parameters with an encoder that is off, its data, and the oracle."""
    common, own = keys.normal(keys.key(9), (data, 1), torch.float64), keys.normal(KEY, (data, d), torch.float64)
    weight = common + 0.4 * own
    x = keys.normal(keys.key(8), (n, data), torch.float64) * 1.5
    oracle = LinearGaussian(weight, torch.zeros(data).double(), torch.tensor(sigma).double().log(), x)
    _, covariance = oracle.posterior()
    log_scale = -covariance.inverse().diagonal().log() / 2  # of the best mean-field q
    encoder = {
        "weight": torch.cat([covariance @ weight.T / sigma**2, torch.zeros(d, data).double()]),
        "bias": torch.cat([OFF * log_scale.exp(), log_scale]),
    }
    decoder = {"0": {"weight": weight, "bias": torch.zeros(data).double()}}
    likelihood = {"log_scale": oracle.log_sigma}
    params = {"encoder": {"0": encoder}, "decoder": decoder, "likelihood": likelihood, "posterior": {}, "prior": {}}
    return vae.mlp(data, (), d, likelihood=GAUSSIAN), params, x, oracle


def both(log_p, more):
    """What importance sampling and annealing say: log p(x), and so much more than it."""
    return (given._make([value] * len(given._fields)) for given, value in ((Evidence, log_p), (Annealed, log_p + more)))


def found(monkeypatch, model, params, x, *sides, steps):
    monkeypatch.setattr(inference, "OWN", inference.Fit(steps, 0.02))
    monkeypatch.setattr(inference, "FLOW", inference.Fit(steps, 0.02))
    with torch.no_grad():
        return inference.inference(model, params, x, *sides, KEY)


def test_the_gaps_of_a_correlated_posterior_are_exact_and_a_flow_closes_them(monkeypatch):
    """A mean-field q lacks half the log of the precision's diagonal over its determinant."""
    model, params, x, oracle = solved()
    gaps = found(monkeypatch, model, params, x, *both(oracle.log_evidence(), -0.1), steps=200)
    assert gaps.source == "importance sampling"
    precision = oracle.posterior()[1].inverse()
    family = 0.5 * (precision.diagonal().log().sum() - precision.logdet()).item()
    scale = precision.diagonal().rsqrt()
    own = 0.5 * OFF**2 * (scale @ precision @ scale).item()
    losses, error = gaps.losses(), 4 * gaps.own.approximation_error
    assert family > 0.05
    assert ((losses["family"] - family).abs() < error + 0.01).all()
    assert ((losses["encoder"] - losses["family"] - own).abs() < 4 * gaps.own.amortisation_error + 0.01).all()
    assert (losses["flow"] < 0.5 * losses["family"]).all()
    means = gaps.means()
    assert means["images"] == 3
    assert means["log_p"] == pytest.approx(oracle.log_evidence().mean().item())
    assert f"best of q's family {-means['family']:+.2f}, encoder {-means['encoder']:+.2f} nats" in gaps.verdict()


@pytest.mark.parametrize("d", [1, 3])
def test_annealing_is_taken_where_it_finds_more(monkeypatch, d):
    """On the first images of those that were annealed, and for latents of any number."""
    model, params, x, oracle = solved(d)
    gaps = found(monkeypatch, model, params, x[:2], *both(oracle.log_evidence(), 0.1), steps=2)
    assert gaps.source == "annealing"
    torch.testing.assert_close(gaps.log_p, oracle.log_evidence()[:2] + 0.1)
    assert all(loss.isfinite().all() for loss in gaps.losses().values())
