import pytest
import torch

from jensen.core import keys
from jensen.core.numerics.quadratics import coefficients, features, moments

F = torch.float64


@pytest.mark.parametrize("d", [1, 2, 5])
@pytest.mark.parametrize("cross", [True, False])
def test_products_are_quadratic_functions_and_moments(d, cross):
    x, shares = keys.normal(keys.key(1), (9, d), F), keys.uniform(keys.key(2), (3, 9), F)
    constant, linear = keys.normal(keys.key(3), (3,), F), keys.normal(keys.key(4), (3, d), F)
    root = keys.normal(keys.key(5), (3, d, d), F)
    matrix = root + root.mT if cross else torch.diag_embed(root.diagonal(dim1=1, dim2=2))
    phi = features(x, cross)
    given = matrix if cross else matrix.diagonal(dim1=1, dim2=2)
    expected = constant[:, None] + linear @ x.mT + torch.einsum("nd,kde,ne->kn", x, matrix, x)
    torch.testing.assert_close(coefficients(constant, linear, given) @ phi.mT, expected)
    counts, first, second = moments(shares @ phi, d, cross)
    torch.testing.assert_close(counts, shares.sum(1))
    torch.testing.assert_close(first, shares @ x)
    outer = torch.einsum("kn,nd,ne->kde", shares, x, x)
    torch.testing.assert_close(second, outer if cross else outer.diagonal(dim1=1, dim2=2))
