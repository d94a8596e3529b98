"""What a model is worth, against models that are solved exactly, in chunks, and compiled."""

import math
from functools import partial

import pytest
import torch

from jensen.core import keys
from jensen.core.distributions import Bernoulli
from jensen.core.models.latent import sbn, vae
from jensen.core.models.latent.likelihoods import CONTINUOUS_BERNOULLI, GAUSSIAN
from jensen.experiments.report import chunks, evaluation
from jensen.laws.oracles import LinearGaussian
from tests.experiments.report.conftest import KEY, binary_images, small_vae


def evaluated(model, params, x, k=20, compile=False):
    return evaluation.evaluate(model, params, x, x, k, KEY, compile)


@pytest.mark.parametrize("rows", [50, 64, 1000])
def test_chunks_change_no_result(monkeypatch, rows):
    model, params, images = small_vae(images=binary_images(dtype=torch.float64))
    whole = evaluated(model, params, images.test)
    monkeypatch.setattr(evaluation, "ROWS", rows)
    assert whole == pytest.approx(evaluated(model, params, images.test), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_compiled_evaluation_agrees_with_eager(backend, monkeypatch):
    """On a linear model, whose graphs are the smallest; each as one graph."""
    if backend != "inductor":
        monkeypatch.setattr(evaluation, "compiled", partial(torch.compile, backend=backend, fullgraph=True))
    images = binary_images(10, torch.float64)
    model = vae.mlp(16, (), 2)
    params = model.init(KEY, images.train)
    results = [evaluated(model, params, images.test, 4, compile) for compile in (False, True)]
    assert results[0] == pytest.approx(results[1], rel=1e-9)


def test_the_report_holds_against_a_model_solved_exactly():
    """A linear Gaussian VAE whose encoder is the exact posterior: -ELBO = NLL = -log p(x), and every unit is active."""
    d, data, sigma = 2, 4, 0.7
    q, _ = torch.linalg.qr(keys.normal(KEY, (data, d), torch.float64))
    weight = q * torch.tensor([1.5, 0.8], dtype=torch.float64)  # orthogonal columns: a diagonal posterior
    x = keys.normal(KEY, (40, data), torch.float64) * 1.2
    oracle = LinearGaussian(weight, torch.zeros(data).double(), torch.tensor(sigma, dtype=torch.float64).log(), x)
    mean, covariance = oracle.posterior()
    gain, log_scale = covariance @ weight.T / sigma**2, covariance.diagonal().log() / 2
    layer = {"weight": torch.cat([gain, torch.zeros_like(gain)]),
             "bias": torch.cat([torch.zeros_like(log_scale), log_scale])}  # fmt: skip
    decoder = {"0": {"weight": weight, "bias": torch.zeros(data).double()}}
    likelihood = {"log_scale": oracle.log_sigma}
    params = {"encoder": {"0": layer}, "decoder": decoder, "likelihood": likelihood, "posterior": {}, "prior": {}}
    model = vae.mlp(data, (), d, likelihood=GAUSSIAN)
    result = evaluated(model, params, x, 50)
    truth = -oracle.log_evidence().mean().item()
    assert result.nll == pytest.approx(truth, abs=1e-9)
    assert result.error < 1e-9
    assert result.kl == pytest.approx(
        0.5 * (covariance.trace() + mean.square().sum(-1).mean() - d - 2 * log_scale.sum()).item(), rel=1e-9
    )
    posterior = model.posterior(params, x)
    values = model.likelihood(params, posterior.sample(posterior.noise(keys.key(6), 1000))).log_prob(x)
    error = (values.var(0).sum() / evaluation.ELBO_SAMPLES).sqrt().item() / len(x)
    assert abs(-result.elbo - truth) < 4 * error
    assert result.active_units == result.units == d
    assert result.bits_per_dim == pytest.approx(truth / data / math.log(2))


def test_active_units_are_counted():
    """An encoder of which 3 of 10 outputs move with the data."""
    model, images = vae.mlp(16, (), 10), binary_images(200, torch.float64)
    params = model.init(KEY, images.train)
    params["encoder"]["0"]["weight"][3:10] *= 1e-3
    assert evaluated(model, params, images.test, 2).active_units == 3


@pytest.mark.parametrize("layers", [1, 2])
def test_a_belief_nets_report_holds_against_enumeration(layers):
    """-ELBO and NLL are within Monte Carlo error of sums over every z; two of the units follow the data."""
    model = sbn.build(8, 3, layers)
    x = (keys.uniform(KEY, (100, 8), torch.float64) < 0.4).double()
    params = model.init(KEY, x)
    params["encoder"]["0"]["0"]["weight"][:2] *= 2
    params["encoder"]["0"]["0"]["weight"][2] *= 1e-3
    for layer in list(params["encoder"].values())[2:]:
        layer["0"]["weight"] *= 1e-3
    result = evaluated(model, params, x, 400)
    q = model.posterior(params, x)
    z = Bernoulli(torch.zeros(100, model.latent, dtype=torch.float64)).support()
    log_q, log_p = q.log_prob(z), model.log_joint(params, x, z)
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
    model, _, images = small_vae(images=binary_images(dtype=torch.float64))
    x = images.test
    floor = -evaluation.independent(model, x, x).mean()
    p = x.mean(0)
    entropy = -(torch.xlogy(p, p) + torch.xlogy(1 - p, 1 - p)).sum()
    assert entropy <= floor < entropy + 0.1
    unseen = torch.ones(1, 16, dtype=torch.float64)
    assert torch.isfinite(evaluation.independent(model, torch.zeros_like(x), unseen)).all()
    grey = keys.uniform(KEY, (50, 16), torch.float64)
    for likelihood in (GAUSSIAN, CONTINUOUS_BERNOULLI):
        other = vae.mlp(16, (), 2, likelihood=likelihood)
        best = evaluation.independent(other, grey, grey).mean()
        for moved in (grey.clamp(0, 0.8), grey.clamp(0.2, 1)):
            assert evaluation.independent(other, moved, grey).mean() < best


def test_a_model_without_a_floor_has_none():
    """And its table says nothing of one."""
    assert evaluation.independent(object(), torch.zeros(3, 2), torch.zeros(3, 2)).isnan().all()
    found = FOUND._replace(floor=math.nan, nll=99.0).finding()
    assert "worse than" not in found.summary


FOUND = evaluation.Evaluation(
    -20.0, 3.0, nll=22.0, error=0.01, unknown=0, pixels=16, active_units=2, units=3, k=5, floor=27.0
)


def test_a_model_below_the_floor_says_so():
    assert "worse than independent pixels" not in FOUND.finding().summary
    for nll, error in ((27.5, 0.01), (math.inf, math.inf), (math.nan, math.nan)):
        assert "worse than independent pixels" in FOUND._replace(nll=nll, error=error).finding().summary


def test_a_collapsed_posterior_is_said_to_be_once():
    assert "collapsed" not in FOUND.finding().summary
    collapsed = FOUND._replace(kl=0.12, units=3).finding().summary
    assert collapsed.count("the posterior has collapsed: 0.12 nats in 3 units; try --kl-warmup") == 1
    assert "collapsed" not in FOUND._replace(kl=1.1, units=3).finding().summary


def test_the_table_has_every_number():
    (row,), summary = FOUND.finding()[1:3]
    assert row["elbo"] == -23.0
    assert row["bits_per_dim"] == pytest.approx(22 / 16 / math.log(2))
    for text in ("23.00   27.00", "20.00", "3.00", "NLL (K = 5)", "22.00 ± 0.010", "1.984   2.435", "2 of 3"):
        assert text in summary
    assert "error is not known" not in summary
    assert "± 0.010 (Monte Carlo; of 2 data the error is not known)" in FOUND._replace(unknown=2).finding().summary


def test_over_data_fills_up_and_cuts():
    x = torch.arange(7.0)[:, None]
    seen = []

    def f(part, key):
        seen.append((len(part), int(key[2])))
        return (part[:, 0] * 2,)

    (out,) = chunks.over_data(f, x, KEY, 3)
    assert torch.equal(out, 2 * x[:, 0])
    assert seen == [(3, 0), (3, 3), (3, 6)]
    (small,) = chunks.over_data(f, x[:2], KEY, 3)
    assert torch.equal(small, 2 * x[:2, 0])


def test_one_datum_is_evaluated():
    model, params, images = small_vae()
    result = evaluation.evaluate(model, params, images.train, images.test[:1], 5, KEY, False)
    assert math.isfinite(result.elbo)
    assert result.active_units == 0
