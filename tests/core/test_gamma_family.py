import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats
from torch.func import grad

from jensen import laws
from jensen.core import keys
from jensen.core.distributions import Beta, Dirichlet, Gamma
from jensen.laws import strategies

KEY = keys.key(5)
FAMILIES = [Gamma, Beta, Dirichlet]
CONCENTRATIONS = torch.tensor([0.05, 0.2, 0.7, 0.9999, 1.0001, 2.5, 10, 30, 250, 1000], dtype=torch.float64)
U = torch.tensor([1e-12, 1e-6, 0.01, 0.3, 0.4999, 0.5, 0.8, 0.99, 1 - 1e-6], dtype=torch.float64)


def positive(*shape, seed=0):
    return torch.exp(0.7 * keys.normal(keys.fold_in(KEY, seed), shape, torch.float64))


def instance(family, n=2, d=3, seed=0):
    fields = [positive(n, d, seed=seed + i) for i in range(len(family._fields))]
    return family(*fields)


def oracle(q):
    if isinstance(q, Dirichlet):
        return torch.distributions.Dirichlet(*q)
    kind = torch.distributions.Gamma if isinstance(q, Gamma) else torch.distributions.Beta
    return torch.distributions.Independent(kind(*q), 1)


families = pytest.mark.parametrize("family", FAMILIES)


