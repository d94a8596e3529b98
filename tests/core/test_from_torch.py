"""Distributions of torch as values, and normals from scales, covariances and draws."""

import pytest
import torch
from torch import distributions as td
from torch.func import grad, vmap

from jensen import laws
from jensen.core import keys, trees
from jensen.core.contracts import Distribution
from jensen.core.distributions import DiagNormal, FullNormal, from_torch
from jensen.estimators.gradients import pathwise

KEY = keys.key(4)
A, B = (0.5 + keys.uniform(keys.fold_in(KEY, i), (3, 2), torch.float64) for i in range(2))
TORCH = {
    "normal": td.Independent(td.Normal(A, B), 1),
    "full normal": td.MultivariateNormal(A, torch.diag_embed(B) + 0.2),
    "Laplace": td.Independent(td.Laplace(A, B), 1),
    "exponential": td.Independent(td.Exponential(A), 1),
    "Gumbel": td.Independent(td.Gumbel(A, B), 1),
    "log-normal": td.Independent(td.LogNormal(A, 0.5 * B), 1),
    "uniform": td.Independent(td.Uniform(A, A + B), 1),
    "one Cauchy per datum": td.Cauchy(A[:, 0], B[:, 0]),
}
each = pytest.mark.parametrize("d", TORCH.values(), ids=TORCH)


@each
def test_densities_are_torchs_and_the_value_is_a_distribution(d):
    q = from_torch(d)
    assert isinstance(q, Distribution)
    assert all(isinstance(t, torch.Tensor) for t in trees.leaves(q))
    z = q.sample(q.noise(KEY, 5))
    torch.testing.assert_close(q.log_prob(z), d.log_prob(z))
    assert q.log_prob(z).shape == (5, 3)


@each
def test_draws_have_the_distribution_of_torchs(d):
    """Their distribution function, of each component, is uniform: its mean and mean square, by 4 standard errors."""
    q = from_torch(d)
    z = q.sample(q.noise(KEY, 8000))
    if isinstance(d, td.MultivariateNormal):
        u = td.Normal(d.mean, d.variance.sqrt()).cdf(z)
        laws.mean_is((z - d.mean)[..., 0] * (z - d.mean)[..., 1], d.covariance_matrix[:, 0, 1])
    else:
        u = getattr(d, "base_dist", d).cdf(z)
    laws.mean_is(u, torch.full_like(u[0], 1 / 2))
    laws.mean_is(u.square(), torch.full_like(u[0], 1 / 3))


def test_it_is_minus_infinity_outside_the_support_without_nan():
    q = from_torch(TORCH["exponential"])
    z = torch.tensor([[[-1.0, 1.0]] * 3, [[1.0, 2.0]] * 3], dtype=torch.float64)
    assert (q.log_prob(z)[0] == -torch.inf).all()
    assert q.log_prob(z)[1].isfinite().all()
    slope = grad(lambda q, z: q.log_prob(z).nan_to_num(neginf=0.0).sum(), (0, 1))(q, z)
    assert all(t.isfinite().all() for t in trees.leaves(slope))


@pytest.mark.parametrize("name", ["normal", "full normal", "Laplace"])
def test_transforms_take_it(name):
    q = from_torch(TORCH[name])

    def value(parameters, noise):
        return pathwise(lambda z: -z.square().sum(-1), q._replace(parameters=parameters), noise).sum()

    batch = keys.split(KEY, 3)
    mapped = vmap(grad(lambda p, key: value(p, q.noise(key, 2))), in_dims=(None, 0))
    compiled = torch.compile(mapped, fullgraph=True, backend="eager")(q.parameters, batch)
    eager = mapped(q.parameters, batch)
    for i, key in enumerate(batch):
        for name, slope in grad(value)(q.parameters, q.noise(key, 2)).items():
            torch.testing.assert_close(eager[name][i], slope)
            torch.testing.assert_close(compiled[name][i], slope)


@pytest.mark.parametrize(
    ("d", "error", "message"),
    [
        (td.Normal(A, B), ValueError, r"batch shape \(n,\), one row per datum, got \(3, 2\): .*Independent"),
        (td.StudentT(A[:, 0]), TypeError, "of torch with an icdf, got StudentT"),
        (td.Bernoulli(logits=A[:, 0]), TypeError, "of torch with an icdf, got Bernoulli"),
        (td.Categorical(logits=A), TypeError, "of torch with an icdf, got Categorical"),
    ],
)
def test_what_has_no_quantiles_or_other_axes_raises(d, error, message):
    with pytest.raises(error, match=message):
        from_torch(d)


def test_normals_from_scales_covariances_and_draws():
    q = DiagNormal.from_scale(A, B)
    torch.testing.assert_close(q.log_scale.exp(), B)
    torch.testing.assert_close(
        DiagNormal.from_scale(A, torch.tensor(2.0).double()).log_scale.exp(), torch.full((3, 2), 2.0).double()
    )
    covariance = torch.diag_embed(B) + 0.2
    full = FullNormal.from_covariance(A, covariance)
    torch.testing.assert_close(
        full.log_prob(A[None] + 0.3), td.MultivariateNormal(A, covariance).log_prob(A[None] + 0.3)
    )
    one = FullNormal.from_covariance(A, covariance[0])
    torch.testing.assert_close(one.entropy(), full.entropy()[:1].expand(3))
    z = full.sample(full.noise(KEY, 50))
    fitted = FullNormal.from_draws(z)
    torch.testing.assert_close(fitted.loc, z.mean(0))
    factor = torch.tril(fitted.lower, -1) + torch.diag_embed(fitted.log_scale.exp())
    expected = torch.stack([torch.cov(z[:, i].T) for i in range(3)])
    torch.testing.assert_close(factor @ factor.mT, expected)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: DiagNormal.from_scale(A, B - 0.6), "scale above 0, got"),
        (lambda: FullNormal.from_covariance(A, -torch.eye(2, dtype=torch.float64)), "positive definite"),
        (
            lambda: FullNormal.from_covariance(A, torch.tensor([[1.0, 0.5], [0.0, 1.0]], dtype=torch.float64)),
            "symmetric",
        ),
        (lambda: FullNormal.from_draws(torch.zeros(2, 3, 2)), "more draws than components, got 2 of 2"),
    ],
)
def test_normals_that_cannot_be_raise(call, message):
    with pytest.raises(ValueError, match=message):
        call()
