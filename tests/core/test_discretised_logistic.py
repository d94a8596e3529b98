"""The discretised logistic against differences of scipy's logistic cdf, at every level."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch.func import grad

from jensen import laws
from jensen.core import keys
from jensen.core.distributions import DiscretisedLogistic
from jensen.core.models.latent.likelihoods import SQUARED_ERROR, DiscretisedLogisticLikelihood
from jensen.core.trees import Static

LEVELS = 256
LOC = torch.tensor([[0.3, -0.4, 1.7, 0.5]], dtype=torch.float64)
LOG_SCALE = torch.tensor([[-1.0, -3.0, -2.0, -9.0]], dtype=torch.float64)


def masses(loc, scale, levels):
    edges = np.concatenate([[-np.inf], (np.arange(levels - 1) + 0.5) / (levels - 1), [np.inf]])
    low, high = (edges[:-1] - loc) / scale, (edges[1:] - loc) / scale
    upper = stats.logistic.sf(low) - stats.logistic.sf(high)  # of cells above loc
    return np.where(low > 0, upper, stats.logistic.cdf(high) - stats.logistic.cdf(low))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("levels", [2, 17, LEVELS])
def test_masses_are_differences_of_the_cdf(dtype, levels):
    z = (torch.arange(levels, dtype=dtype) / (levels - 1))[:, None, None]
    for i in range(LOC.shape[1]):
        loc, log_scale = LOC[:, i : i + 1].to(dtype), LOG_SCALE[:, i : i + 1].to(dtype)
        found = DiscretisedLogistic(loc, log_scale, Static(levels)).log_prob(z)[:, 0]
        right = masses(loc.double().item(), log_scale.double().exp().item(), levels)
        some = right > 1e-30
        np.testing.assert_allclose(
            found[some], np.log(right[some]), rtol=2e-4 if dtype == torch.float32 else 1e-9, atol=1e-6
        )
        assert found.isfinite().all()
        assert abs(found.exp().sum().item() - 1) < 1e-5


def test_samples_have_these_masses_and_the_mean():
    q = DiscretisedLogistic(LOC, LOG_SCALE, Static(17))
    z = q.sample(q.noise(keys.key(0), 40_000))
    laws.mean_is(z[:, 0], q.mean()[0])
    right = torch.tensor(masses(0.3, np.exp(-1.0), 17))
    laws.mean_is((z[:, 0, :1] * 16 == torch.arange(17)).double(), right)


def test_between_levels_there_is_no_mass():
    q = DiscretisedLogistic(LOC[:, :1], LOG_SCALE[:, :1], Static(17))
    z = torch.tensor([0.25, 0.3, -1 / 16, 17 / 16], dtype=torch.float64)[:, None, None]
    assert (q.log_prob(z)[1:] == -torch.inf).all()
    assert q.log_prob(z)[0].isfinite()


def test_gradients_far_from_the_data_are_finite():
    z = torch.tensor([0.0, 0.5, 1.0])[:, None, None]
    for loc in (-1e4, 1e4):

        def log_p(fields):
            return DiscretisedLogistic(*fields, Static(3)).log_prob(z).sum()

        slopes = grad(log_p)((torch.full((1, 1), loc), torch.full((1, 1), -20.0)))
        assert all(t.isfinite().all() for t in slopes)
        assert slopes[0] * loc < 0


def test_the_likelihood_takes_its_levels_from_the_data():
    x = torch.arange(17).repeat(3, 1) / 16
    likelihood = DiscretisedLogisticLikelihood.of(x)
    assert likelihood.levels == 17
    params, bias = likelihood.init(x)
    log_p = likelihood(params, bias.expand(3, 17)).log_prob(x)
    assert (log_p < 0).all()
    assert log_p.isfinite().all()
    with pytest.raises(ValueError, match="expected x at equally spaced levels from 0 to 1, got 4 values"):
        DiscretisedLogisticLikelihood.of(torch.tensor([[0.0, 0.1, 0.17, 1.0]]))


def test_squared_errors_are_a_normal_of_variance_one_half():
    """The loss is sum (x - mean)^2, less a constant, and the mean is that of the data at the start."""
    x = keys.uniform(keys.key(1), (50, 6), torch.float64)
    params, bias = SQUARED_ERROR.init(x)
    q = SQUARED_ERROR(params, bias.expand(50, 6))
    torch.testing.assert_close(q.mean()[0], x.mean(0))
    loss = (x - x.mean(0)).square().sum(-1) + 3 * np.log(np.pi)
    torch.testing.assert_close(-q.log_prob(x), loss)
