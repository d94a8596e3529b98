import pytest
import torch
from torch.func import grad, jacrev, vmap

from jensen.core import keys
from jensen.core.models.quantised import paths

KEY = keys.key(9)
Z, VECTORS = keys.normal(KEY, (2, 6, 3), torch.float64)


def rotated(z, vector, moved):
    """|vector| / |z| R moved by Rodrigues' formula, R the rotation in the plane of z and its vector."""
    a, b = z / z.norm(), vector / vector.norm()
    axis, cosine = torch.linalg.cross(a, b), a @ b
    sine = axis.norm()
    k = axis / sine
    cross = torch.stack([torch.linalg.cross(k, e) for e in torch.eye(3, dtype=z.dtype)], -1)
    turn = torch.eye(3, dtype=z.dtype) + sine * cross + (1 - cosine) * cross @ cross
    return vector.norm() / z.norm() * turn @ moved


def test_both_give_the_vectors_and_those_no_gradient():
    for path in ("straight-through", "rotation"):
        torch.testing.assert_close(paths.along(path, Z, VECTORS), VECTORS)
        assert not grad(lambda v, path=path: paths.along(path, Z, v).sum())(VECTORS).any()
    assert torch.equal(grad(lambda z: (paths.straight_through(z, VECTORS) * Z).sum())(Z), Z)


def test_the_gradient_of_a_rotation_is_that_of_the_rotated_map_by_finite_differences():
    found = vmap(jacrev(paths.rotation))(Z, VECTORS)
    h = 1e-6
    for i, (z, vector) in enumerate(zip(Z, VECTORS, strict=True)):
        torch.testing.assert_close(rotated(z, vector, z), vector)
        steps = h * torch.eye(3, dtype=z.dtype)
        exact = torch.stack([(rotated(z, vector, z + e) - rotated(z, vector, z - e)) / (2 * h) for e in steps], -1)
        torch.testing.assert_close(found[i], exact, rtol=1e-7, atol=1e-7)


def test_angles_of_a_gradient_to_z_are_kept():
    """The angle between the gradient in the vector and the vector is that between the gradient in z and z."""
    slope = keys.normal(keys.fold_in(KEY, 1), (6, 3), torch.float64)
    found = grad(lambda z: (paths.rotation(z, VECTORS) * slope).sum())(Z)
    torch.testing.assert_close(
        torch.cosine_similarity(found, Z, -1), torch.cosine_similarity(slope, VECTORS, -1), rtol=1e-10, atol=1e-10
    )


@pytest.mark.parametrize(
    ("z", "vector"),
    [([0.0, 0.0], [1.0, 2.0]), ([1.0, 2.0], [0.0, 0.0]), ([1.0, 2.0], [-2.0, -4.0]), ([0.0, 0.0], [0.0, 0.0])],
)
def test_vectors_of_no_direction_or_the_opposite_one_have_a_finite_gradient(z, vector):
    z, vector = torch.tensor(z), torch.tensor(vector)
    torch.testing.assert_close(paths.rotation(z, vector), vector)
    assert jacrev(paths.rotation)(z, vector).isfinite().all()
    if not z.any():
        assert torch.equal(jacrev(paths.rotation)(z, vector), torch.eye(2))
