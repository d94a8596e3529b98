import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate
from torch.func import grad

from jensen import laws
from jensen.core import keys
from jensen.core.distributions import Bernoulli, Categorical, ContinuousBernoulli, DiagNormal, check_binary
from jensen.laws import strategies

KEY = keys.key(3)
FAMILIES = ["normal", "bernoulli", "categorical", "continuous"]


@pytest.mark.law
@pytest.mark.parametrize("family", FAMILIES)
@given(st.data())
def test_kl_law(family, data):
    q, p = data.draw(strategies.pairs(family))
    kl = q.kl(p)
    assert kl.shape == q[0].shape[:1]
    laws.kl_is_nonnegative(kl)
    assert (q.kl(q) == 0).all()


@pytest.mark.parametrize("logit", [-200.0, -5.0, -1e-4, 0.0, 1e-4, 0.3, 0.5, 5.0, 200.0])
def test_continuous_bernoulli_is_a_density_with_its_mean_and_samples(logit):
    q = ContinuousBernoulli(torch.tensor([[logit]], dtype=torch.float64))

    def density(x):
        return q.log_prob(torch.tensor([[x]], dtype=torch.float64)).exp().item()

    near = [0.05] if logit < -100 else [0.95] if logit > 100 else None
    assert abs(integrate.quad(density, 0, 1, points=near)[0] - 1) < 1e-8
    assert abs(integrate.quad(lambda x: x * density(x), 0, 1, points=near)[0] - q.mean().item()) < 1e-8
    u = torch.linspace(0.01, 0.99, 9, dtype=torch.float64)[:, None, None]
    for x, target in zip(q.sample(u).flatten().tolist(), u.flatten().tolist(), strict=True):
        assert abs(integrate.quad(density, 0, x, points=[min(p, x) for p in near or []])[0] - target) < 1e-6
    again = ContinuousBernoulli.from_mean(q.mean())
    assert abs(again.logits.item() - logit) < 1e-6 * max(1, abs(logit))


def test_continuous_bernoulli_gradients_are_right_across_the_series():
    logits = torch.tensor([[-30.0, -0.5001, -0.4999, -1e-6, 0.0, 1e-6, 0.4999, 0.5001, 30.0]], dtype=torch.float64)
    x = torch.full_like(logits, 0.3)
    score = grad(lambda a: ContinuousBernoulli(a).log_prob(x).sum())(logits)
    torch.testing.assert_close(score, x - ContinuousBernoulli(logits).mean(), rtol=1e-9, atol=1e-11)
    u = torch.full((1, 1, 9), 0.4, dtype=torch.float64)
    path = grad(lambda a: ContinuousBernoulli(a).sample(u).sum())(logits)
    step = 1e-5
    above, below = (ContinuousBernoulli(logits + move).sample(u)[0] for move in (step, -step))
    torch.testing.assert_close(path, (above - below) / step / 2, rtol=1e-4, atol=1e-4)


def test_from_mean_gives_the_mean_back():
    mean = torch.tensor([[0.001, 0.3, 0.5, 0.999]])
    for family in (Bernoulli, ContinuousBernoulli, DiagNormal):
        torch.testing.assert_close(family.from_mean(mean).mean(), mean, rtol=1e-5, atol=1e-6)


def test_samples_carry_the_gradient_they_should():
    loc, log_scale = torch.zeros(1, 2), torch.zeros(1, 2)
    eps = torch.tensor([[[0.5, -2.0]]])
    slopes = grad(lambda m, a: DiagNormal(m, a).sample(eps).sum(), (0, 1))(loc, log_scale)
    assert torch.equal(slopes[0], torch.ones(1, 2))
    assert torch.equal(slopes[1], eps[0])
    for q in (Bernoulli(torch.zeros(1, 2)), Categorical(torch.zeros(1, 2, 3))):
        logits = q[0].clone().requires_grad_()
        assert not type(q)(logits).sample(q.noise(KEY, 2)).requires_grad


def test_shapes_never_broadcast_by_accident():
    """(n,) against (n, 1), the axis slip that silently gives an n by n matrix, raises and names the shapes."""
    q = DiagNormal(torch.zeros(4, 1), torch.zeros(4, 1))
    for wrong in (torch.zeros(4), torch.zeros(2, 4), torch.zeros(2, 1, 1), torch.zeros(())):
        with pytest.raises(ValueError, match="expected a value"):
            q.log_prob(wrong)
    with pytest.raises(ValueError, match="one row per datum"):
        DiagNormal(torch.zeros(3), torch.zeros(3)).noise(KEY, 2)
    with pytest.raises(ValueError, match="expected s, a whole number >= 1, got 0"):
        q.noise(KEY, 0)


