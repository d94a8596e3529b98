"""Low-rank and matrix normals against the full normal of the same covariance, and torch's; full t's and scipy's."""

import pytest
import torch
from scipy import stats
from torch import distributions as td
from torch.func import grad

from jensen import laws
from jensen.core import keys, trees
from jensen.core.distributions import DiagNormal, FullNormal, FullStudentT, Gamma, LowRankNormal, MatrixNormal, Wishart

KEY = keys.key(33)


def noise(seed, *shape):
    return keys.normal(keys.fold_in(KEY, seed), shape, torch.float64)


def low_rank(seed=0):
    return LowRankNormal(noise(seed, 3, 4), 0.5 * noise(seed + 1, 3, 4), noise(seed + 2, 3, 4, 2))


def matrix(seed=0):
    fields = [(3, 2, 4), (3, 2), (3, 2, 2), (3, 4), (3, 4, 4)]
    scales = (1.0, 0.4, 0.7, 0.4, 0.7)
    return MatrixNormal(*(c * noise(seed + i, *shape) for i, (c, shape) in enumerate(zip(scales, fields, strict=True))))


def of_torch(q):
    return td.LowRankMultivariateNormal(q.loc, q.factor, (2 * q.log_scale).exp())


def whole(q):
    """The full normal of the matrices' elements, row by row."""
    rows, columns = q._factors()
    factor = torch.stack([torch.kron(a, b) for a, b in zip(rows, columns, strict=True)])
    return td.MultivariateNormal(q.loc.flatten(-2), scale_tril=factor)


