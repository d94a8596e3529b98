import pytest
import torch

from jensen.core import trees
from jensen.core.distributions import DiagNormal

TREE = {"a": torch.arange(6.0).reshape(2, 3), "b": {"0": torch.ones(2), "q": DiagNormal(torch.zeros(1), torch.ones(1))}}


def test_ravel_and_back():
    vector, unravel = trees.ravel(TREE)
    assert vector.shape == (10,)
    back = trees.paths(unravel(vector))
    assert all(torch.equal(back[path], leaf) for path, leaf in trees.paths(TREE).items())
    with pytest.raises(ValueError, match=r"expected vector \(10,\), got \(9,\)"):
        unravel(vector[:9])


def test_norm_is_the_norm_of_the_vector():
    assert torch.allclose(trees.norm(TREE), trees.ravel(TREE)[0].norm())


def test_paths_and_back():
    assert list(trees.paths(TREE)) == ["a", "b.0", "b.q.loc", "b.q.log_scale"]
    back = trees.from_paths(trees.paths(TREE), TREE)
    assert isinstance(back["b"]["q"], DiagNormal)


def test_an_optimiser_steps_along_the_gradients_that_are_set():
    """One step of SGD is params - lr * gradient; keys may come in another order."""
    params = trees.map(torch.clone, TREE)
    grads = trees.map(torch.cos, {"b": TREE["b"], "a": TREE["a"]})
    trees.set_grads(params, trees.map(lambda t: t.requires_grad_(), grads))
    assert not any(leaf.grad.requires_grad for leaf in trees.leaves(params))
    torch.optim.SGD(trees.leaves(params), 0.1).step()
    for path, leaf in trees.paths(params).items():
        torch.testing.assert_close(leaf, trees.paths(TREE)[path] - 0.1 * trees.paths(grads)[path].detach())


def test_gradients_of_another_structure_raise():
    params = trees.map(torch.clone, TREE)
    with pytest.raises(KeyError, match="missing 'a'"):
        trees.set_grads(params, {"b": params["b"]})
    with pytest.raises(ValueError, match=r"expected a \(2, 3\), got \(3,\)"):
        trees.set_grads(params, {**params, "a": torch.ones(3)})
    assert all(leaf.grad is None for leaf in trees.leaves(params))


def test_stop_cuts_the_gradient():
    grad = torch.func.grad(lambda t: (trees.stop({"t": t})["t"] * t).sum())(torch.ones(2))
    assert torch.equal(grad, torch.ones(2))


def test_wrong_keys_are_named_with_the_nearest():
    with pytest.raises(KeyError, match=r"missing 'weight' \(did you write 'wieght'\?\); unknown 'wieght'"):
        trees.check_keys({"wieght": 1, "bias": 2}, ("weight", "bias"))
    with pytest.raises(KeyError, match=r"unknown 'b\.1'"):
        trees.from_paths({**trees.paths(TREE), "b.1": torch.ones(1)}, TREE)
    with pytest.raises(TypeError, match="expected parameters, a dict"):
        trees.check_keys(torch.ones(1), ("weight",))


def test_a_wrong_shape_is_named_by_its_path():
    with pytest.raises(ValueError, match=r"expected b\.0 \(2,\), got \(3,\)"):
        trees.from_paths({**trees.paths(TREE), "b.0": torch.ones(3)}, TREE)


def test_a_gradient_of_other_strides_is_followed_by_a_fused_optimiser():
    """Which takes the gradient's memory for that of the parameter's order."""
    slope = torch.arange(6.0).reshape(3, 2)
    for laid_out in (slope.T.contiguous().T, torch.zeros(3, 4)[:, :2].copy_(slope)):
        params = {"weight": torch.zeros(3, 2)}
        trees.set_grads(params, {"weight": laid_out})
        torch.optim.SGD(trees.leaves(params), lr=1.0, fused=True).step()
        assert torch.equal(params["weight"], -slope)
