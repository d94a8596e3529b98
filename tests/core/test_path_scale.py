"""A path scaled by what arrives with the backward pass: its gradient under every transform, and what is refused."""

import pytest
import torch
from torch.func import grad, jacrev, jvp, vmap

from jensen.core import keys
from jensen.core.ops import path_scale

Z = keys.normal(keys.key(2), (4, 3, 2), torch.float64)
BATCH = torch.stack([Z, 2 * Z])


def loss(z, weight=1.0):
    """sum_n weight sum_s |z|^3 sin z, the path of each sample scaled by its squared norm, detached."""
    moved, first, second = path_scale(z)
    size = moved.square().sum(-1)
    return (weight * ((size**1.5 * moved.sin().sum(-1)) + size.detach() * first + second).sum(0)).sum()


def truth(z, weight=1.0):
    plain = grad(lambda z: (z.square().sum(-1) ** 1.5 * z.sin().sum(-1)).sum())(z)
    return weight * z.square().sum(-1, keepdim=True) * plain


def test_values_are_unchanged():
    moved, first, second = path_scale(Z)
    assert torch.equal(moved, Z)
    assert not first.any()
    assert not second.any()


def test_gradients_are_scaled_whatever_is_upstream():
    for weight in (1.0, -3.0, 1e-30):
        torch.testing.assert_close(grad(loss)(Z, weight) / weight, truth(Z))
    assert not grad(loss)(Z, 0.0).any()
    plain = grad(lambda z: loss(z).detach() + path_scale(z)[0].sum())(Z)
    assert not plain.any()  # no factor came
    (eager,) = torch.autograd.grad(loss(z := Z.clone().requires_grad_()), z)
    torch.testing.assert_close(eager, truth(Z))


def test_trees_and_events_of_any_rank():
    def value(parts):
        moved, first, second = path_scale(parts)
        return (sum(t.flatten(2).sum(-1) if t.ndim > 2 else t for t in moved.values()) + 5 * first + second).sum()

    found = grad(value)({"scalar": Z[..., 0], "matrix": Z[..., None] * torch.ones(3)})
    assert all((t == 5).all() for t in found.values())


@pytest.mark.parametrize("backend", ["inductor", pytest.param("aot_eager", marks=pytest.mark.slow)])
def test_transforms_agree_with_the_formula(backend):
    def every(batch):
        return vmap(grad(loss))(batch), jacrev(lambda z: vmap(loss)(z))(batch)

    mapped = torch.stack([truth(z) for z in BATCH])
    for found in (every(BATCH), torch.compile(every, fullgraph=True, backend=backend)(BATCH)):
        torch.testing.assert_close(found[0], mapped)
        torch.testing.assert_close(torch.stack([found[1][i, i] for i in range(2)]), mapped)
        assert not found[1][0, 1].any()


def test_what_has_no_ratio_raises():
    with pytest.raises(RuntimeError, match="can be differentiated once"):
        grad(lambda z: grad(loss)(z).square().sum())(Z)
    with pytest.raises(NotImplementedError, match="no forward mode"):
        jvp(loss, (Z,), (torch.ones_like(Z),))


def test_a_compiled_gradient_of_leaves_that_require_one_is_right_and_its_second_is_nan():
    z = Z.clone().requires_grad_()
    found = torch.compile(grad(loss), fullgraph=True, backend="aot_eager")(z)
    torch.testing.assert_close(found.detach(), truth(Z))
    assert torch.autograd.grad(found.sum(), z)[0].isnan().all()