@families
def test_densities_entropy_kl_and_mean_agree_with_torch(family):
    q, p = instance(family), instance(family, seed=7)
    z = q.sample(q.noise(KEY, 5))
    torch.testing.assert_close(q.log_prob(z), oracle(q).log_prob(z), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(q.entropy(), oracle(q).entropy(), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(q.kl(p), torch.distributions.kl_divergence(oracle(q), oracle(p)), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(q.mean(), oracle(q).mean, rtol=1e-12, atol=1e-12)


@pytest.mark.law
@families
@given(st.data())
def test_kl_law(family, data):
    shape = (data.draw(strategies.sizes), data.draw(st.integers(2, 4)))
    draw = st.builds(
        lambda *fields: family(*map(torch.exp, fields)), *[strategies.tensors(shape)] * len(family._fields)
    )
    q, p = data.draw(draw), data.draw(draw)
    kl = q.kl(p)
    assert kl.shape == shape[:1]
    laws.kl_is_nonnegative(kl)
    assert (q.kl(q) == 0).all()


@families
def test_float32_loses_no_digits_of_large_concentrations(family):
    """Their log Gamma is near 6000, and eps times that is 7e-4; the KL is near 1e-2, and its inputs to 1e-7 of 1000."""
    q = family(*(1000 * t.float() for t in instance(family)))
    p = family(*(1.003 * t for t in q))
    z = q.sample(q.noise(KEY, 5))
    q64, p64 = (family(*(t.double() for t in d)) for d in (q, p))
    assert z.dtype == q.log_prob(z).dtype == q.kl(p).dtype == q.entropy().dtype == torch.float32
    torch.testing.assert_close(q.kl(p).double(), q64.kl(p64), rtol=1e-6, atol=1e-12)
    torch.testing.assert_close(q.log_prob(z).double(), q64.log_prob(z.double()), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(q.entropy().double(), q64.entropy(), rtol=1e-6, atol=1e-6)


def test_the_sample_is_the_quantile():
    q = Gamma(CONCENTRATIONS[None], torch.full((1, 10), 3.0, dtype=torch.float64))
    z = q.sample(U[:, None, None].expand(-1, 1, 10))
    expected = special.gammaincinv(CONCENTRATIONS.numpy(), U[:, None].numpy()) / 3
    torch.testing.assert_close(z[:, 0], torch.from_numpy(expected), rtol=1e-8, atol=0)
    distribution = special.gammainc(CONCENTRATIONS.numpy(), 3 * z[:, 0].numpy())
    torch.testing.assert_close(torch.from_numpy(distribution), U[:, None].expand(-1, 10), rtol=1e-8, atol=0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_samples_rise_with_u_from_above_zero(dtype):
    u = torch.cat([torch.zeros(1), 2.0 ** -torch.arange(30, 2, -1.0), torch.linspace(0.13, 1 - 2.0**-11, 500)])
    z = Gamma(CONCENTRATIONS.to(dtype)[None], torch.ones(1, 10, dtype=dtype)).sample(u[:, None, None].expand(-1, 1, 10))
    assert z.dtype == dtype
    assert torch.isfinite(z).all()
    assert (z > 0).all()
    assert (z.diff(dim=0) >= 0).all()
    if dtype == torch.float64:
        assert (z.diff(dim=0) > 0).all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@families
def test_tiny_concentrations_stay_inside_the_support_with_finite_gradients(family, dtype):
    fields = [torch.tensor([[1e-3, 0.02, 0.05]], dtype=dtype) for _ in family._fields]
    u = family(*fields).noise(KEY, 500)
    u = torch.where(u < 0.1, 0.0, u)

    def total(*fields):
        q = family(*fields)
        z = q.sample(u)
        return torch.log(z).double().sum() + q.log_prob(z).double().sum()

    z = family(*fields).sample(u)
    assert (z > 0).all()
    assert torch.isfinite(family(*fields).log_prob(z)).all()
    if family is Beta:
        assert (z < 1).all()
        assert torch.isfinite(torch.log1p(-z)).all()
    if dtype != torch.float16:  # its largest number is 65,504
        assert all(torch.isfinite(slope).all() for slope in grad(total, tuple(range(len(fields))))(*fields))


def test_nan_is_never_hidden():
    concentration = torch.tensor([[float("nan"), -1.0, 0.0]])
    for q in (Gamma(concentration, torch.ones(1, 3)), Beta(concentration, torch.ones(1, 3)), Dirichlet(concentration)):
        assert q.sample(q.noise(KEY, 2)).isnan().all()


@families
def test_the_log_prob_gradient_is_right(family):
    q = instance(family)
    z = q.sample(q.noise(KEY, 4)).detach()
    fields = [t.clone().requires_grad_() for t in q]
    expected = torch.autograd.grad(oracle(family(*fields)).log_prob(z).sum(), fields)
    for slope, right in zip(grad(lambda q: q.log_prob(z).sum())(q), expected, strict=True):
        torch.testing.assert_close(slope, right, rtol=1e-9, atol=1e-9)


@pytest.mark.slow
def test_inductor_draws_what_eager_draws():
    u = keys.uniform(KEY, (3, 2, 3), torch.float64)
    compare_with_compiled(grad(lambda q: Gamma(*q).sample(u).square().sum()), tuple(instance(Gamma)), "inductor")


def compare_with_compiled(f, q, backend):
    for slope, other in zip(f(q), torch.compile(f, fullgraph=True, backend=backend)(q), strict=True):
        torch.testing.assert_close(slope, other, rtol=1e-8, atol=1e-10)


@families
def test_wrong_shapes_raise(family):
    q = family(*(torch.ones(4, 2) for _ in family._fields))
    for wrong in (torch.ones(4), torch.ones(2, 4), torch.ones(2, 2, 2)):
        with pytest.raises(ValueError, match="expected a value"):
            q.log_prob(wrong)
        with pytest.raises(ValueError, match="expected a value"):
            q.sample(wrong)
        with pytest.raises(ValueError, match="expected a value"):
            q.kl(family(*[wrong] * len(family._fields)))
    with pytest.raises(ValueError, match="one row per datum"):
        family(*(torch.ones(2) for _ in family._fields)).noise(KEY, 2)
    with pytest.raises(ValueError, match="expected s, a whole number >= 1, got 0"):
        q.noise(KEY, 0)


@pytest.mark.parametrize("family", [Gamma, Beta])
def test_fields_of_different_shapes_raise(family):
    q = family(torch.ones(4, 2), torch.ones(4, 1))
    z = torch.full((3, 4, 2), 0.5)
    for call in (lambda: q.log_prob(z), lambda: q.sample(q.noise(KEY, 3)), q.entropy, lambda: q.kl(q)):
        with pytest.raises(ValueError, match="expected fields of one shape"):
            call()


def test_the_sampled_beta_is_a_beta():
    q = instance(Beta)
    z = q.sample(q.noise(KEY, 5000)).numpy()
    for n in range(2):
        for d in range(3):
            a, b = (float(t[n, d]) for t in q)
            assert stats.kstest(z[:, n, d], "beta", (a, b)).pvalue > 1e-3
