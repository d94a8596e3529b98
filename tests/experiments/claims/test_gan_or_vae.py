"""Contenders have one budget, rows are of one judge and of the runs' reports, and orders are of means over seeds."""

import json
import math
from typing import NamedTuple

import pytest
import torch

from jensen.core import keys
from jensen.core.models import classifier
from jensen.experiments.claims import gan_or_vae
from jensen.experiments.claims.compared import Row, table
from jensen.experiments.claims.gan_or_vae import COLUMNS, HELD_OUT, Settings, contenders, likelihood, verdict
from jensen.experiments.data import labelled
from jensen.experiments.programs.finished import FinishedRun
from jensen.experiments.programs.judge import Judge

FEW = {"seeds": 2, "draws": 20, "hidden": (8,), "steps": 5, "compile": False}


@pytest.fixture
def runs(monkeypatch):
    """Stands in for training, and for reading what it left: models and a judge as they start."""
    started = {}

    def finished(kind, one, outcome):
        started[one.run.out] = kind, one

    def read_run(folder):
        _, one = started[folder]
        prepared = one.prepare()
        return FinishedRun(folder, one, prepared, *prepared.program.init(keys.key(one.run.seed), prepared.train))

    def read_judge(folder):
        data, model = labelled.digits(), classifier.mlp(64, (8,), 10)
        return Judge(
            folder, "digits", model, model.init(keys.key(0)), data.train["x"], data.test["x"], torch.zeros(360)
        )

    monkeypatch.setattr(gan_or_vae, "finished", finished)
    monkeypatch.setattr(gan_or_vae, "read_run", read_run)
    monkeypatch.setattr(gan_or_vae, "read_judge", read_judge)
    monkeypatch.setattr(gan_or_vae, "seconds", lambda folder: {"training_s": 1.0})
    monkeypatch.setattr(gan_or_vae, "likelihood", lambda run: {})
    return started


def test_rows_and_a_figure_are_left_of_every_contender_and_seed(runs, tmp_path):
    settings = Settings(out=tmp_path / "all", **FEW)
    rows = gan_or_vae.measure(settings)
    names = [HELD_OUT, *contenders(settings)]
    assert [(row.name, row.seed) for row in rows] == [(name, seed) for seed in (0, 1) for name in names]
    assert sorted({kind for kind, _ in runs.values()}) == ["classifier", "diffusion", "flow", "gan", "vae"]
    assert len({one.run.steps for kind, one in runs.values() if kind != "classifier"}) == 1
    stored = [json.loads(line) for line in (tmp_path / "all/rows.jsonl").read_text().splitlines()]
    assert [row["frechet"] for row in stored] == [row.numbers["frechet"] for row in rows]
    assert (tmp_path / "all/gan-or-vae.png").stat().st_size > 1000
    lines = table("digits", rows, COLUMNS).splitlines()
    assert lines[1].split()[:2] == ["held-out", "images"]
    assert "nan" not in "\n".join(lines)


class OfReport(NamedTuple):
    """What is read of a finished run."""

    folder: object
    settings: object
    prepared: object


class Prepared(NamedTuple):
    train: torch.Tensor


def test_bits_are_those_of_the_reports(tmp_path):
    """A uniform density over [-1, 1]^64 has the mass 1/16 in a shade's cell, 4 bits of each pixel."""
    findings = {
        "VAE": {"test": [{"bits_per_dim": 2.5}]},
        "flow matching": {"points": [{"name": "wasserstein", "value": 3.0}],
                          "density": [{"name": "log p", "mean": -64 * math.log(2)}]},
        "DDPM": {"bits": [{"name": "bits/dim are at most", "mean": 2.75}]},
        "R3GAN": {"points": [{"name": "wasserstein", "value": 3.0}]},
    }  # fmt: skip
    found = {}
    for name, content in findings.items():
        (tmp_path / "report.json").write_text(json.dumps({"findings": content}))
        one = contenders(Settings(**FEW))[name].settings(0, tmp_path)
        found[name] = likelihood(OfReport(tmp_path, one, Prepared(torch.zeros(3, 64))))
    assert found["VAE"] == {"bits": 2.5}
    assert found["flow matching"] == {"bits_of_density": pytest.approx(4, rel=1e-12)}
    assert found["DDPM"] == {"bits": 2.75}
    assert found["R3GAN"] == {}


def test_orders_are_of_means_and_leave_out_what_has_no_number():
    of = [("held-out images", 0.0, 1.0, None), ("a", 3.0, 0.5, 2.0), ("b", 1.0, 0.2, None), ("c", 2.0, 0.9, 3.0)]
    rows = [
        Row(name, seed, {"frechet_extrapolated": f + seed, "recall": r} | ({} if bits is None else {"bits": bits}))
        for seed in (0, 1) for name, f, r, bits in of
    ]  # fmt: skip
    assert verdict(rows) == "the best first, by Fréchet: b, c, a; by recall: c, a, b; by bits/dim: a, c"


@pytest.mark.parametrize("data", ["digits", "mnist"])
def test_every_contender_can_work(data, tmp_path):
    for one in contenders(Settings(data=data)).values():
        one.settings(0, tmp_path).check()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--seeds", 1), "one has no standard error"),
        (("--draws", 19), "expected --draws of at least 20, got 19"),
        (("--steps", 0), "expected --steps of at least 1, got 0"),
        (("--hidden", 0), "expected --hidden of at least 1, got 0"),
        (("--epochs", 0), "expected --epochs of at least 1, got 0"),
    ],
)
def test_bad_settings_are_one_clear_line(args, message, tmp_path, refused):
    assert message in refused(gan_or_vae.main, *args, "--out", tmp_path / "all")
    assert not list(tmp_path.iterdir())
