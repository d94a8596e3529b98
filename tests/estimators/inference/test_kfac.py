"""Kronecker factors of networks, beside Gauss-Newton where they are exact, and their planted faults."""

from functools import partial

import pytest
import torch
from torch.func import functional_call
from torch.nn import functional as F

from jensen.core import keys
from jensen.core.nn import conv, linear, mlp
from jensen.estimators.inference.curvature import (
    Bernoulli,
    Categorical,
    Diagonal,
    Full,
    Gaussian,
    Kronecker,
    Linearised,
    taps,
)
from tests.estimators.inference.curvatures import (
    CHANNELS,
    DEEP,
    F64,
    KEY,
    LIKELIHOODS,
    NETWORKS,
    X,
    blocks,
    gauss_newton,
    matrix,
)


def exact_blocks(network, parameters, x, likelihood):
    """KFAC, and Gauss-Newton within layers."""
    linearised = Linearised.of(network, parameters)
    root = likelihood.root(linearised.outputs({}, x))
    found, placed = matrix(Kronecker, linearised, x, root)
    return found, blocks(placed, gauss_newton(placed, x, root))


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_kfac_is_exact_within_layers_of_one_datum(name):
    torch.testing.assert_close(*exact_blocks(mlp.apply, DEEP, X[:1], LIKELIHOODS[name]))


def test_kfac_is_exact_within_layers_of_a_deep_linear_network_with_gaussian_noise():
    """Gradients are then the same for all data (Bernacchia et al., 2018)."""
    deep = partial(mlp.apply, activation=lambda h: h)
    torch.testing.assert_close(*exact_blocks(deep, DEEP, X, Gaussian(0.4)))
    found, exact = exact_blocks(deep, DEEP, X, Categorical())
    assert (found - exact).abs().max() > 0.01


def test_kfac_is_the_mean_over_pairings_of_inputs_with_gradients():
    """A kron G / n: n times the mean of a a' kron g g' with a and g of any two data."""
    linearised = Linearised.of(mlp.apply, DEEP)
    root = Categorical().root(linearised.outputs({}, X))
    found, placed = matrix(Kronecker, linearised, X, root)
    calls = taps.called(placed, X[:1])
    parts = []
    for layer in taps.layers(placed, calls, X, root):
        a, g = layer.inputs[:, 0, 0], layer.gradients[:, :, 0, 0]
        pairs = sum(torch.kron(g[:, j].T @ g[:, j], torch.outer(a[i], a[i])) for i in range(6) for j in range(6))
        parts.append(pairs / 6)
    torch.testing.assert_close(found, torch.block_diag(*parts))


def shared(parameters, x):
    """A deep linear network at each of several places (n, t, 3)."""
    return mlp.apply(parameters, x, activation=lambda h: h)


SETS = keys.normal(keys.key(5), (6, 4, 3), F64)
SHARING = {
    "kfac of places with outputs of their own": (Kronecker.start, lambda p, x: shared(p, x).flatten(1)),
    "kfac-reduce of the places' mean": (partial(Kronecker.start, reduce=True), lambda p, x: shared(p, x).mean(1)),
}


@pytest.mark.parametrize("name", SHARING)
def test_kfac_of_places_that_share_weights_is_exact_where_it_is_made_for_and_nowhere_else(name):
    """Eschenhagen et al., 2023, section 3: within layers of a deep linear network with Gaussian noise."""
    start, network = SHARING[name]
    linearised = Linearised.of(network, DEEP)
    root = Gaussian(0.4).root(linearised.outputs({}, SETS))
    for each, _ in SHARING.values():
        placed, none = each(linearised, SETS[:1])
        values, basis = none.added(placed, SETS, root).spectrum()
        unit = torch.eye(len(values), dtype=F64)
        found = basis.into(unit).mul(values) @ basis.into(unit).T
        off = (found - blocks(placed, gauss_newton(placed, SETS, root))).abs().max()
        assert (off < 1e-10) if each is start else (off > 0.01)


def test_kfac_reduce_is_kfac_at_one_place():
    linearised = Linearised.of(mlp.apply, DEEP)
    root = Categorical().root(linearised.outputs({}, X))
    (placed, none), (_, reduced) = (
        start(linearised, X[:1]) for start in (Kronecker.start, partial(Kronecker.start, reduce=True))
    )
    torch.testing.assert_close(
        none.added(placed, X, root).spectrum().eigenvalues, reduced.added(placed, X, root).spectrum().eigenvalues
    )


