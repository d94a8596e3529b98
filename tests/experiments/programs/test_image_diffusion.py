"""Diffusions of images as programs: bits of pixels beside those of independent ones, and a transformer of patches."""

import json
import math

import pytest

from jensen.core import keys
from jensen.core.models.transport import weightings
from jensen.core.models.transport.pixel_diffusion import PixelDiffusion
from jensen.experiments import train
from jensen.experiments.data.points import PointData
from jensen.experiments.programs import Diffusion
from jensen.experiments.programs import diffusion as program
from jensen.experiments.run.settings import Run
from tests.experiments.process import run

FAST = ["diffusion", "--data", "digits", "--no-compile", "--steps", 3, "--batch", 8, "--noise-steps", 4]


@pytest.fixture
def few(monkeypatch):
    """Reports of a few images."""
    monkeypatch.setattr("jensen.experiments.report.points.COMPARED", 30)
    monkeypatch.setattr("jensen.experiments.report.points.DRAWN", 60)
    monkeypatch.setattr(program, "BOUNDED", 9)


@pytest.mark.parametrize("network", [("--hidden", 4), ("--network", "dit", "--width", 4, "--heads", 2, "--layers", 1)])
def test_reports_have_bits_of_a_pixel(network, tmp_path, few):
    said = run(*FAST, *network, "--out", tmp_path / "run")
    assert "bits/dim are at most" in said
    findings = json.loads((tmp_path / "run/report.json").read_text())["findings"]
    bits, independent = (row["mean"] for row in findings["bits"])
    nats = {row["name"]: row["mean"] for row in findings["bound"]}
    assert bits == pytest.approx(-nats["ELBO"] / 64 / math.log(2), rel=1e-6)
    assert nats["ELBO"] == pytest.approx(nats["reconstruction"] - nats["transitions"] - nats["prior"], rel=1e-5)
    assert 2 < independent < math.log2(17)  # whose entropy has no more bits than uniform shades


@pytest.mark.parametrize("data", ["digits", "moons"])
def test_a_variational_diffusion_reports_its_bound_and_its_ends(data, tmp_path, few, monkeypatch):
    monkeypatch.setattr("jensen.experiments.programs.vdm.TIMES", 3)
    fast = ["--no-compile", "--steps", 3, "--batch", 8, "--draw-steps", 4, "--hidden", 4]
    said = run("vdm", "--data", data, *fast, "--out", tmp_path / "run")
    assert "log snr from start to end" in said
    findings = json.loads((tmp_path / "run/report.json").read_text())["findings"]
    nats = {row["name"]: row["mean"] for row in findings["bound"]}
    assert nats["ELBO"] == pytest.approx(nats["reconstruction"] - nats["transitions"] - nats["prior"], rel=1e-5)
    ends = findings["ends"][0]
    assert ends["end"] == pytest.approx(ends["start"] - math.exp(ends["length"]), rel=1e-4)
    assert ("bits" in findings) == (data == "digits")
    if data == "digits":
        assert findings["bits"][0]["mean"] == pytest.approx(-nats["ELBO"] / 64 / math.log(2), rel=1e-6)
        assert findings["bits"][0]["mean"] < math.log2(17) + 0.3  # uniform shades, before anything is learned


def test_weightings_and_shades_are_options(tmp_path, few):
    said = run(*FAST, "--network", "choices", "--hidden", 4, "--weighting", "bound", "--out", tmp_path / "run")
    assert "bits/dim are at most" in said
    model = Diffusion(points=PointData(data="digits"), network="choices", weighting="bound", run=Run(steps=1))
    model = model.prepare().program.model
    assert (model.field.shades, model.weighting) == (17, weightings.BOUND)


def test_shades_of_the_data_are_those_of_the_model():
    settings = Diffusion(points=PointData(data="digits"), run=Run(steps=1))
    prepared = settings.prepare()
    model = prepared.program.model
    assert isinstance(model, PixelDiffusion)
    assert model.shades == len(prepared.train.unique()) == program.SHADES["digits"]
    params = model.init(keys.key(0))
    assert model.bound(params, prepared.held_out[:3], keys.key(1)).elbo.isfinite().all()
    plane = Diffusion(run=Run(steps=1)).prepare().program.model
    assert not isinstance(plane, PixelDiffusion)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--network", "dit", "--hidden", 4], "--network dit has no --hidden: leave it out"),
        (["--width", 8], "--network mlp has no --width: leave it out"),
        (["--network", "choices", "--width", 8], "--network choices has no --width: leave it out"),
        (["--network", "choices", "--data", "moons"], "--network choices is for images, and moons are points"),
        (["--network", "dit", "--patch", 3], "expected patch that divides the sides 8 and 8, got 3"),
        (["--network", "dit", "--heads", 3], "expected heads that divide the width 64, got 3"),
        (["--network", "dit", "--layers", 0], "expected --layers of at least 1, got 0"),
        (["--network", "dit", "--data", "moons"], "--network dit is for images, and moons are points"),
    ],
)
def test_refusals(options, message, refused, tmp_path):
    assert message in refused(train.main, *FAST, *options, "--out", tmp_path / "run")
