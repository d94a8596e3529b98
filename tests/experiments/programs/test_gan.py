"""Adversarial models of points and images: the lecture's networks, data in [-1, 1], refusals, recipes."""

import json

import pytest
import torch
from torch.nn import functional as F

from jensen.core import keys, trees
from jensen.experiments import train
from jensen.experiments.data.batches import Epochs
from jensen.experiments.data.points import PointData
from jensen.experiments.programs import Gan
from jensen.experiments.recipes.generators import mnist_wgan_gp
from tests.experiments.data.test_images import write_mnist
from tests.experiments.process import run

KEY = keys.key(0)


def test_mnist_has_pixels_in_the_generators_range(tmp_path):
    write_mnist(tmp_path)
    points = PointData(data="mnist", data_dir=tmp_path).load(0)
    assert (points.train.shape, points.test.shape, len(points.centres)) == ((6, 784), (4, 784), 0)
    assert (points.train.min(), points.train.max()) == (-1, 1)


def test_the_networks_of_the_lecture():
    """100-256-512-784 with ReLU and tanh, 784-512-256-1 with a leak of 0.2, five steps of the critic, by hand."""
    recipe = mnist_wgan_gp()
    program = recipe.program(Epochs(128, 64), 784, 10)
    params, _ = program.init(KEY, torch.zeros(1, 784))
    weights = {path: tuple(t.shape) for path, t in trees.paths(params).items() if path.endswith("weight")}
    assert weights == {
        "generator.0.weight": (256, 100),
        "generator.1.weight": (512, 256),
        "generator.2.weight": (784, 512),
        "critic.0.weight": (512, 784),
        "critic.1.weight": (256, 512),
        "critic.2.weight": (1, 256),
    }
    z, x = keys.normal(KEY, (1, 3, 100))[0], keys.uniform(KEY, (1, 3, 784))[0]
    for network, given, activation in (
        ("generator", z, F.relu),
        ("critic", x, lambda t: torch.where(t > 0, t, 0.2 * t)),
    ):
        h = given
        for i in range(3):
            h = F.linear(h, params[network][str(i)]["weight"], params[network][str(i)]["bias"])
            h = activation(h) if i < 2 else h
        found = (program.model.generate if network == "generator" else program.model.criticise)(params[network], given)
        torch.testing.assert_close(found, h.tanh() if network == "generator" else h[:, 0])
    assert [turn.groups for turn in program.turns] == 5 * [("critic",)] + [("generator",)]
    assert program.model.smooth.weight == 10.0
    optimiser = program.optimisers["critic"]
    assert (optimiser.lr, optimiser.beta1, optimiser.beta2) == (1e-4, 0.5, 0.9)


def test_images_are_drawn_in_their_range_by_the_average_where_there_is_one():
    program = Gan(points=PointData(data="digits"), hidden=(4,)).program(Epochs(12, 4), 64, 10)
    params, state = program.init(KEY, torch.zeros(1, 64))
    params = {**params, "generator": trees.map(lambda t: t + 1, params["generator"])}
    drawn = program.sample(params, state, KEY, 5)
    assert drawn.shape == (5, 64)
    assert drawn.abs().max() <= 1
    assert torch.equal(drawn, program.model.sample({**params, "generator": state["average"]}, KEY, 5))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--critics", 0], "expected --critics of at least 1, got 0"),
        (["--latent", 0], "expected --latent of at least 1, got 0"),
        (["--strength", -1], "--strength: expected weight in (0, inf), got -1"),
        (["--smooth", "spectral", "--strength", 1], "--smooth spectral has no --strength: leave it out"),
        (["--generator-average", 1], "expected --generator-average in [0, 1), got 1"),
        (["--leak", 2], "expected --leak in [0, 1], got 2"),
        (["--leak", 0.2, "--activation", "relu"], "--leak is for --activation or --critic-activation leaky_relu"),
        (["--data", "digits", "--points", 10], "--points is for points in the plane, and digits are images"),
        (["--data-dir", "."], "--data-dir holds MNIST's files and ring needs none: use --data mnist, or drop it"),
        (["--data", "mnist", "--data-dir", "no such"], "--data-dir no such is no folder"),
        (["--data", "mnist", "--data-dir", "."], "has neither train-images-idx3-ubyte nor"),
    ],
)
def test_refusals(options, message, refused, tmp_path):
    assert message in refused(train.main, "gan", *options, "--out", tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize(("recipe", "modes"), [("ring-wgan-gp", 8), ("ring-r3gan", 8), ("grid-r3gan", 25)])
def test_recipes_find_every_mode_and_stay_near_one(recipe, modes, tmp_path):
    print(run(recipe, "--out", tmp_path / "run"))
    rows = json.loads((tmp_path / "run" / "report.json").read_text())["findings"]["points"]
    found = {row["name"]: row["value"] for row in rows}
    assert found["modes"] == modes
    assert found["near"] >= 0.9
    assert modes == 25 or found["wasserstein"] < 0.1


@pytest.mark.slow
def test_digits_are_nearer_to_data_than_shuffled_pixels_are(tmp_path):
    print(run("digits-r3gan", "--out", tmp_path / "run"))
    rows = json.loads((tmp_path / "run" / "report.json").read_text())["findings"]["points"]
    assert rows[0]["value"] < 0.9 * rows[0]["of_shuffled"]
