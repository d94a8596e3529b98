"""Laplace's normal of a log density: exact where the posterior is normal, judged where not, refused without a mode."""

import math

import pytest
import torch

from jensen.core import keys
from jensen.core.models import bayes
from jensen.estimators.inference import laplace

F64, KEY = torch.float64, keys.key(5)
A = keys.normal(keys.key(3), (1, 4, 4), F64)[0]
PRECISION = A @ A.T + torch.eye(4, dtype=F64)
MEAN = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=F64)
STARTS = 3 * keys.normal(keys.key(4), (1, 3, 4), F64)[0]
LOG_Z = 7.3


def normal(z):
    """LOG_Z and a normal's log density."""
    off = z - MEAN
    return (
        LOG_Z
        - 0.5 * torch.einsum("...i,ij,...j", off, PRECISION, off)
        + 0.5 * PRECISION.logdet()
        - 2 * math.log(2 * math.pi)
    )


def double_well(z):
    return (-0.25 * (z.square() - 4).square() + 0.1 * z).sum(-1)


def test_a_normal_posterior_is_exact():
    found, trace = laplace.fit(KEY, normal, STARTS, samples=200)
    factor = torch.diag(found.q.log_scale[0].exp()) + found.q.lower[0].tril(-1)
    torch.testing.assert_close(found.q.loc[0], MEAN, rtol=0, atol=1e-10)
    torch.testing.assert_close(factor @ factor.T, torch.linalg.inv(PRECISION), rtol=0, atol=1e-10)
    for value in (*trace.objective, found.elbo, found.evidence.log_p[0]):
        torch.testing.assert_close(value.item(), LOG_Z, rtol=0, atol=1e-8)
    assert trace.converged
    assert found.standard_error < 1e-8


def test_a_diagonal_has_each_variance_given_the_others():
    found, _ = laplace.fit(KEY, normal, STARTS, "diagonal", samples=4000)
    torch.testing.assert_close(torch.exp(-2 * found.q.log_scale[0]), PRECISION.diagonal(), rtol=0, atol=1e-8)
    kl = 0.5 * (PRECISION.diagonal().log().sum() - PRECISION.logdet())  # of that mean field from the normal
    assert kl > 0.5
    assert (found.gap - kl).abs() < 4.5 * (found.standard_error + found.evidence.standard_error[0])


def test_the_mode_with_most_evidence_is_taken_and_starts_without_one_are_nan():
    starts = torch.tensor([[-1.9], [1.7], [-2.5]], dtype=F64)
    found, trace = laplace.fit(KEY, double_well, starts, samples=50)
    assert found.q.loc > 0
    torch.testing.assert_close(trace.objective[0], trace.objective[2])
    assert trace.objective[1] > trace.objective[0]

    def half(z):  # grows for ever below 0
        return torch.where(z[..., 0] > -3, double_well(z), z[..., 0].square())

    _, trace = laplace.fit(KEY, half, torch.tensor([[1.7], [-9.0]], dtype=F64), samples=50)
    assert trace.objective.isfinite().tolist() == [True, False]
    assert not trace.converged


def test_scales_that_rounding_leaves_no_covariance_factor_in_float32():
    scale = torch.logspace(-4, 0, 6)
    turn = torch.linalg.qr(keys.normal(keys.key(5), (1, 6, 6))[0]).Q
    found, _ = laplace.fit(KEY, lambda z: -0.5 * (z @ (turn / scale)).square().sum(-1), torch.ones(1, 6), samples=50)
    assert found.q.log_scale.dtype == torch.float32
    assert found.q.log_scale.sum().item() == pytest.approx(scale.log().sum().item(), abs=0.15)  # the Hessian rounds


EIGHT = {
    "y": torch.tensor([28.0, 8, -3, 7, -1, 1, 18, 12]).double(),
    "sigma": torch.tensor([15.0, 10, 16, 11, 9, 11, 10, 18]).double(),
}


@pytest.mark.parametrize(
    ("log_p", "said"),
    [
        (lambda z: -z[..., 0].square(), r"eigenvalue -?0 .*100% z\[1\]"),
        (lambda z: z[..., 1].square() - z[..., 0].square(), r"eigenvalue -2 .*100% z\[1\]"),
        (lambda z: z.sum(-1).exp(), "no mode|bound|finite"),
    ],
)
def test_a_hessian_that_is_not_negative_definite_is_named_by_its_direction(log_p, said):
    with pytest.raises(ValueError, match=said):
        laplace.fit(KEY, log_p, torch.ones(2, 2, dtype=F64))


def test_and_by_its_parameter():
    """The centred eight schools have no bound where the spread of effects goes to 0 with all of them equal."""
    posterior = bayes.condition(bayes.eight_schools(centred=True), EIGHT)
    with pytest.raises(ValueError, match=r"direction that is \d+% (mu|tau|theta)"):
        laplace.fit(KEY, posterior, posterior.starts(KEY, 1), samples=9)


def test_refusals():
    with pytest.raises(ValueError, match="covariance"):
        laplace.fit(KEY, normal, STARTS, "kfac")
    with pytest.raises(ValueError, match="start"):
        laplace.fit(KEY, normal, STARTS[0])
    with pytest.raises(ValueError, match="finite"):
        laplace.fit(KEY, normal, STARTS * math.nan)
