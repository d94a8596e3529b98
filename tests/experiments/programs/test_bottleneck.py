"""The information bottleneck as a program: the laws of programs, a report of its data's means, and its command."""

import json

import pytest
import torch

from jensen import laws
from jensen.core import keys, trees
from jensen.core.models import classifier
from jensen.core.models.latent import bottleneck
from jensen.experiments import evaluate, train
from jensen.experiments.data import labelled
from jensen.experiments.data.batches import Epochs
from jensen.experiments.programs.compression import BottleneckProgram
from tests.experiments.process import run

KEY = keys.key(0)
MODEL = bottleneck.build(64, (6,), classifier.mlp(2, (), 10))
DATA = trees.map(lambda leaf: leaf[:30], labelled.digits().train)
PROGRAM = BottleneckProgram(MODEL, Epochs(30, 10), 0.1, k=2)


def test_it_keeps_the_laws_of_programs():
    laws.check(PROGRAM, example=DATA)


def test_the_objective_is_the_difference_of_the_bounds_it_records():
    params, state = PROGRAM.init(KEY, DATA)
    out = PROGRAM.loss(params, state, PROGRAM.batch(DATA, KEY, 0), KEY, {})
    relevance, rate = (out.terms[f"information/{name}"] for name in ("I(Z;Y) at least", "I(X;Z) at most"))
    torch.testing.assert_close(out.terms["objective"], relevance - state["label_entropy"] - 0.1 * rate)
    torch.testing.assert_close(state["label_entropy"], bottleneck.label_entropy(DATA["labels"], 10))
    torch.testing.assert_close(out.loss, -out.terms["objective"].mean())
    error = out.terms["error/I(X;Z) at most"]
    torch.testing.assert_close(error, (rate.std(correction=0) / 30**0.5).expand(10))


def test_the_report_has_the_means_and_errors_of_its_data():
    params, state = PROGRAM.init(KEY, DATA)
    (found,) = PROGRAM.report(params, state, {"train": DATA, "test": DATA}, KEY)
    rows = {row["name"]: row for row in found.rows if row["of"] == "test"}
    kl = MODEL.posterior(params["model"], DATA["x"]).kl(MODEL.prior(params["model"], 30)).double()
    rate = rows["I(X;Z) at most"]
    torch.testing.assert_close(torch.tensor([rate["mean"], rate["error"]]).double(),
                               torch.stack([kl.mean(), kl.std() / 30**0.5]), rtol=1e-5, atol=1e-6)  # fmt: skip
    assert f"{rate['mean']:.3f} ± {rate['error']:.3f}" in found.summary
    assert 0 <= rows["accuracy"]["mean"] <= 100
    assert rows["I(Z;Y) at least"]["mean"] < state["label_entropy"]


FAST = ["--no-compile", "--steps", 4, "--batch", 50, "--hidden", 4, "--latent", 2, "--log-every", 2]


def test_the_command_trains_resumes_and_is_not_taken_for_a_model_of_images(tmp_path, refused):
    folder = tmp_path / "run"
    printed = run("bottleneck", *FAST, "--held-out", 0.1, "--out", folder)
    assert "bottleneck on digits, 2 dimensions, beta 0.01, 4 steps\n" in printed
    rows = [row for row in map(json.loads, (folder / "metrics.jsonl").read_text().splitlines()) if "loss" in row]
    assert all(row["information/I(X;Z) at most"] > 0 for row in rows)
    assert "beta 0.01, 6 steps" in run("--resume", folder, "--steps", 6)
    assert "holds a bottleneck" in refused(evaluate.main, folder)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--beta", -1], "expected a non-negative --beta, got -1.0"),
        (["--latent", 0], "expected --latent of at least 1, got 0"),
        (["--classifier", 0], "expected --classifier of at least 1, got 0"),
        (["--pixels", "dynamic"], "the bottleneck takes images as they are: leave out --pixels dynamic"),
        (["--data", "sprites"], "--data sprites has no training labels: use digits or mnist"),
        (["--batch", 5000], "--batch 5000 exceeds the 1437 training data"),
    ],
)
def test_what_cannot_work_is_refused_with_the_fix(options, message, tmp_path, monkeypatch, refused):
    monkeypatch.chdir(tmp_path)
    assert message in refused(train.main, "bottleneck", "--no-compile", *options)
    assert not list(tmp_path.iterdir())
