"""Bounds of one set of weights: their groups, their order, and where a bound has no value."""

import pytest
import torch

from jensen.core import bounds, keys
from jensen.experiments.report import assessment, ladder
from tests.experiments.report.conftest import KEY, small_vae


def test_bounds_from_one_set_of_weights_stand_in_order():
    """ELBO <= TVO, Rényi <= IWAE <= CUBO at every K and, where each K is a multiple of the last, IWAE rising with K."""
    model, params, images = small_vae()
    log_w = assessment.log_weights(model, params, images.test[:20], 100, KEY)
    value = {(each.bound, each.k): each.value for each in ladder.against_k(log_w, (1, 5, 10, 50, 100))}
    for k in (1, 5, 10, 50, 100):
        order = ["ELBO", "Rényi(0.5)", "IWAE", "CUBO(2)"]
        assert [value[name, k] for name in order] == sorted(value[name, k] for name in order)
        assert value["ELBO", k] <= value["TVO, 5 intervals", k] + 1e-5
        assert value["TVO, 5 intervals", k] <= value["IWAE", k] + 1e-5
    rising = [value["IWAE", k] for k in (1, 5, 10, 50, 100)]
    assert rising == sorted(rising)
    torch.testing.assert_close(torch.tensor(value["IWAE", 100]), bounds.iwae(log_w).mean(), rtol=1e-5, atol=1e-5)


def test_chunks_change_no_log_weight(monkeypatch):
    model, params, images = small_vae()
    whole = assessment.log_weights(model, params, images.test[:7], 40, KEY)
    monkeypatch.setattr(assessment, "ROWS", 21)
    torch.testing.assert_close(assessment.log_weights(model, params, images.test[:7], 40, KEY), whole)


def test_groups_are_of_neighbours_and_the_jackknife_knows_its_limits():
    log_w = keys.normal(KEY, (23, 3), torch.float64)
    values = ladder.at(bounds.iwae, log_w, 5)
    assert values is not None
    assert values.shape == (4, 3)
    torch.testing.assert_close(values[2], bounds.iwae(log_w[10:15]))
    jackknife = ladder.at(bounds.Jackknife(1), log_w, 5)
    assert jackknife is not None
    torch.testing.assert_close(jackknife[3], bounds.Jackknife(1)(log_w[15:20]))
    assert ladder.at(bounds.Jackknife(1), log_w, 1) is None
    groups = ladder.at(ladder.Groups(2), log_w, 6)
    assert groups is not None
    torch.testing.assert_close(groups[1], bounds.Miwae(2, 3)(log_w[6:12]))
    assert ladder.at(ladder.Groups(2), log_w, 5) is None
    mean, error = ladder.mean(values)
    assert mean == pytest.approx(values.mean().item())
    assert error == pytest.approx((values.var(0) / 4).sum().sqrt().item() / 3)
    assert ladder.mean(values[:1])[1] is None
