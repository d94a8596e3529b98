"""The spectral norm that power iterations carry is that of the singular values, and so are the weights it bounds."""

import pytest
import torch
from torch.func import grad, vmap

from jensen.core import keys
from jensen.core.flows import spectral

KEY = keys.key(5)
W = 3 * keys.normal(KEY, (12 * 7,), torch.float64).reshape(12, 7)


def largest(w):
    return torch.linalg.matrix_norm(w, 2)


def carried(w, steps=60):
    u = spectral.start(KEY, w, 1)
    for _ in range(steps):
        _, u = spectral.norm(w, u)
    return u


def test_the_carried_norm_converges_and_one_drawn_anew_does_not():
    sigma, _ = spectral.norm(W, carried(W))
    torch.testing.assert_close(sigma, largest(W), rtol=1e-6, atol=0)
    anew = [spectral.norm(W, spectral.start(key, W, 1))[0] for key in keys.split(KEY, 20)]
    assert max(anew) < 0.9999 * largest(W)


@pytest.mark.parametrize("scale", [0.01, 1.0])
def test_weights_are_bounded(scale):
    w, u = scale * W, carried(W, 200)
    bounded, _ = spectral.normalised(w, u)
    torch.testing.assert_close(largest(bounded), largest(w).clamp(max=1), rtol=1e-8, atol=0)
    clipped, _ = spectral.clipped(w, u)
    torch.testing.assert_close(largest(clipped), largest(w).clamp(0.9, 1.1), rtol=1e-8, atol=0)
    inside = w / largest(w)
    torch.testing.assert_close(spectral.clipped(inside, u)[0], inside, rtol=1e-8, atol=0)


def test_its_gradient_is_that_of_the_largest_singular_value():
    """d sigma / d W = u v', with u and v at rest."""
    u = carried(W, 400)
    torch.testing.assert_close(grad(lambda w: spectral.norm(w, u)[0])(W), grad(largest)(W), rtol=1e-6, atol=1e-8)


def test_a_weight_that_starts_at_0_stays_there_and_is_bounded_once_it_moves():
    zero = torch.zeros_like(W)
    u = spectral.start(KEY, zero)
    assert torch.linalg.vector_norm(u) == pytest.approx(1)
    for bound in (spectral.normalised, spectral.clipped):
        bounded, after = bound(zero, u)
        assert torch.equal(bounded, zero)
        assert torch.equal(after, u)
        assert grad(lambda w, bound=bound: bound(w, u)[0].sum())(zero).isfinite().all()
        for _ in range(200):
            bounded, after = bound(3 * W, after)
        assert largest(bounded) == pytest.approx(1.0 if bound is spectral.normalised else 1.1, rel=1e-6)


def test_it_is_a_function_of_weight_and_state():
    many = torch.stack([W, 0.5 * W])
    us = torch.stack([spectral.start(KEY, w, 2) for w in many])
    mapped, states = vmap(spectral.normalised)(many, us)
    for i in range(2):
        alone, state = spectral.normalised(many[i], us[i])
        torch.testing.assert_close(mapped[i], alone)
        torch.testing.assert_close(states[i], state)
    compiled, _ = torch.compile(spectral.clipped, backend="eager", fullgraph=True)(W, us[0])
    torch.testing.assert_close(compiled, spectral.clipped(W, us[0])[0])


def test_bad_input_raises():
    with pytest.raises(ValueError, match=r"expected u \(12"):
        spectral.norm(W, torch.zeros(7, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"expected high in \[0.9, inf\), got 0.5: pass low <= high"):
        spectral.clipped(W, torch.zeros(12, dtype=torch.float64), 0.9, 0.5)
