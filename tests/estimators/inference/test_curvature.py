"""Curvatures of networks: Gauss-Newton is the Hessian less the network's own, and its parts are those of layers."""

import pytest
import torch
from torch.func import hessian, jacrev
from torch.nn import functional as F

from jensen.core import keys, trees
from jensen.core.nn import linear, mlp
from jensen.estimators.inference.curvature import (
    Categorical,
    Diagonal,
    Full,
    Gaussian,
    Kronecker,
    Linearised,
    taps,
)
from tests.estimators.inference.curvatures import DEEP, F64, KEY, LIKELIHOODS, NETWORKS, X, gauss_newton, matrix

Y = {
    "gaussian": keys.normal(keys.key(2), (1, 6, 2), F64)[0],
    "bernoulli": torch.tensor([[0.0, 1], [1, 1], [1, 0], [0, 0], [1, 1], [0, 1]], dtype=F64),
    "categorical": torch.tensor([0, 1, 1, 0, 1, 0]),
}


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_roots_are_of_minus_the_hessian_in_the_outputs(name):
    likelihood, outputs = LIKELIHOODS[name], torch.tensor([[0.3, -1.2], [30.0, -25.0]], dtype=F64)
    root = likelihood.root(outputs)
    for i in range(2):
        y = Y[name][i : i + 1]
        exact = -hessian(lambda f, y=y: likelihood.log_prob(f[None], y).sum())(outputs[i])
        torch.testing.assert_close(root[i] @ root[i].T, exact, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_of_a_linear_network_it_is_the_hessian_and_of_another_with_the_networks_own(name):
    likelihood, y = LIKELIHOODS[name], Y[name]

    def split(network, parameters):
        flat, unravel = trees.ravel(parameters)
        linearised = Linearised.of(network, parameters)
        outputs = linearised.outputs({}, X)

        def loss(flat):
            return -likelihood.log_prob(network(unravel(flat), X), y).sum()

        slopes = jacrev(lambda f: -likelihood.log_prob(f, y).sum())(outputs)
        own = hessian(lambda flat: (slopes * network(unravel(flat), X)).sum())(flat)
        found, placed = matrix(Full, linearised, X, likelihood.root(outputs))
        names = trees.paths(unravel(torch.arange(len(flat), dtype=F64)))
        order = placed.layout.value.flat(names).long()
        return found, hessian(loss)(flat)[order][:, order], own[order][:, order]

    found, exact, own = split(linear.apply, linear.init(KEY, 3, 2, dtype=F64))
    torch.testing.assert_close(found, exact, rtol=1e-10, atol=1e-12)
    assert own.abs().max() == 0
    found, exact, own = split(mlp.apply, DEEP)
    assert own.abs().max() > 0.01
    torch.testing.assert_close(found + own, exact, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", NETWORKS)
def test_layers_give_the_jacobian_and_the_diagonal_is_that_of_the_whole(name):
    """sum_t g_t a_t' is the gradient of a layer, whatever its strides: by autograd of each datum alone."""
    network, parameters, x = NETWORKS[name]
    linearised = Linearised.of(network, parameters)
    placed, none = Kronecker.start(linearised, x[:1])
    assert len(none.layers) == len(parameters)
    root = Categorical().root(placed.outputs({}, x))
    values, basis = none.added(placed, x, root).spectrum()
    turned = basis.into(root.mT @ placed.jacobian(x))
    one = torch.ones_like(values)
    torch.testing.assert_close(basis.covariance(placed, x, root, one, values), (turned * values) @ turned.mT)
    whole = gauss_newton(placed, x, root)
    values, laid = matrix(Diagonal, linearised, x, root)
    torch.testing.assert_close(values, gauss_newton(laid, x, root).diagonal().diag())
    rows, (_, none) = root.mT @ laid.jacobian(x), Diagonal.start(linearised, x[:1])
    own = none.spectrum().basis.covariance(laid, x, root, one, values.diagonal())
    torch.testing.assert_close(own, (rows * values.diagonal()) @ rows.mT)
    torch.testing.assert_close(basis.into(basis.out_of(whole)), whole)
    named = placed.layout.value.named(placed.vector())
    assert all(torch.equal(named[path], leaf) for path, leaf in placed.random().items())


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_padding_by_name_is_read_as_torch_does(padding):
    series, kernel = keys.normal(keys.key(6), (6, 2, 9), F64), keys.normal(keys.key(7), (3, 2, 4), F64)

    def network(parameters, x):
        return F.conv1d(x, parameters["weight"], padding=padding).tanh().mean(2)

    linearised = Linearised.of(network, {"weight": kernel})
    root = Gaussian(1.0).root(linearised.outputs({}, series))
    placed, none = Kronecker.start(linearised, series[:1])
    rows = root.mT @ placed.jacobian(series)
    (layer,) = taps.layers(placed, none.calls.value, series, root)
    read = torch.einsum("cntqo,ntqi->ncqoi", layer.gradients, layer.inputs).flatten(2)
    torch.testing.assert_close(read, rows)


@pytest.mark.parametrize("structure", [Kronecker, Diagonal, Full])
def test_batches_add_up_to_all_data(structure):
    linearised = Linearised.of(mlp.apply, DEEP)
    root = Categorical().root(linearised.outputs({}, X))
    linearised, total = structure.start(linearised, X[:1])
    whole = total.added(linearised, X, root)
    for at in (slice(0, 1), slice(1, 4), slice(4, 6)):
        total = total.added(linearised, X[at], root[at])
    trees.map(torch.testing.assert_close, total, whole)


def test_refusals():
    with pytest.raises(ValueError, match=r"network\(parameters, x\) \(n, c\), got \(6,\)"):
        Linearised.of(lambda p, x: mlp.apply(p, x)[:, 0], DEEP).outputs({}, X)
    with pytest.raises(TypeError, match="floating point"):
        Linearised.of(mlp.apply, {"a": torch.ones(3).long()})
    with pytest.raises(ValueError, match=r"finite, got NaN or inf in 0\.weight"):
        Linearised.of(mlp.apply, trees.map(lambda t: t * torch.nan, DEEP))
    with pytest.raises(ValueError, match=r"only of paths 0\.weight, .* got '3'"):
        Linearised.of(mlp.apply, DEEP, ("3",))
    with pytest.raises(TypeError, match="only, a tuple"):
        Linearised.of(mlp.apply, DEEP, "1")
