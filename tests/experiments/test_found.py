"""What a method has found, where its draws are in no normal position."""

import pytest
import torch

from jensen.core import keys
from jensen.core.distributions import DiagNormal
from jensen.experiments.inference import models
from jensen.experiments.inference.found import of_particles
from jensen.experiments.inference.text import brief, small


def test_draws_of_a_singular_covariance_have_an_evidence_that_is_not_relied_on():
    """Such as of a posterior whose tails take one coordinate 1e15 times as far as another."""
    ready = models.parse("eight-schools")
    posterior = models.conditioned(ready, models.table(ready, None))
    z = keys.normal(keys.key(0), (400, 1, posterior.d), torch.float64).to(posterior.starts(keys.key(1), 1).dtype)
    z[..., 1] = 3 * z[..., 0]
    found = of_particles(posterior, z, "", True, keys.key(2), 500)
    assert isinstance(found.q, DiagNormal)
    torch.testing.assert_close(found.q.log_scale[0].exp(), z.std(0)[0])
    assert found.evidence["importance"].log_p.isfinite().all()
    assert not found.evidence["importance"].standard_error.isfinite().all()


@pytest.mark.parametrize(
    ("x", "places", "text"),
    [(0.1236, 3, "0.124"), (-2e70, 2, "-2.0e+70"), (1e5, 0, "100000"), (float("nan"), 2, "nan")],
)
def test_numbers_fit_their_columns(x, places, text):
    assert brief(x, places) == text


@pytest.mark.parametrize(("error", "text"), [(0.0123, "0.012"), (4.1e-12, "4e-12"), (0.0, "0.000")])
def test_errors_are_0_where_there_is_none_alone(error, text):
    assert small(error) == text
