"""Denormal numbers are 0 while a run lasts, and after it what they were."""

from types import SimpleNamespace

import pytest
import torch

from jensen.experiments.run import session
from jensen.experiments.run.denormals import flushed, flushes

HALF_OF_THE_LEAST = torch.finfo(torch.float32).tiny / 2

with flushed():
    if not flushes():
        pytest.skip("this processor computes with denormal numbers", allow_module_level=True)


def halved():
    return (torch.full((3,), 2 * HALF_OF_THE_LEAST) / 2).tolist()


def test_within_they_are_0_and_after_as_before():
    assert halved() == [HALF_OF_THE_LEAST] * 3
    with flushed():
        with flushed():
            assert halved() == [0, 0, 0]
        assert halved() == [0, 0, 0]
    with pytest.raises(KeyError), flushed():
        raise KeyError
    assert halved() == [HALF_OF_THE_LEAST] * 3


@pytest.mark.parametrize("begin", [lambda settings: session.start("vae", settings),
                                   lambda settings: session.go_on(None, settings)])  # fmt: skip
def test_a_run_has_them_flushed_before_its_first_data(begin):
    """So that the threads of torch, which start with the first large array, have them flushed too."""

    def prepare():
        assert flushes()
        raise KeyError("far enough")

    settings = SimpleNamespace(run=SimpleNamespace(device="cpu"), prepare=prepare)
    with pytest.raises(KeyError, match="far enough"):
        begin(settings)
    assert not flushes()


def test_moments_of_units_without_gradient_reach_0():
    def mean_of_gradients():
        """After 100 steps without gradient, from where some 700 of them lead."""
        unit = torch.zeros(1, requires_grad=True)
        adam = torch.optim.Adam([unit], fused=True)
        for step in range(100):
            unit.grad = torch.full((1,), 1e-36 if step == 0 else 0.0)
            adam.step()
        return adam.state[unit]["exp_avg"].item()

    assert 0 < mean_of_gradients() < torch.finfo(torch.float32).tiny
    with flushed():
        assert mean_of_gradients() == 0
