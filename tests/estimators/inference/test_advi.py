"""Black-box variational inference: exact where the family has the posterior, and what is said where it has not."""

import math

import pytest
import torch

from jensen.core import keys
from jensen.core.distributions import Bernoulli, DiagNormal, FullNormal, Pushforward
from jensen.estimators.gradients import score
from jensen.estimators.inference import advi, judge, natural
from jensen.estimators.inference.advi import Adam

D = 4
A = keys.normal(keys.key(3), (1, D, D), torch.float64)[0] * torch.logspace(-2, 1, D, dtype=torch.float64)
COVARIANCE = A @ A.T
EXACT = FullNormal.from_covariance(torch.arange(D, dtype=torch.float64)[None], COVARIANCE[None])
LOG_Z = 3.7
NORMAL = DiagNormal(torch.zeros(1, 2), torch.zeros(1, 2))
STARTS = keys.normal(keys.key(4), (2, 1, D), torch.float64)[:, 0]


def log_p(z):
    """The normal's density times a constant, so that the evidence is known, for rows that do not know of each other."""
    flat = z.reshape(-1, 1, D)
    return EXACT.log_prob(flat).reshape(z.shape[:-1]) + LOG_Z


def skewed(z):  # log of gamma variables of shape 2
    return (2 * z - z.exp()).sum(-1)


def quartic(z):
    return (z - 0.5 * z.square() - 0.25 * z**4).sum(-1)


def unbounded(z):  # y = 0 ~ N(theta, 1), theta_j ~ N(0, tau) for 8 j, z = (log tau, theta): no mode
    log_tau, theta = z[..., 0], z[..., 1:]
    prior = (-log_tau[..., None] - 0.5 * (theta * torch.exp(-log_tau)[..., None]).square()).sum(-1)
    return prior + log_tau - torch.log1p(torch.exp(2 * log_tau) / 25) - 0.5 * (theta - 1).square().sum(-1)


@pytest.mark.parametrize(("adam", "off"), [(None, 1e-6), (Adam(steps=4), 0.02)])
def test_a_normal_posterior_is_found_at_once_however_ill_conditioned(adam, off):
    """From Laplace's normal, which is the posterior; Adam's steps are as long where a gradient is of rounding alone."""
    found, trace = advi.fit(keys.key(0), log_p, STARTS, adam=adam, rounds=2)
    torch.testing.assert_close(found.elbo.item(), LOG_Z, rtol=0, atol=off)
    assert found.standard_error < off
    torch.testing.assert_close(found.evidence.log_p.item(), LOG_Z, rtol=0, atol=off)
    assert found.gap.abs() < off
    assert trace.converged
    z = found.draws(keys.key(1), 4000)[:, 0]
    torch.testing.assert_close(z.mean(0), EXACT.loc[0], rtol=0, atol=0.2)
    scale = COVARIANCE.diagonal().sqrt()
    torch.testing.assert_close(
        z.T.cov() / scale / scale[:, None], COVARIANCE / scale / scale[:, None], rtol=0, atol=0.1
    )


@pytest.mark.parametrize("adam", [None, Adam(steps=80)])
def test_a_mean_field_is_the_best_one(adam):
    """Of a normal: its mean, and variances 1 / precision; the gap is half of log det (precision's diagonal x cov)."""
    start = DiagNormal(torch.zeros(1, D, dtype=torch.float64), torch.full((1, D), 0.3, dtype=torch.float64))
    found, _ = advi.fit(keys.key(0), log_p, STARTS, start, "diagonal", adam)
    precision = torch.linalg.inv(COVARIANCE)
    gap = 0.5 * (precision.diagonal().log().sum() + torch.logdet(COVARIANCE))
    assert abs(found.elbo.item() - LOG_Z + gap.item()) < 4 * found.standard_error.item() + 0.02


