"""Models of exact likelihood as programs: laws, simple densities and floors by hand, bounds of levels, refusals."""

import json
import math

import numpy as np
import pytest
import torch
from scipy import integrate, special, stats

from jensen import laws
from jensen.core import keys
from jensen.core.models.autoregressive import made
from jensen.core.models.transport import normalising
from jensen.experiments import train
from jensen.experiments.data.batches import Epochs
from jensen.experiments.data.images import ImageData, digits
from jensen.experiments.data.points import PointData
from jensen.experiments.programs.maximum_likelihood import MaximumLikelihood
from jensen.experiments.programs.normalising import CELL, spread
from jensen.experiments.programs.pixels import Pixels
from jensen.experiments.report import densities
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.settings import Run
from tests.experiments.process import run

KEY = keys.key(0)
X = keys.normal(KEY, (1, 12, 2))[0]


def program(model, taken):
    return MaximumLikelihood(
        model, Epochs(12, 4), Optimiser(), "title", taken, lambda x: x, lambda *_: {}, lambda *_: []
    )


@pytest.mark.parametrize(
    ("model", "taken"),
    [(normalising.build(2, couplings=2, hidden=(4,)), spread), (made.build(2, 3, (6,)), lambda x, key: (x > 0).long())],
    ids=["flow", "made"],
)
def test_they_keep_the_laws_of_programs(model, taken):
    laws.check(program(model, taken), example=X)


def test_simple_densities_are_scipys():
    train, test = X[:9].double(), X[9:].double()
    found = densities.simple(train, test)
    normal = stats.multivariate_normal(train.numpy().mean(0), np.cov(train.numpy().T))
    np.testing.assert_allclose(found[densities.NORMAL], normal.logpdf(test.numpy()), rtol=1e-9)
    (kernels,) = (values for name, values in found.items() if name != densities.NORMAL)
    widths = (densities.WIDTHS.double() * train.std(0).mean()).tolist()

    def mixture(centres, x, width):
        exponents = -((x[:, None] - centres) ** 2).sum(-1) / (2 * width**2)
        return special.logsumexp(exponents, 1) - math.log(len(centres) * 2 * math.pi * width**2)

    best = max(widths, key=lambda width: mixture(train.numpy()[4:], train.numpy()[:4], width).mean())
    np.testing.assert_allclose(kernels, mixture(train.numpy(), test.numpy(), best), rtol=1e-6)


def test_the_rings_own_density_integrates_to_1_and_no_other_is_above_it():
    ring = PointData(data="ring", points=2000).load(0)
    axis = torch.linspace(-2.4, 2.4, 241)
    grid = torch.cartesian_prod(axis, axis)
    (log_p,) = densities.known(ring._replace(test=grid)).values()
    assert (log_p.exp().sum() * (axis[1] - axis[0]) ** 2).item() == pytest.approx(1, abs=1e-3)
    (own,) = densities.known(ring).values()
    for values in densities.simple(ring.train, ring.test).values():
        lost = own - values
        assert lost.mean() > 4 * lost.std() / len(lost) ** 0.5


def test_noise_over_cells_bounds_the_probability_of_levels():
    """E log p(x + noise) + log cell <= log P(cell): by quadrature, of a normal far from uniform in a cell."""
    scale, level = 0.05, 0.25
    x = torch.full((20_000, 1), level)
    log_p = torch.distributions.Normal(0.3, scale).log_prob(spread(x, KEY)[:, 0])
    mass, _ = integrate.quad(lambda t: stats.norm(0.3, scale).pdf(t), level - CELL / 2, level + CELL / 2)
    row = densities.compared(log_p, {densities.NORMAL: log_p - 1}, {}, 1, CELL).rows[0]
    assert row["mean"] + 4 * row["error"] < math.log(mass)
    exact, _ = integrate.quad(lambda t: stats.norm(0.3, scale).logpdf(t) / CELL, level - CELL / 2, level + CELL / 2)
    assert row["mean"] == pytest.approx(exact + math.log(CELL), abs=4 * row["error"])
    assert row["bits_per_dim"] == pytest.approx(-row["mean"] / math.log(2))


def test_levels_of_digits_go_in_and_out_and_their_floor_is_by_counts():
    settings = Pixels(images=ImageData(pixels="grey"), model="made", hidden=(4,), run=Run(batch=50))
    prepared = settings.prepare()
    x, counted = digits().train, prepared.program.taken(digits().train, KEY)
    assert torch.equal(counted, (16 * x).long())
    assert torch.equal(prepared.program.returned(counted), x)
    params, state = prepared.program.init(KEY, prepared.train)
    _, found = prepared.program.report(params, state, prepared.data, KEY)
    table = np.stack([(counted.numpy() == level).sum(0) for level in range(17)]) + 1 / 17
    levels = (16 * digits().test).long().numpy()
    nll = -np.log(table[levels, np.arange(64)] / (len(x) + 1)).sum(1).mean()
    test, _, independent = found.rows
    assert independent["nll"] == pytest.approx(nll, rel=1e-9)
    assert test["nll"] == pytest.approx(nll, rel=1e-5)  # where training starts
    assert test["bits_per_dim"] == pytest.approx(nll / 64 / math.log(2), rel=1e-5)


