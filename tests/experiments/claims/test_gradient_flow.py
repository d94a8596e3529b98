"""Gradients are those of the network they are said to be of, bounds are products of slopes, and zeros are counted."""

import json
import math

import pytest
import torch

from jensen.core import keys
from jensen.experiments.claims import gradient_flow
from jensen.experiments.claims.deep_networks import REMEDIES, Stack, input_gradients, sigmoid_bounds
from jensen.experiments.claims.gradient_flow import GROWTH, Gradient, Settings, bounds, growth, run
from jensen.experiments.claims.relu_zeros import leaky_relu, zeros, zeros_at_start

KEY = keys.key(0)
FEW = {"depths": (2, 4), "width": 16, "data": 8, "networks": 2, "hidden": (8, 8), "rates": (1e-2,), "steps": 5}


@pytest.mark.parametrize("remedy", REMEDIES)
def test_norms_are_those_of_the_jacobian_by_torch(remedy):
    stack = Stack(torch.tanh, torch.nn.init.normal_, remedy)
    stack = stack._replace(weight=lambda key, shape, dtype: keys.normal(key, shape, dtype))
    layers = stack.init(KEY, 5, 4)
    x_key, v_key = keys.split(keys.key(1))
    x, v = (keys.normal(each, (3, 5), torch.float64) for each in (x_key, v_key))
    v = v / v.norm(dim=-1, keepdim=True)
    jacobian = torch.autograd.functional.jacobian(lambda x: stack.apply(layers, x), x)
    by_hand = torch.einsum("nh,nhmd->md", v, jacobian).norm(dim=-1)
    torch.testing.assert_close(input_gradients(stack, layers, keys.key(1), 3), by_hand)


def test_a_layer_is_torchs_own():
    weight = keys.normal(KEY, (4, 4), torch.float64)
    x, params = keys.normal(keys.key(1), (6, 4), torch.float64), {"weight": weight, "bias": torch.zeros(4).double()}
    h = x @ weight.T
    normed = {"none": h, "batch norm": (h - h.mean(0)) / (h.var(0, correction=0) + 1e-5).sqrt(),
              "layer norm": (h - h.mean(1, True)) / (h.var(1, correction=0, keepdim=True) + 1e-5).sqrt()}  # fmt: skip
    for remedy, pre in normed.items():
        stack = Stack(torch.sigmoid, lambda *of: weight, remedy)
        torch.testing.assert_close(stack.layer(params, x), torch.sigmoid(pre))


def test_a_sigmoids_bound_is_reached_by_a_scalar_network_at_zero():
    """One unit of weight w and pre-activations of 0: each layer's slope is w / 4 exactly."""
    layers = [{"weight": torch.full((1, 1), w).double(), "bias": torch.tensor([-0.5 * w]).double()} for w in (3.0, 0.5)]
    layers[0]["bias"] = torch.zeros(1).double()
    product, power = sigmoid_bounds(layers)
    assert product == pytest.approx(math.log(0.75 * 0.125))
    assert power == pytest.approx(2 * math.log(0.75))
    stack = Stack(torch.sigmoid, lambda *of: None, "none")
    slope = torch.func.grad(lambda x: stack.apply(layers, x).sum())(torch.zeros(1, 1).double())
    assert slope.item() == pytest.approx(math.exp(product))


def test_a_gradient_above_its_bound_and_a_growth_that_is_none_are_off():
    """Planted: a slope of 0.5 in a sigmoid's place, and a batch normalisation without effect."""
    wrong = Gradient("sigmoid", "He", "none", 2, 1.0, 0.0, 4.0, 0.9, 0.1)
    assert [row.quantity for row in bounds([wrong]) if not row.holds] == ["He: |gradient| / Π 0.25 |W_l|"]
    each = [Gradient("ReLU", "He", "batch norm", depth, norm, 0.0) for depth, norm in ((2, 1.0), (6, 1.0))]
    assert not growth(each).holds
    assert growth([each[0], each[1]._replace(norm=GROWTH**4)]).holds


def test_zeros_are_shares_of_units_and_of_data():
    params = {"0": {"weight": torch.tensor([[1.0], [-1.0], [0.0]]), "bias": torch.tensor([0.0, 0.0, -1.0])},
              "1": {"weight": torch.tensor([[1.0, 0, 0], [0, 1, 0]]), "bias": torch.zeros(2)}}  # fmt: skip
    data = {"x": torch.tensor([[1.0], [2.0], [-1.0]]), "labels": torch.tensor([0, 1, 1])}
    found = zeros("ReLU", torch.relu, params, data, 0.1, "trained")
    assert found.zero == [pytest.approx(6 / 9)]
    assert found.silent == [pytest.approx(1 / 3)]
    assert found.accuracy == pytest.approx(2 / 3)
    assert zeros("leaky ReLU", leaky_relu, params, data, 0.1, "trained").zero == [0.0]
    assert zeros_at_start(KEY, 64, 3, 32).shape == (3,)


def test_rows_figures_and_tables(tmp_path, capsys):
    options = [each for name, value in FEW.items() for each in (f"--{name}", *_words(value))]
    gradient_flow.main([*options, "--out", str(tmp_path)])
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert sum("remedy" in row for row in rows) == 3 * 3 * 4 * 2
    assert sum("holds" in row for row in rows) == 6 + 2 + 1 + 1
    assert all(row["holds"] for row in rows if row.get("part", "").startswith("sigmoid"))
    assert len((tmp_path / "zeros.jsonl").read_text().splitlines()) == 4
    assert {path.name for path in tmp_path.glob("*.png")} == {"gradients.png", "zeros.png"}
    said = capsys.readouterr().out
    assert "ReLU, trained at 0.01" in said
    assert "factor by layer" in said


def _words(value):
    return map(str, value) if isinstance(value, tuple) else (str(value),)


@pytest.mark.slow
def test_every_figure_holds(tmp_path):
    rows = run(Settings(out=tmp_path, steps=1))[2]
    assert rows
    assert [row for row in rows if not row.holds] == []


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--depths", "3", "4"], "--depths 3 4: expected two even numbers or more"),
        (["--depths", "4", "2"], "--depths 4 2: expected them in rising order"),
        (["--networks", "1"], "expected --networks of at least 2, got 1"),
        (["--rates", "0"], "expected --rates of step sizes in (0, 1]"),
        (["--seed", "-1"], "expected --seed in [0, 2^63)"),
    ],
)
def test_bad_input_is_one_clear_line(args, message, tmp_path, monkeypatch, refused):
    monkeypatch.chdir(tmp_path)
    assert message in refused(gradient_flow.main, *args)
    assert not list(tmp_path.iterdir())