@pytest.mark.parametrize("adam", [None, Adam(steps=60)])
def test_a_posterior_of_light_tails_is_reached_from_its_mode_and_its_evidence_known(adam):
    found, trace = advi.fit(keys.key(0), quartic, torch.zeros(1, 2, dtype=torch.float64), adam=adam)
    grid = torch.linspace(-8, 8, 4001, dtype=torch.float64)[:, None, None]
    weight = torch.exp(quartic(grid[..., :1]))
    exact = 2 * torch.log(torch.trapezoid(weight[:, 0], grid[:, 0, 0]))
    assert (found.evidence.log_p - exact).abs().item() < 4 * found.evidence.standard_error.item()
    assert exact - 0.2 < found.elbo < exact
    assert trace.objective[-1] > trace.objective[0] + 0.01
    assert "weights are reliable" in found.verdict()
    mean = (weight * grid[..., 0]).sum() / weight.sum()
    torch.testing.assert_close(found.draws(keys.key(1), 4000).mean(0)[0], mean.expand(2), rtol=0, atol=0.05)


def test_a_tail_heavier_than_a_normal_one_is_flagged_by_k_hat():
    found, _ = advi.fit(keys.key(0), skewed, torch.zeros(1, 2, dtype=torch.float64))
    assert found.at_mode
    assert found.elbo < 0  # Gamma(2) = 1
    assert "weights are unreliable" in found.verdict()


def test_a_density_without_a_mode_is_said_to_have_none_and_flagged_by_k_hat():
    starts = 0.1 * torch.ones(2, 9, dtype=torch.float64)
    found, _ = advi.fit(keys.key(0), unbounded, starts, rounds=5)
    assert not found.at_mode
    assert "no start climbed to a mode" in found.verdict()
    assert found.weights.k_hat.item() > 0.7
    assert found.elbo.isfinite()


@pytest.mark.parametrize(
    ("q", "coordinates", "found_in_z"),
    [(None, "full", FullNormal), (NORMAL, "diagonal", DiagNormal), (NORMAL, "full", Pushforward)],
)
def test_normals_are_those_of_natural_gradients(q, coordinates, found_in_z):
    """A mean field in full coordinates is none in z: Adam finds it there."""
    found, _ = advi.fit(keys.key(0), skewed, torch.zeros(1, 2), q, coordinates, rounds=1, samples=100)
    assert isinstance(found.q, found_in_z)
    if found_in_z is not Pushforward:
        covariance = "full" if q is None else "diagonal"
        same, _ = natural.fit(keys.key(0), skewed, torch.zeros(1, 2), covariance, rounds=1, samples=100)
        assert torch.equal(same.q.loc, found.q.loc)


def test_covariances_of_many_dimensions_are_adams(monkeypatch):
    """Of which few draws tell little; a mean field has none."""
    monkeypatch.setattr(advi, "LARGEST", 1)
    for q, coordinates, found_in_z in ((None, "full", Pushforward), (NORMAL, "diagonal", DiagNormal)):
        found, _ = advi.fit(keys.key(0), skewed, torch.zeros(1, 2), q, coordinates, rounds=1, samples=100)
        assert isinstance(found.q, found_in_z)


def test_discrete_latents_by_another_estimator():
    """Two coins: log p(z) is the log of a joint table, whose ELBO's best mean field is found by enumeration."""
    table = torch.tensor([[0.5, 0.1], [0.1, 0.1]]).log()

    def log_table(z):
        return table[z[..., 0].long(), z[..., 1].long()]

    start = torch.zeros(1, 2)
    found, _ = advi.fit(
        keys.key(0), log_table, start, Bernoulli(torch.zeros(1, 2)), "own", Adam(steps=150, s=50, estimator=score)
    )
    p = torch.linspace(0.001, 0.999, 400)
    first, second = torch.meshgrid(p, p, indexing="ij")
    shares = torch.stack([(1 - first) * (1 - second), (1 - first) * second, first * (1 - second), first * second])
    best = (shares * (table.flatten()[:, None, None] - shares.log())).sum(0).max()
    assert abs(found.elbo - best) < 4 * found.standard_error + 0.005
    assert abs(found.evidence.log_p.item() - math.log(0.8)) < 0.05