@pytest.mark.parametrize("reduce", [False, True])
def test_groups_of_channels_are_convolutions_beside_each_other(reduce):
    """A block for each group: that of two convolutions which read half of the channels each."""
    whole = CHANNELS["a"]
    halves = {str(i): {name: t.unflatten(0, (2, 2))[i] for name, t in whole.items()} for i in (0, 1)}
    x = NETWORKS["channels"][2]

    def together(parameters, x):
        return torch.tanh(conv.apply(parameters, x, stride=2, groups=2)).mean((2, 3))

    def apart(parameters, x):
        each = [conv.apply(parameters[str(i)], x[:, 2 * i : 2 * i + 2], stride=2) for i in (0, 1)]
        return torch.tanh(torch.cat(each, 1)).mean((2, 3))

    found = []
    for network, parameters in ((together, whole), (apart, halves)):
        linearised = Linearised.of(network, parameters)
        root = Categorical().root(linearised.outputs({}, x))
        placed, none = Kronecker.start(linearised, x[:1], reduce)
        values, basis = none.added(placed, x, root).spectrum()
        unit = torch.eye(len(values), dtype=F64)
        found.append(basis.into(unit).mul(values) @ basis.into(unit).T)
    torch.testing.assert_close(*found)


PLANTED = {
    "no number of data": lambda layer: layer._replace(places=torch.ones_like(layer.places)),
    "factors exchanged": lambda layer: layer._replace(inputs=layer.gradients, gradients=layer.inputs),
    "damped factors": lambda layer: layer._replace(
        inputs=layer.inputs + 0.01 * torch.eye(3, dtype=F64), gradients=layer.gradients + 0.01 * torch.eye(3, dtype=F64)
    ),
}


@pytest.mark.parametrize("planted", [None, *PLANTED])
def test_planted_faults_of_kfac_are_found(planted):
    """In a square layer, whose factors can be exchanged."""

    def square(parameters, x):
        return F.linear(x, parameters["weight"])

    linearised = Linearised.of(square, {"weight": keys.normal(KEY, (3, 3), F64)})
    root = Gaussian(0.4).root(linearised.outputs({}, X)) * torch.tensor([1.0, 2.0, 3.0], dtype=F64)
    linearised, none = Kronecker.start(linearised, X[:1])
    found = none.added(linearised, X, root)
    if planted is not None:
        found = found._replace(layers=tuple(PLANTED[planted](layer) for layer in found.layers))
    values, basis = found.spectrum()
    unit = torch.eye(9, dtype=F64)
    near = torch.allclose(basis.into(unit).mul(values) @ basis.into(unit).T, gauss_newton(linearised, X, root))
    assert near == (planted is None)


def test_modules_of_torch_are_networks_too():
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2)).double()
    named = {name: p.detach() for name, p in module.named_parameters()}

    def network(parameters, x):
        return functional_call(module, parameters, (x,))

    torch.testing.assert_close(*exact_blocks(network, named, X[:1], Bernoulli()))


def test_what_has_no_factors_is_refused_and_has_a_diagonal():
    refused = {
        r"no linear layer .* convolution": lambda p, x: x @ p["weight"].T,
        "in several calls": lambda p, x: F.linear(F.linear(x, p["weight"]), p["weight"]),
        "not one row per datum": lambda p, x: F.linear(x.reshape(-1, 3), p["weight"]).reshape(len(x), -1)[:, :2],
    }
    parameters = {"weight": keys.normal(KEY, (3, 3), F64)}
    for said, network in refused.items():
        x = X if "row" not in said else X.repeat(1, 2)
        linearised = Linearised.of(network, parameters)
        with pytest.raises(ValueError, match=rf"got weight.*{said}.*take diagonal"):
            Kronecker.start(linearised, x[:1])
        root = Gaussian(1.0).root(linearised.outputs({}, x))
        values, laid = matrix(Diagonal, linearised, x, root)
        torch.testing.assert_close(values.diagonal(), gauss_newton(laid, x, root).diagonal())
    wide = linear.init(KEY, 200, 60)
    with pytest.raises(ValueError, match=r"10000 parameters, got 12060, .* 0\.582 GB: take kfac"):
        Full.start(Linearised.of(linear.apply, wide), torch.ones(1, 200))