FAST = ["--no-compile", "--steps", 6, "--batch", 8, "--checkpoint-every", 4, "--lr-final", 1, "--dtype", "float64"]


@pytest.fixture
def few(monkeypatch):
    """Reports of a few points and images, which take longer than a short run."""
    monkeypatch.setattr("jensen.experiments.report.points.COMPARED", 30)
    monkeypatch.setattr("jensen.experiments.report.densities.CELLS", 10)
    monkeypatch.setattr("jensen.experiments.report.points.DRAWN", 60)
    monkeypatch.setattr("jensen.experiments.programs.pixels.PASSES", 64)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        pytest.param(
            ["normalising", "--points", 40, "--couplings", 2, "--hidden", 4],
            "normalising flow on moons: 2 spline couplings of 8 bins, 6 steps",
            marks=pytest.mark.slow,
        ),
        (
            ["normalising", "--transform", "affine", "--couplings", 2, "--hidden", 4, "--data", "digits"],
            "normalising flow on digits: 2 affine couplings (RealNVP), 6 steps",
        ),
        (["pixels", "--features", 2, "--layers", 1], "PixelCNN of 1 layers on digits: 360 test images of 2 levels"),
        (
            ["pixels", "--model", "made", "--hidden", 8, "--pixels", "grey"],
            "MADE on digits: 360 test images of 17 levels, 6 steps",
        ),
    ],
)
def test_commands_train_and_resume_to_the_same_bits(kind, said, tmp_path, few):
    assert said in run(*kind, *FAST, "--out", tmp_path / "run")
    run(*kind, *FAST, "--steps", 4, "--out", tmp_path / "part")
    run("--resume", tmp_path / "part", "--steps", 6)
    whole, part = (json.loads((tmp_path / name / "report.json").read_text())["findings"] for name in ("run", "part"))
    assert whole == part


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "finding", "least"), [("moons-splines", "log p", 0.8), ("digits-made", "likelihood", 4.5),
                                     ("digits-pixel-cnn", "likelihood", 4)]
)  # fmt: skip
def test_recipes_gain_on_their_floors(recipe, finding, least, tmp_path):
    run(recipe, "--out", tmp_path / "run")
    ours, *_ = rows = json.loads((tmp_path / "run" / "report.json").read_text())["findings"][finding]
    gain = rows[2]["nll"] - ours["nll"] if finding == "likelihood" else ours["mean"] - rows[1]["mean"]
    assert gain > least


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["normalising", "--data", "mnist"], "784 pixels are too many for couplings of perceptrons: use train pixels"),
        (["normalising", "--couplings", 3], "expected --couplings, an even number, got 3"),
        (["normalising", "--couplings", 0], "expected --couplings of at least 1, got 0"),
        (["normalising", "--bins", 1], "--bins 1 and --bound 4.0: expected bins, a whole number >= 2, got 1"),
        (["normalising", "--bound", -1], "expected bound in (0, inf), got -1.0"),
        (["normalising", "--transform", "affine", "--bins", 4], "affine couplings have no --bins: leave it out"),
        (["normalising", "--hidden", 0], "expected --hidden of at least 1, got 0"),
        (["normalising", "--dtype", "bfloat16"], "distances of points need more digits than --dtype bfloat16"),
        (["pixels", "--levels", 4], "--levels 4 is of grey pixels, and these are binary: add --pixels grey"),
        (["pixels", "--pixels", "grey", "--levels", 1], "expected --levels from 2 to 256, got 1"),
        (["pixels", "--pixels", "grey", "--dtype", "bfloat16"], "grey levels need more digits than --dtype bfloat16"),
        (["pixels", "--data", "patches"], "patches are white, and have no levels of pixels"),
        (["pixels", "--kernel", 2], "expected --kernel, an odd number, got 2"),
        (["pixels", "--hidden", 9], "pixel-cnn has no --hidden: leave it out, or use --model made"),
        (["pixels", "--model", "made", "--layers", 9], "made has no --layers: leave it out, or use --model pixel-cnn"),
        (["pixels", "--features", 0], "expected --features of at least 1, got 0"),
    ],
)
def test_refusals(options, message, refused, tmp_path):
    assert message in refused(train.main, *options, "--out", tmp_path / "run")
