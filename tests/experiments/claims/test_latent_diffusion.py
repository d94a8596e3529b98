"""Both stages of every weight and seed, rows of one judge and of the reports, and differences by seed."""

import json
from dataclasses import replace

import pytest
import torch

from jensen.core import keys
from jensen.core.models import classifier
from jensen.experiments.claims import latent_diffusion
from jensen.experiments.claims.compared import Row
from jensen.experiments.claims.latent_diffusion import DIFFUSION, HELD_OUT, OWN, Settings, named, verdict
from jensen.experiments.data import labelled
from jensen.experiments.programs.judge import Judge

FEW = {"draws": 20, "steps": 3, "prior_steps": 3, "latent": 3, "compile": False}


@pytest.fixture
def judge(monkeypatch):
    """Stands in for the classifier."""
    data, model = labelled.digits(), classifier.mlp(64, (8,), 10)
    found = Judge(None, "digits", model, model.init(keys.key(0)), data.train["x"], data.test["x"], torch.zeros(360))
    monkeypatch.setattr(latent_diffusion, "finished", lambda kind, one, outcome: None)
    monkeypatch.setattr(latent_diffusion, "read_judge", lambda folder: found)


@pytest.fixture
def short(monkeypatch):
    """Diffusions of few steps, whose reports are those of their runs."""
    whole = latent_diffusion.ldm
    monkeypatch.setattr(
        latent_diffusion, "ldm",
        lambda *args: replace(whole(*args), noise_steps=3, width=4, heads=1, tokens=1),
    )  # fmt: skip


def test_rows_and_a_figure_are_left_of_both_priors(judge, short, tmp_path):
    settings = Settings(out=tmp_path / "all", weights=(0.5,), seeds=1, **FEW)
    rows = latent_diffusion.measure(settings)
    names = [HELD_OUT, named(0.5, OWN), named(0.5, DIFFUSION)]
    assert [row.name for row in rows] == names
    report = json.loads((tmp_path / "all/ldm-0.5-0/report.json").read_text())["findings"]["test"][0]
    assert [row.numbers["elbo"] for row in rows[1:]] == [report["own_elbo"], report["elbo"]]
    source = json.loads((tmp_path / "all/ldm-0.5-0/config.json").read_text())["vae"]
    assert source == str(tmp_path / "all/vae-0.5-0")
    stored = [json.loads(line) for line in (tmp_path / "all/rows.jsonl").read_text().splitlines()]
    assert [row["frechet"] for row in stored] == [row.numbers["frechet"] for row in rows]
    assert (tmp_path / "all/latent-diffusion.png").stat().st_size > 1000


def test_differences_are_by_seed():
    rows = [
        Row(named(0.2, prior), seed, {"elbo": elbo + 10 * seed, "frechet_extrapolated": 3.0 - seed * elbo})
        for seed in (0, 1) for prior, elbo in ((OWN, -5.0), (DIFFUSION, -3.0))
    ]  # fmt: skip
    said = verdict(rows, Settings(weights=(0.2,)))
    assert said.startswith("KL × 0.2: the diffusion's less its own prior's, ELBO +2.00 ± 0.00, without spread")
    assert "Fréchet -1.00 ± 1.00, -1.0 standard errors" in said


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--seeds", 1), "one has no standard error"),
        (("--draws", 19), "expected --draws of at least 20, got 19"),
        (("--weights", 1, 1), "--weights 1.0 1.0: expected different positive numbers"),
        (("--weights", 0), "--weights 0.0: expected different positive numbers"),
        (("--steps", 0), "expected --steps of at least 1, got 0"),
        (("--latent", 0), "expected --latent of at least 1, got 0"),
    ],
)
def test_bad_settings_are_one_clear_line(args, message, tmp_path, refused):
    assert message in refused(latent_diffusion.main, *args, "--out", tmp_path / "all")
    assert not list(tmp_path.iterdir())
