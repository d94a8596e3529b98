import math

import pytest
import torch

from jensen.core import keys
from jensen.core.distributions import Bernoulli, ContinuousBernoulli, DiagNormal
from jensen.core.models import sbn, vae
from jensen.experiments import evaluation
from jensen.laws.oracles import LinearGaussian

KEY = keys.key(5)


def fitted():
    model = vae.mlp(16, (8,), 3)
    x = (keys.uniform(KEY, (30, 16), torch.float64) < 0.4).double()
    return model, model.init(KEY, x.mean(0)), x


@pytest.mark.parametrize("rows", [50, 64, 1000])
def test_chunks_change_no_result(monkeypatch, rows):
    model, params, x = fitted()
    whole = evaluation.evaluate(model, params, x, x, 20, KEY, compile=False)
    monkeypatch.setattr(evaluation, "ROWS", rows)
    chunked = evaluation.evaluate(model, params, x, x, 20, KEY, compile=False)
    assert whole == pytest.approx(chunked, rel=1e-12, abs=1e-12)


def test_compiled_evaluation_agrees_with_eager():
    model, params, x = fitted()
    results = [evaluation.evaluate(model, params, x, x, 20, KEY, compile) for compile in (False, True)]
    assert results[0] == pytest.approx(results[1], rel=1e-9)


def test_the_report_holds_against_a_model_solved_exactly():
    """A linear Gaussian VAE whose encoder is the exact posterior: -ELBO = NLL = -log p(x), and every unit is active."""
    d, data, sigma = 2, 4, 0.7
    q, _ = torch.linalg.qr(keys.normal(KEY, (data, d), torch.float64))
    weight = q * torch.tensor([1.5, 0.8], dtype=torch.float64)  # orthogonal columns: a diagonal posterior
    x = keys.normal(KEY, (40, data), torch.float64) * 1.2
    oracle = LinearGaussian(weight, torch.zeros(data).double(), torch.tensor(sigma, dtype=torch.float64).log(), x)
    mean, covariance = oracle.posterior()
    gain = covariance @ weight.T / sigma**2
    model = vae.mlp(data, (), d, likelihood=DiagNormal)
    log_scale = covariance.diagonal().log() / 2
    params = {
        "encoder": {
            "0": {
                "weight": torch.cat([gain, torch.zeros_like(gain)]),
                "bias": torch.cat([torch.zeros_like(log_scale), log_scale]),
            }
        },
        "decoder": {
            "network": {"0": {"weight": weight, "bias": torch.zeros(data).double()}},
            "log_scale": oracle.log_sigma,
        },
    }
    result = evaluation.evaluate(model, params, x, x, 50, KEY, compile=False)
    truth = -oracle.log_evidence().mean().item()
    assert result.nll == pytest.approx(truth, abs=1e-9)
    assert result.error < 1e-9
    assert result.kl == pytest.approx(
        0.5 * (covariance.trace() + mean.square().sum(-1).mean() - d - 2 * log_scale.sum()).item(), rel=1e-9
    )
    posterior = model.posterior(params["encoder"], x)
    values = model.log_likelihood(params["decoder"], x, posterior.sample(posterior.noise(keys.key(6), 1000)))
    error = (values.var(0).sum() / evaluation.ELBO_SAMPLES).sqrt().item() / len(x)
    assert abs(-result.elbo - truth) < 4 * error
    assert result.active_units == d
    assert result.bits_per_dim == pytest.approx(truth / data / math.log(2))


def test_active_units_are_counted():
    """An encoder of which 3 of 10 outputs move with the data."""
    model = vae.mlp(16, (), 10)
    params = model.init(KEY, torch.full((16,), 0.5, dtype=torch.float64))
    params["encoder"]["0"]["weight"][3:10] *= 1e-3
    x = (keys.uniform(KEY, (200, 16), torch.float64) < 0.5).double()
    assert evaluation.evaluate(model, params, x, x, 2, KEY, compile=False).active_units == 3


@pytest.mark.parametrize("layers", [1, 2])
def test_a_belief_nets_report_holds_against_enumeration(layers):
    """-ELBO and NLL are within Monte Carlo error of sums over every z; two of the units follow the data."""
    model = sbn.build(8, 3, layers)
    x = (keys.uniform(KEY, (100, 8), torch.float64) < 0.4).double()
    params = model.init(KEY, x.mean(0))
    params["encoder"]["0"]["0"]["weight"][:2] *= 2
    params["encoder"]["0"]["0"]["weight"][2] *= 1e-3
    for layer in list(params["encoder"].values())[2:]:
        layer["0"]["weight"] *= 1e-3
    result = evaluation.evaluate(model, params, x, x, 400, KEY, compile=False)
    q = model.posterior(params["encoder"], x)
    z = Bernoulli(torch.zeros(100, model.latent, dtype=torch.float64)).support()
    log_q, log_p = q.log_prob(z), model.log_joint(params["decoder"], x, z)
    log_w = log_p - log_q
    elbo = (log_q.exp() * log_w).sum(0)
    spread = ((log_q.exp() * (log_w - elbo).square()).sum(0).mean() / (100 * evaluation.ELBO_SAMPLES)).sqrt()
    assert abs(result.elbo - elbo.mean()) <= 4 * spread
    bias = (log_p.logsumexp(0) - elbo).mean().item() / 400  # of the log of 400 weights, in its leading order
    assert abs(result.nll + log_p.logsumexp(0).mean()) <= 4 * result.error + 2 * bias
    assert result.kl > 0
    assert result.active_units == 2


def test_the_floor_is_the_best_independent_model():
    """It beats every other constant model of its family on its own training data, and by Laplace's rule never -inf."""
    model, _, x = fitted()
    floor = -evaluation.independent_pixels(model, x, x).mean()
    p = x.mean(0)
    entropy = -(torch.xlogy(p, p) + torch.xlogy(1 - p, 1 - p)).sum()
    assert entropy <= floor < entropy + 0.1
    unseen = torch.ones(1, 16, dtype=torch.float64)
    assert torch.isfinite(evaluation.independent_pixels(model, torch.zeros_like(x), unseen)).all()
    grey = keys.uniform(KEY, (50, 16), torch.float64)
    for likelihood in (DiagNormal, ContinuousBernoulli):
        other = vae.mlp(16, (), 2, likelihood=likelihood)
        best = evaluation.independent_pixels(other, grey, grey).mean()
        for moved in (grey.clamp(0, 0.8), grey.clamp(0.2, 1)):
            assert evaluation.independent_pixels(other, moved, grey).mean() < best


def test_over_data_fills_up_and_cuts():
    x = torch.arange(7.0)[:, None]
    seen = []

    def f(part, key):
        seen.append((len(part), int(key[2])))
        return (part[:, 0] * 2,)

    (out,) = evaluation.over_data(f, x, KEY, 3)
    assert torch.equal(out, 2 * x[:, 0])
    assert seen == [(3, 0), (3, 3), (3, 6)]
    (small,) = evaluation.over_data(f, x[:2], KEY, 3)
    assert torch.equal(small, 2 * x[:2, 0])