@pytest.mark.parametrize("adam", [None, Adam(steps=60)])
def test_minibatches_are_for_the_steps_alone(adam):
    x = keys.normal(keys.key(2), (40,), torch.float64) + 3

    def given(z, x=x):
        return -0.5 * z.square().sum(-1) - 0.5 * 40 / len(x) * (z - x).square().sum(-1)

    asked = set()

    def batch(key):
        asked.add(tuple(keys.bits(key, (2,)).tolist()))
        return lambda z: given(z, x[keys.permutation(key, 40)[:10]])

    found, trace = advi.fit(keys.key(0), given, torch.zeros(1, 1, dtype=torch.float64), adam=adam, batch=batch)
    assert len(asked) >= 2 * (len(trace.objective) - 1)  # of each round some, no two alike
    torch.testing.assert_close(found.z.mean(), x.sum() / 41, rtol=0, atol=0.08)  # 0.2 where not scaled
    assert found.gap < 0.1


def test_a_round_that_falls_is_not_the_end():
    q = FullNormal.from_diagonal(DiagNormal(torch.zeros(1, 2), torch.zeros(1, 2)))
    _, trace = advi.fit(keys.key(0), skewed, torch.zeros(1, 2), q, adam=Adam(steps=20, step_size=3.0), rounds=3)
    assert len(trace.objective) == 4
    assert (trace.objective.diff() >= 0).all()


@pytest.mark.parametrize("value", [-math.inf, math.nan])
def test_draws_without_weights_are_refused(value):
    q = DiagNormal(torch.zeros(1, 2), torch.zeros(1, 2))
    found = judge(lambda z: torch.full_like(z[..., 0], value), q, keys.key(0), 100)
    with pytest.raises(ValueError, match="expected draws of q with weights, got weights that sum to"):
        found.draws(keys.key(1), 3)


def test_draws_are_of_the_support_alone():
    q = DiagNormal(torch.zeros(1, 2), torch.zeros(1, 2))
    found = judge(lambda z: torch.where(z[..., 0] > 0, -math.inf, q.log_prob(z)), q, keys.key(0), 1000)
    assert found.elbo == -math.inf
    assert (found.draws(keys.key(1), 1000)[..., 0] <= 0).all()
    assert abs(found.evidence.log_p.item() - math.log(0.5)) < 4 * found.evidence.standard_error.item()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"start": torch.zeros(D)}, ValueError, "start"),
        ({"log_p": lambda z: z.sum()}, ValueError, "one value per sample and datum"),
        ({"log_p": lambda z: z.sum(-1) - math.inf}, ValueError, "where log_p and its slope are finite"),
        ({"coordinates": "whitened"}, ValueError, "coordinates"),
        ({"q": "full"}, TypeError, "expected q"),
        ({"q": DiagNormal(torch.zeros(1, D + 1), torch.zeros(1, D + 1))}, ValueError, f"expected q of one row and {D}"),
        ({"q": DiagNormal(torch.zeros(2, D), torch.zeros(2, D))}, ValueError, f"expected q of one row and {D}"),
        (
            {"q": FullNormal.from_diagonal(DiagNormal(torch.zeros(1, D + 1), torch.zeros(1, D + 1)))},
            ValueError,
            "got a sample",
        ),
        ({"q": Bernoulli(torch.zeros(1, D)), "coordinates": "own"}, TypeError, "stl"),
        ({"rounds": 0}, ValueError, "rounds"),
        ({"tolerance": -1.0}, ValueError, "tolerance"),
        ({"samples": 1}, ValueError, "samples"),
        ({"batch": 3}, TypeError, "batch"),
        ({"adam": 100}, TypeError, "expected adam, advi.Adam"),
        ({"adam": Adam}, TypeError, "expected adam, advi.Adam"),
    ],
)
def test_refusals(change, error, message):
    with pytest.raises(error, match=message):
        advi.fit(keys.key(0), **{"log_p": skewed, "start": torch.zeros(1, D), **change})


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"steps": 0}, ValueError, "expected steps"),
        ({"step_size": 0.0}, ValueError, "step_size"),
        ({"s": 2.5}, TypeError, "expected s"),
        ({"estimator": "stl"}, TypeError, "estimator"),
    ],
)
def test_settings_of_adam_are_refused(settings, error, message):
    with pytest.raises(error, match=message):
        Adam(**settings)
