"""A trained run read from its folder: judged by the parameters it was judged by, or refused in one line."""

import json

import pytest
import torch

from jensen.core import keys
from jensen.experiments import evaluate
from jensen.experiments.programs.finished import read_finished
from tests.experiments.process import FAST, FEW, contents, last, rewrite, run

KEY = keys.key(5)
pytestmark = pytest.mark.usefixtures("quick_fits")


def elbo_error(run, s=200):
    """The standard error of an ELBO by 10 samples of every test image; the KL is exact."""
    x = run.images.test
    q = run.model.posterior(run.params, x)
    values = run.model.likelihood(run.params, q.sample(q.noise(KEY, s))).log_prob(x)
    return (values.var(0).sum() / 10).sqrt().item() / len(x)


def test_an_evaluation_agrees_with_the_runs_own_report(finished):
    before = contents(finished)
    evaluate.main([str(finished), *FEW])
    found = json.loads((finished / "evaluation/report.json").read_text())
    (saved,) = json.loads((finished / "report.json").read_text())["findings"]["test"]
    error = elbo_error(read_finished(finished))
    assert abs(found["rate"] + found["distortion"] + saved["elbo"]) < 4 * 2**0.5 * error
    assert found["rate"] == pytest.approx(saved["kl"], rel=1e-4)
    assert found["active_units"] == saved["active_units"]
    assert found["annealed"] == pytest.approx(found["importance"], abs=5 * found["annealed_error"] + 0.1)
    assert {name: content for name, content in contents(finished).items() if name in before} == before


DAMAGE = {
    "config.json": ('{"latent": ', "is damaged"),
    "report.json": (None, "has not finished: go on with experiments.train --resume"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_unfinished_and_damaged_runs_are_refused_with_the_fix(name, finished, refused):
    content, message = DAMAGE[name]
    (finished / name).unlink() if content is None else (finished / name).write_text(content)
    assert message in refused(evaluate.main, finished)
    assert not (finished / "evaluation").exists()


def test_a_damaged_checkpoint_is_refused_with_the_fix(finished, refused):
    last(finished)[0].write_text("garbage")
    assert "remove it" in refused(evaluate.main, finished)
    assert not (finished / "evaluation").exists()


def test_parameters_of_another_shape_are_refused(finished, refused):
    rewrite(finished, **{"params.model.encoder.0.bias": torch.zeros(3)})
    line = refused(evaluate.main, finished)
    assert "encoder.0.bias" in line
    assert "(3,)" in line


@pytest.mark.parametrize(
    ("options", "name"),
    [((), "params"), (("--average", 0.9), "average"), (("--average", 0.9, "--patience", 9), "best.params")],
)
def test_a_run_is_judged_by_its_average_or_its_best_parameters(options, name, tmp_path):
    run(*FAST, "--steps", 72, "--lr", 0.1, *options, "--out", tmp_path / "run")
    stored = last(tmp_path / "run")[1].tensors
    judged = read_finished(tmp_path / "run").params["encoder"]["0"]["bias"]
    same = [each for each in ("params", "average", "best.params") if f"{each}.model.encoder.0.bias" in stored
            and torch.equal(stored[f"{each}.model.encoder.0.bias"], judged)]  # fmt: skip
    assert same == [name]


def test_a_report_of_another_checkpoint_is_refused_until_it_is_written_anew(finished, refused):
    """As where files of two runs were mixed that differ in what is free to differ, such as their steps."""
    rewrite(finished)
    path, checkpoint = last(finished)
    rewrite(finished, **{"params.model.encoder.0.bias": 2 * checkpoint.tensors["params.model.encoder.0.bias"]})
    line = refused(evaluate.main, finished)
    assert f"report.json is not of {path.name}: write it anew with experiments.train --resume" in line
    run("--resume", finished)
    assert read_finished(finished).folder == finished
