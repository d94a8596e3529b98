"""Rectified flow through the trainer: pairs of a finished flow, resumed bit for bit, and what is refused."""

import json

import pytest
import torch

from jensen.core import keys
from jensen.core.models.transport import fields, flow_matching
from jensen.experiments import train
from jensen.experiments.programs.flow import Pairs
from tests.experiments.process import run

FAST = ["--no-compile", "--batch", 8, "--hidden", 4, "--points", 40, "--lr-final", 1, "--checkpoint-every", 4]
FAST += ["--draw-steps", 2, "--steps"]


@pytest.fixture
def few(monkeypatch):
    """Reports of a few points and few pairs, which take longer than a short run."""
    monkeypatch.setattr("jensen.experiments.report.points.COMPARED", 30)
    monkeypatch.setattr("jensen.experiments.report.points.DRAWN", 60)
    monkeypatch.setattr("jensen.experiments.programs.flow.PAIRED", 80)


def test_a_flow_is_trained_on_the_pairs_of_another(tmp_path, refused, few):
    run("flow", *FAST, 6, "--out", tmp_path / "first")
    again = ["flow", "--straighten", tmp_path / "first", *FAST]
    assert "6 steps, drawn by 2 of rk4, on pairs of another flow" in run(*again, 6, "--out", tmp_path / "run")
    run(*again, 4, "--out", tmp_path / "part")
    run("--resume", tmp_path / "part", "--steps", 6)
    whole, part = (json.loads((tmp_path / name / "report.json").read_text())["findings"] for name in ("run", "part"))
    assert whole == part
    unlike = refused(train.main, *again, 6, "--data", "ring", "--out", tmp_path / "other")
    assert "is of --data moons, not of ring: pass --data moons" in unlike


def test_pairs_are_ends_beside_starts():
    model = flow_matching.build(fields.mlp(2, (4,)))
    params, key = model.init(keys.key(0)), keys.key(1)
    params["1"]["bias"] = torch.tensor([1.0, -0.5])
    end, start = keys.normal(key, (2, 5, 2))
    expected = model.loss(params, end, key, start)
    assert torch.equal(Pairs(model).loss(params, torch.cat([end, start], 1), key), expected)
    assert not torch.equal(Pairs(model).loss(params, torch.cat([start, end], 1), key), expected)
