"""Generators as programs: laws, distances and modes by hand, refusals."""

import itertools
import json
import math

import pytest
import torch

from jensen import laws
from jensen.core import keys
from jensen.core.models.adversarial import gan
from jensen.core.models.adversarial.smoothness import R1R2, Spectral
from jensen.core.models.transport import diffusion, fields, flow_matching, noise_levels
from jensen.experiments import evaluate, train
from jensen.experiments.data.batches import Epochs
from jensen.experiments.data.points import PointData
from jensen.experiments.programs.generation import AdversarialProgram, TransportProgram, energy_score
from jensen.experiments.report import points as report
from jensen.experiments.run.optimisers import Optimiser
from tests.experiments.process import run

KEY = keys.key(0)
X = keys.normal(KEY, (1, 12, 2))[0]


@pytest.mark.parametrize("smooth", [R1R2(), Spectral()], ids=["r1-r2", "spectral"])
def test_adversaries_keep_the_laws_of_programs(smooth):
    """Turns of the critic and of the generator, two optimisers, a power iteration, resumed bit for bit."""
    model = gan.mlp(2, 2, (4,), smooth=smooth)
    laws.check(AdversarialProgram(model, Epochs(12, 4), 2, 0.9, Optimiser(), "points"), example=X)


@pytest.mark.parametrize("build", [flow_matching.build, lambda field: diffusion.build(field, noise_levels.linear(4))])
def test_fields_keep_the_laws_of_programs(build):
    model = build(fields.mlp(2, (4,)))
    laws.check(TransportProgram(model, Epochs(12, 4), Optimiser(), "points", model.sample, lambda *_: []), example=X)


def test_the_average_follows_the_generator_and_is_what_is_judged():
    model = gan.mlp(2, 2, (4,))
    program = AdversarialProgram(model, Epochs(12, 4), 1, 0.75, Optimiser(), "points")
    params, state = program.init(KEY, X)
    moved = {**params, "generator": torch.utils._pytree.tree_map(lambda t: t + 1, params["generator"])}
    out = program.generator(moved, state, {"data": X[:4]}, KEY, {})
    before, after = (tree["generator"]["0"]["weight"] for tree in (params, moved))
    torch.testing.assert_close(out.state["average"]["0"]["weight"], 0.75 * before + 0.25 * after)
    drawn = program.sample(moved, out.state, KEY, 3)
    assert torch.equal(drawn, model.sample({**moved, "generator": out.state["average"]}, KEY, 3))


def test_wasserstein_is_the_best_of_all_pairings():
    x, y = X[:5], X[5:10] + 1
    best = min(sum((x[i] - y[j]).norm() for i, j in enumerate(order)) / 5 for order in itertools.permutations(range(5)))
    assert report.wasserstein(x, y) == pytest.approx(best.item(), rel=1e-6)
    assert report.wasserstein(x, x + torch.tensor([3.0, 4.0])) == pytest.approx(5, rel=1e-6)
    line, moved = X[:, :1], 2 * X[:, :1].flip(0)
    in_order = (line.sort(0).values - moved.sort(0).values).abs().mean().item()
    assert report.wasserstein(line, moved) == pytest.approx(in_order)


def test_shuffled_points_keep_their_coordinates_alone():
    x = torch.arange(2000.0)[:, None].expand(-1, 3)
    y = report.shuffled(x, KEY)
    assert torch.equal(y.sort(0).values, x)
    assert (torch.corrcoef(y.T) - torch.eye(3)).abs().max() < 4.5 / 2000**0.5


def test_modes_are_not_counted_of_a_smear():
    """Points everywhere come near every centre, and few of them are near any."""
    centres = PointData(data="ring").load(0).centres
    angle = torch.linspace(0, 2 * math.pi, 801)[:-1]
    smear = 2 * torch.stack([angle.cos(), angle.sin()], 1)
    found, near = report.modes(smear, centres)
    assert found == 8
    assert near < 0.3
    one = centres[0] + 0.05 * keys.normal(KEY, (1, 800, 2))[0]
    assert report.modes(one, centres) == (1, pytest.approx(1, abs=0.01))


@pytest.mark.parametrize(("name", "modes"), [("ring", 8), ("grid", 25)])
def test_points_are_where_they_are_said_to_be(name, modes):
    points = PointData(data=name, points=3000).load(0)
    for part in (points.train, points.test):
        assert report.modes(part, points.centres) == (modes, pytest.approx(1 - math.exp(-8), abs=2e-3))
    other = PointData(data=name, points=3000).load(1)
    assert torch.equal(points.test, other.test)
    assert not torch.equal(points.train, other.train)


def test_the_energy_score_is_best_for_the_datas_own_distribution():
    draws = keys.normal(KEY, (1, 4000, 2))[0]
    x = keys.normal(keys.fold_in(KEY, 1), (1, 2000, 2))[0]
    scores = [
        energy_score(scale * draws + shift, x) for scale, shift in ((1.0, 0.0), (1.3, 0.0), (0.7, 0.0), (1.0, 0.5))
    ]
    for wrong in scores[1:]:
        lost = scores[0] - wrong
        assert lost.mean() > 4 * lost.std() / len(x) ** 0.5


FAST = ["--no-compile", "--steps", 6, "--batch", 8, "--hidden", 4, "--checkpoint-every", 4]
FAST += ["--lr-final", 1]


@pytest.fixture
def few(monkeypatch):
    """Reports of a few points, for their distances take longer than a short run."""
    monkeypatch.setattr("jensen.experiments.report.points.COMPARED", 30)
    monkeypatch.setattr("jensen.experiments.report.points.DRAWN", 60)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (["gan", "--smooth", "spectral", "--critics", 2], "gan on ring: wasserstein game, spectral critic, 6 steps"),
        (["diffusion", "--noise-steps", 5, "--dtype", "float64"], "diffusion of 5 linear levels on moons, 6 steps"),
        (
            ["diffusion", "--noise-steps", 9, "--draw-steps", 3, "--data", "grid", "--dtype", "float64"],
            "of 9 linear levels on grid",
        ),
        (
            ["flow", "--draw-steps", 2, "--data", "digits", "--dtype", "float64"],
            "flow matching on digits, 6 steps, drawn by 2 of rk4",
        ),
    ],
)
def test_commands_train_and_resume_to_the_same_bits(kind, said, tmp_path, refused, few):
    assert said in run(*kind, *FAST, "--out", tmp_path / "run")
    run(*kind, *FAST, "--steps", 4, "--out", tmp_path / "part")
    run("--resume", tmp_path / "part", "--steps", 6)
    whole, part = (json.loads((tmp_path / name / "report.json").read_text())["findings"] for name in ("run", "part"))
    assert whole == part
    assert len({(tmp_path / name / "figures" / "points.png").read_bytes() for name in ("run", "part")}) == 1
    assert "which has no latents" in refused(evaluate.main, tmp_path / "run")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["gan", "--hidden", 0], "expected --hidden of at least 1, got 0"),
        (["diffusion", "--noise-steps", 1], "expected --noise-steps of at least 2, got 1"),
        (["diffusion", "--draw-steps", 300], "expected --draw-steps from 1 to 200, got 300"),
        (["flow", "--draw-steps", 0], "expected --draw-steps of at least 1, got 0"),
        (["flow", "--dtype", "bfloat16"], "distances of points need more digits than --dtype bfloat16 has"),
        (["flow", "--points", 10], "--batch 256 exceeds the 10 training points"),
    ],
)
def test_refusals(options, message, refused, tmp_path):
    assert message in refused(train.main, *options, "--out", tmp_path / "run")
