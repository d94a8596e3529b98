"""Curvatures of networks: Gauss-Newton is the Hessian less the network's own, and KFAC is that where it is exact."""

from functools import partial

import pytest
import torch
from torch.func import functional_call, hessian, jacrev
from torch.nn import functional as F

from jensen.core import keys, trees
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

F64, KEY = torch.float64, keys.key(11)
X = keys.normal(keys.key(1), (1, 6, 3), F64)[0]
Y = {
    "gaussian": keys.normal(keys.key(2), (1, 6, 2), F64)[0],
    "bernoulli": torch.tensor([[0.0, 1], [1, 1], [1, 0], [0, 0], [1, 1], [0, 1]], dtype=F64),
    "categorical": torch.tensor([0, 1, 1, 0, 1, 0]),
}
LIKELIHOODS = {"gaussian": Gaussian(0.4), "bernoulli": Bernoulli(), "categorical": Categorical()}
DEEP = mlp.init(KEY, (3, 4, 2), dtype=F64)


def matrix(structure, linearised, x, root):
    """A curvature as a matrix in its layout, and the network in that."""
    linearised, none = structure.start(linearised, x[:1])
    values, basis = none.added(linearised, x, root).spectrum()
    unit = torch.eye(len(values), dtype=values.dtype)
    return basis.into(unit).mul(values) @ basis.into(unit).T, linearised


def gauss_newton(linearised, x, root):
    """Of whatever layout, by Jacobians."""
    rows = (root.mT @ linearised.jacobian(x)).flatten(0, 1)
    return rows.T @ rows


def blocks(linearised, whole):
    """Only what is within a layer."""
    group = torch.cat([torch.full((g[0].rows * sum(p.columns for p in g),), i)
                       for i, g in enumerate(linearised.layout.value.groups)])  # fmt: skip
    return torch.where(group[:, None] == group, whole, 0.0)


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


def images(parameters, x):
    """Two convolutions of which one strides, pads and dilates, and a linear layer."""
    h = torch.tanh(conv.apply(parameters["a"], x, stride=2, padding=(1, 0), dilation=(1, 2)))
    h = torch.tanh(conv.apply(parameters["b"], h))
    return linear.apply(parameters["c"], h.flatten(1))


def series(parameters, x):
    """A convolution over time, a layer at each time, and one over all."""
    h = torch.tanh(conv.apply(parameters["a"], x, stride=2, padding=1))
    h = torch.tanh(linear.apply(parameters["b"], h.mT))
    return linear.apply(parameters["c"], h.flatten(1))


def channels(parameters, x):
    """A convolution in two groups of channels, a depthwise one that keeps its sides, and a linear layer of means."""
    h = torch.tanh(conv.apply(parameters["a"], x, stride=2, groups=2))
    b = parameters["b"]
    h = torch.tanh(F.conv2d(h, b["weight"], b["bias"], padding="same", dilation=(1, 2), groups=4))
    return linear.apply(parameters["c"], h.mean((2, 3)))


IMAGES = {"a": conv.init(keys.key(1), 2, 3, (3, 2), dtype=F64), "b": conv.init(keys.key(2), 3, 2, 2, dtype=F64),
          "c": linear.init(keys.key(3), 6, 2, dtype=F64)}  # fmt: skip
SERIES = {"a": conv.init(keys.key(1), 2, 3, (3,), dtype=F64), "b": linear.init(keys.key(2), 3, 2, dtype=F64),
          "c": linear.init(keys.key(3), 8, 2, dtype=F64)}  # fmt: skip
CHANNELS = {"a": conv.init(keys.key(1), 4, 4, (3, 2), groups=2, dtype=F64),
            "b": conv.init(keys.key(2), 4, 8, (1, 3), groups=4, dtype=F64),
            "c": linear.init(keys.key(3), 8, 2, dtype=F64)}  # fmt: skip
NETWORKS = {
    "channels": (channels, CHANNELS, keys.normal(keys.key(4), (6, 4, 7, 6), F64)),
    "perceptron": (mlp.apply, DEEP, X),
    "images": (images, IMAGES, keys.normal(keys.key(4), (6, 2, 7, 6), F64)),
    "series": (series, SERIES, keys.normal(keys.key(4), (6, 2, 8), F64)),
}


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
        torch.testing.assert_close(basis.diagonal(values), found[-1].diagonal())
    torch.testing.assert_close(*found)


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


@pytest.mark.parametrize("structure", [Kronecker, Diagonal, Full])
def test_batches_add_up_to_all_data(structure):
    linearised = Linearised.of(mlp.apply, DEEP)
    root = Categorical().root(linearised.outputs({}, X))
    linearised, total = structure.start(linearised, X[:1])
    whole = total.added(linearised, X, root)
    for at in (slice(0, 1), slice(1, 4), slice(4, 6)):
        total = total.added(linearised, X[at], root[at])
    trees.map(torch.testing.assert_close, total, whole)


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