def test_a_low_rank_normal_is_torchs():
    q, p = low_rank(), low_rank(10)
    z = q.sample(q.noise(KEY, 5))
    torch.testing.assert_close(q.log_prob(z), of_torch(q).log_prob(z), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(q.entropy(), of_torch(q).entropy(), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(q.kl(p), td.kl_divergence(of_torch(q), of_torch(p)), rtol=1e-9, atol=1e-9)


def test_a_matrix_normal_is_the_full_normal_of_its_elements():
    q, p = matrix(), matrix(10)
    z = q.sample(q.noise(KEY, 5))
    torch.testing.assert_close(q.log_prob(z), whole(q).log_prob(z.flatten(-2)), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(q.entropy(), whole(q).entropy(), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(q.kl(p), td.kl_divergence(whole(q), whole(p)), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("make", "flat"), [(low_rank, 1), (matrix, 2)])
def test_samples_have_the_covariance(make, flat):
    """The sample's Jacobian in the noise, a linear map, times its transpose."""
    q = make()
    eps = q.noise(KEY, 1)
    jacobian = torch.func.jacrev(lambda eps: q.sample(eps)[0].flatten(-flat))(eps)[:, :, 0]
    for i in range(3):
        linear = jacobian[i, :, i].flatten(1)
        exact = (of_torch if make is low_rank else whole)(trees.map(lambda t: t[i : i + 1], q)).covariance_matrix[0]  # noqa: B023
        torch.testing.assert_close(linear @ linear.T, exact, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("size", [1e-6, 1e3, 1e5])
def test_a_low_rank_normal_keeps_its_digits_where_the_factor_is_extreme(size):
    """In float32, against the full normal in float64, at draws: up to 1e10 times the diagonal's variance."""
    q = trees.map(lambda t: t.float(), low_rank()._replace(factor=size * noise(2, 3, 4, 2)))
    exact = trees.map(lambda t: t.double(), q).full()
    z = exact.sample(keys.normal(KEY, (5, 3, 4), torch.float64))
    wide = trees.map(lambda t: t.double(), q).log_prob(z)
    torch.testing.assert_close(wide, exact.log_prob(z), rtol=1e-5, atol=1e-3)
    torch.testing.assert_close(q.entropy().double(), exact.entropy(), rtol=1e-6, atol=1e-6)


def test_without_columns_it_is_the_diagonal_normal():
    diagonal = DiagNormal(noise(0, 3, 4), noise(1, 3, 4))
    for r in (0, 2):
        q = LowRankNormal.from_diagonal(diagonal, r)
        z = q.sample(q.noise(KEY, 5))
        torch.testing.assert_close(q.log_prob(z), diagonal.log_prob(z))
        torch.testing.assert_close(q.entropy(), diagonal.entropy())
    slope = grad(lambda q: q.log_prob(z).sum())(q)
    assert (slope.factor == 0).all()  # as the docstring says


def test_tiny_kls_of_matrix_normals_keep_their_digits_in_float32():
    """Against float64 of the same rounded fields."""
    q = trees.map(lambda t: t.float(), matrix())
    p = trees.map(lambda t: t * (1 + 1e-4), q)
    exact = trees.map(lambda t: t.double(), q).kl(trees.map(lambda t: t.double(), p))
    assert (exact < 1e-5).all()
    torch.testing.assert_close(q.kl(p).double(), exact, rtol=0.02, atol=1e-14)


def test_fields_that_do_not_fit_are_refused():
    q, p = low_rank(), matrix()
    with pytest.raises(ValueError, match=r"expected factor \(3, 4, r\), got \(3, 3, 2\)"):
        q._replace(factor=q.factor[:, :3]).entropy()
    with pytest.raises(ValueError, match=r"expected row_lower \(..., 2, 2\), got \(3, 4, 4\)"):
        p._replace(row_lower=p.column_lower).entropy()
    with pytest.raises(TypeError, match="expected p, a LowRankNormal as q is, got "):
        q.kl(FullNormal.from_diagonal(DiagNormal(q.loc, q.loc)))


def test_a_full_student_t_is_scipys():
    """Density and entropy; its covariance is L L^T df / (df - 2), by samples; many degrees of freedom are a normal."""
    normal = FullNormal(noise(40, 3, 2), 0.5 * noise(41, 3, 2), noise(42, 3, 2, 2))
    q = FullStudentT(torch.tensor([2.5, 5.0, 40.0], dtype=torch.float64), *normal)
    z, factor = q.sample(q.noise(KEY, 40_000)), normal._factor()
    for i in range(3):
        exact = stats.multivariate_t(q.loc[i].numpy(), (factor[i] @ factor[i].mT).numpy(), q.df[i].item())
        torch.testing.assert_close(q.log_prob(z[:5])[:, i], torch.as_tensor(exact.logpdf(z[:5, i].numpy())))
        assert q.entropy()[i].item() == pytest.approx(exact.entropy(), abs=1e-9)
    off = z[:, 2] - q.loc[2]
    laws.mean_is(off[:, :, None] * off[:, None], factor[2] @ factor[2].mT * 40 / 38)
    close = FullStudentT(torch.full((3,), 1e9, dtype=torch.float64), *normal)
    torch.testing.assert_close(close.log_prob(z[:5]), normal.log_prob(z[:5]), rtol=1e-6, atol=1e-6)


def test_a_wishart_is_scipys():
    """Density, entropy and mean; KL by samples, 0 to itself, of one component the gamma's; sums of x x^T by moments."""
    scale = noise(50, 2, 3, 3)
    scale = scale @ scale.mT + torch.eye(3, dtype=torch.float64)
    df = torch.tensor([2.4, 7.0], dtype=torch.float64)
    q, p = Wishart.from_scale(df, scale), Wishart.from_scale(df.flip(0) + 1, scale.flip(0))
    z = q.sample(q.noise(KEY, 20_000))
    for i in range(2):
        exact = stats.wishart(df[i].item(), scale[i].numpy())
        masses = torch.as_tensor(exact.logpdf(z[:5, i].permute(1, 2, 0).numpy()))
        torch.testing.assert_close(q.log_prob(z[:5])[:, i], masses, rtol=1e-9, atol=1e-9)
        assert q.entropy()[i].item() == pytest.approx(exact.entropy(), abs=1e-9)
    torch.testing.assert_close(q.mean(), df[:, None, None] * scale)
    laws.mean_is(z, q.mean())
    laws.mean_is(q.log_prob(z) - p.log_prob(z), q.kl(p))
    variance = df[:, None, None] * (scale.square() + scale.diagonal(dim1=1, dim2=2).unsqueeze(1)
                                    * scale.diagonal(dim1=1, dim2=2).unsqueeze(2))  # fmt: skip
    laws.mean_is((z - q.mean()).square(), variance)
    one, other = (Wishart.from_scale(t, s * torch.ones(2, 1, 1).double()) for t, s in ((df, 2.0), (df + 1, 0.7)))
    gamma, second = (
        Gamma(df[:, None] / 2, 0 * df[:, None] + 1 / 4),
        Gamma(df[:, None] / 2 + 0.5, 0 * df[:, None] + 1 / 1.4),
    )
    torch.testing.assert_close(one.kl(other), gamma.kl(second))
    torch.testing.assert_close(one.entropy(), gamma.entropy())


def test_only_symmetric_positive_definite_matrices_have_a_density():
    eye = torch.eye(2, dtype=torch.float64)
    q = Wishart.from_scale(torch.full((1,), 3.0, dtype=torch.float64), eye[None])
    lopsided = eye + torch.tensor([[0.0, 0.1], [0.0, 0.0]], dtype=torch.float64)
    for outside in (
        -eye,
        0 * eye,
        torch.ones(2, 2).double() - 2 * eye,
        lopsided,
        torch.inf * torch.ones(2, 2).double(),
    ):
        assert q.log_prob(outside[None, None]) == -torch.inf
    assert q.log_prob(eye[None, None]).isfinite()
    assert q.log_prob(torch.nan * eye[None, None]).isnan()
    with pytest.raises(ValueError, match=r"expected df above 1 of matrices \(2, 2\), got 0: raise it"):
        Wishart.from_scale(torch.zeros(1, dtype=torch.float64), eye[None])