def test_grey_pixels_are_told_with_the_fix():
    check_binary(torch.tensor([[0.0, 1.0]]))
    with pytest.raises(ValueError, match=r"1 grey values, such as 0\.5.*binarise"):
        check_binary(torch.tensor([[0.0, 0.5]]))


def test_extreme_logits_stay_finite():
    for logit in (-1e4, -100.0, 100.0, 1e4):
        for dtype in (torch.float16, torch.bfloat16, torch.float32):
            logits = torch.full((1, 2), logit, dtype=dtype)
            x = torch.ones(1, 2, dtype=dtype)
            for family in (Bernoulli, ContinuousBernoulli):
                value, slope = family(logits).log_prob(x), grad(lambda a, f=family: f(a).log_prob(x).sum())(logits)  # noqa: B023
                assert torch.isfinite(value).all()
                assert torch.isfinite(slope).all()
                assert np.isfinite(family(logits).entropy().item())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_draws_rare_events_as_rarely(dtype):
    """Uniform noise in half precision could round up to 1: an impossible category would then be drawn."""
    u = keys.uniform(KEY, (100, 1000), dtype)
    assert u.max() < 1
    rare = Categorical(torch.tensor([[[0.0, -40.0]]], dtype=dtype))
    assert rare.sample(rare.noise(KEY, 20_000))[..., 1].sum() == 0
    sure = Bernoulli(torch.tensor([[20.0]], dtype=dtype))
    assert sure.sample(sure.noise(KEY, 20_000)).min() == 1


def test_gradients_are_finite_where_values_are():
    logits = torch.tensor([[[0.0, -200.0, 1.0]]])
    masked = torch.tensor([[[0.0, -math.inf, 1.0]]])
    for at in (logits, masked):
        assert torch.isfinite(grad(lambda a: Categorical(a).entropy().sum())(at)).all()
        assert torch.isfinite(grad(lambda a: Categorical(a).kl(Categorical(masked)).sum())(masked)).all()
    far = torch.tensor([[-200.0, -100.0, -89.0, 89.0, 100.0, 200.0]])
    other = ContinuousBernoulli(torch.zeros(1, 6))
    for f in (lambda q: q.mean(), lambda q: q.entropy(), lambda q: q.kl(other)):
        slope = grad(lambda a, f=f: f(ContinuousBernoulli(a)).sum())(far)
        assert torch.isfinite(slope).all()


@pytest.mark.parametrize("gap", [1e-4, 1e-3, 1e-2])
@pytest.mark.parametrize("family", [Bernoulli, Categorical])
def test_tiny_kl_is_accurate_and_never_negative_in_float32(family, gap):
    shape = (200, 1, 3) if family is Categorical else (200, 1)
    a = 3 * keys.normal(KEY, shape)
    b = a + gap * keys.normal(keys.key(8), shape)
    exact = family(a.double()).kl(family(b.double()))
    assert (family(a).kl(family(b)) >= 0).all()
    # The gap of two float32 log probabilities near 10 is itself only known to 1e-6, a hundredth of the smallest gap.
    torch.testing.assert_close(family(a).kl(family(b)).double(), exact, rtol=0.02, atol=1e-12)


@pytest.mark.parametrize("logit", [1e-4, 1.1e-3, -1.1e-3, 0.09, 0.11, -0.11])
def test_continuous_bernoulli_paths_are_accurate_in_float32_near_the_uniform(logit):
    u = torch.tensor([[[0.001, 0.3, 0.5, 0.999]]])
    slopes = []
    for dtype in (torch.float32, torch.float64):
        at = torch.full((1, 4), logit, dtype=dtype)
        slopes.append(grad(lambda a: ContinuousBernoulli(a).sample(u.to(a.dtype)).sum())(at).double())
    torch.testing.assert_close(slopes[0], slopes[1], rtol=2e-3, atol=2e-6)


def test_fields_of_different_shapes_raise():
    zero = torch.zeros
    mixed = [DiagNormal(zero(4, 1), zero(4)), DiagNormal(zero(3, 5), zero(())), DiagNormal(zero(3, 5), zero(3, 1))]
    for q in mixed:
        for call in (
            lambda q=q: q.log_prob(zero(2, *q.loc.shape)),
            lambda q=q: q.sample(zero(2, *q.loc.shape)),
            q.entropy,
        ):
            with pytest.raises(ValueError, match="expected fields of one shape"):
                call()
