import pytest
import torch
from torch.func import grad, vmap

from jensen import laws
from jensen.core import keys
from jensen.core.distributions import DiagNormal
from jensen.estimators.gradients.local import local_reparameterisation

KEY = keys.key(11)
N, INPUTS, OUTPUTS = 8, 4, 3


def layer():
    """x, loc and log_scale of a small layer."""
    shapes = [(N, INPUTS), (OUTPUTS, INPUTS), (OUTPUTS, INPUTS)]
    x, loc, log_scale = (
        keys.normal(k, shape, torch.float64) for k, shape in zip(keys.split(KEY, 3), shapes, strict=True)
    )
    return x, loc, 0.4 * log_scale - 0.5


def local(x, loc, log_scale, key, s):
    return local_reparameterisation(x, loc, log_scale, keys.normal(key, (s, N, OUTPUTS), torch.float64))


def of_sampled_weights(x, loc, log_scale, key, s):
    """The same layer with weights drawn once per sample, for all data."""
    q = DiagNormal(loc, log_scale)
    return torch.einsum("ni,soi->sno", x, q.sample(q.noise(key, s)))


def moments(x, loc, log_scale):
    """The closed form: W x has mean sum_i x_i loc_i and, of independent weights, variance sum_i x_i^2 scale_i^2."""
    return torch.einsum("ni,oi->no", x, loc), torch.einsum("ni,oi->no", x**2, torch.exp(2 * log_scale))


def test_pre_activations_have_the_moments_of_sampled_weights():
    args = layer()
    mean, variance = moments(*args)
    ends = torch.tensor([-1.0, 1.0], dtype=torch.float64)[:, None, None].expand(2, N, OUTPUTS)
    below, above = local_reparameterisation(*args, ends)
    torch.testing.assert_close((above + below) / 2, mean, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(((above - below) / 2) ** 2, variance, rtol=1e-12, atol=1e-12)
    for sampler in (local, of_sampled_weights):
        y = sampler(*args, KEY, 20_000)
        laws.mean_is(y, mean)
        laws.mean_is((y - mean) ** 2, variance)


def draws(sampler, args, reps=10_000):
    """Independent gradients of sum y^2 in (x, loc, log_scale), one sample per key."""

    def value(args, key):
        return sampler(*args, key, 1).square().sum()

    return vmap(grad(value), in_dims=(None, 0))(args, keys.split(KEY, reps))


def test_gradients_are_unbiased_and_less_noisy_than_those_of_sampled_weights():
    args = layer()

    def exact(args):
        mean, variance = moments(*args)
        return (mean.square() + variance).sum()

    estimates, noisy = draws(local, args), draws(of_sampled_weights, args)
    for estimate, other, slope in zip(estimates, noisy, grad(exact)(args), strict=True):
        laws.mean_is(estimate, slope)
        laws.mean_is(other, slope)
    for estimate, other in zip(estimates[1:], noisy[1:], strict=True):  # loc and log_scale; about half
        assert estimate.var(0).sum() < 0.7 * other.var(0).sum()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_gradients_are_finite_where_the_variance_is_zero_or_the_scale_extreme(dtype):
    x, loc, log_scale = (t.to(dtype) for t in layer())
    x = torch.cat([torch.zeros(1, INPUTS, dtype=dtype), x[1:]])
    eps = keys.normal(KEY, (2, N, OUTPUTS), dtype)
    for scales in (log_scale, torch.full_like(log_scale, -100), torch.full_like(log_scale, 100)):
        y = local_reparameterisation(x, loc, scales, eps)
        assert y.dtype == dtype
        assert torch.isfinite(y).all()
        assert torch.equal(y[:, 0], torch.zeros(2, OUTPUTS, dtype=dtype))
        slopes = grad(lambda *args: local_reparameterisation(*args, eps).double().sum(), (0, 1, 2))(x, loc, scales)
        assert all(torch.isfinite(slope).all() for slope in slopes)


def test_a_datum_of_zeros_adds_nothing_to_the_gradient_of_scales():
    x, loc, log_scale = layer()
    x = torch.cat([torch.zeros(1, INPUTS, dtype=torch.float64), x[1:]])
    eps = keys.normal(KEY, (2, N, OUTPUTS), torch.float64)

    def value(a, rows):
        return local_reparameterisation(x[rows], loc, a, eps[:, rows]).square().sum()

    slopes = [grad(value)(log_scale, rows) for rows in (slice(None), slice(1, None))]
    torch.testing.assert_close(*slopes)


def test_wrong_shapes_raise_with_the_fix():
    x, loc, log_scale, eps = torch.ones(8, 4), torch.ones(3, 4), torch.ones(3, 4), torch.ones(2, 8, 3)
    cases = [
        ((x[0], loc, log_scale, eps), r"expected x \(n, 4\), got \(4,\): add a batch axis"),
        ((x.mT, loc, log_scale, eps), r"expected x \(n, 4\), got \(4, 8\): one row per datum"),
        ((x, loc, log_scale[0], eps), r"expected loc and log_scale of one shape"),
        ((x, loc[0], log_scale[0], eps), r"\(outputs, inputs\)"),
        ((x, loc, log_scale, eps[0]), r"expected eps \(s, 8, 3\), got \(8, 3\): draw keys.normal"),
        ((x, loc, log_scale, torch.ones(2, 3, 4)), r"not for weights"),
    ]
    for args, message in cases:
        with pytest.raises(ValueError, match=message):
            local_reparameterisation(*args)
