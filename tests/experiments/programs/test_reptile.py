"""Reptile as a program: the laws of programs, its gradient and report by hand, and its command."""

import json

import pytest
import torch
from torch.func import grad

from jensen import laws
from jensen.core import keys, trees
from jensen.core.models.latent import reptile
from jensen.experiments import evaluate, train
from jensen.experiments.data.batches import Epochs
from jensen.experiments.data.sinusoids import sinusoids
from jensen.experiments.programs import reptile as settings
from jensen.experiments.programs.meta import MetaProgram, of
from tests.experiments.process import run

KEY = keys.key(0)
DATA = sinusoids(keys.key(5), tasks=6, m=14).tree()
PROGRAM = MetaProgram(reptile.build(16, (4,), 2), Epochs(6, 3), 3, 0.01, 5, 4, judged_after=(0, 3))


def test_it_keeps_the_laws_of_programs():
    laws.check(PROGRAM, example=DATA)


def by_hand(encoder, task):
    """Steps on rows 0-4, 5-9 and 0-4 again: the last 4 of 14 judge, and so does none of them."""
    for i in range(3):
        x = task["x"][5 * (i % 2) :][:5]

        def loss(encoder, x=x):
            return -of(task).elbo(PROGRAM.model.posterior(encoder, x), x).mean()

        encoder = trees.map(lambda t, g: t - 0.01 * g, encoder, grad(loss)(encoder))
    return encoder


def test_the_gradient_is_the_mean_way_back_in_steps():
    params, state = PROGRAM.init(KEY, DATA)
    params = trees.map(lambda t: t + 0.1 * torch.sin(torch.arange(t.numel()).float()).reshape(t.shape), params)
    batch = PROGRAM.batch(DATA, KEY, 0)
    found = grad(lambda p: PROGRAM.loss(p, state, batch, KEY, {}).loss)(params)["encoder"]
    tasks = [trees.map(lambda t, i=i: t[i], batch["data"]) for i in range(3)]
    ends = [by_hand(params["encoder"], task) for task in tasks]
    for name, leaf in trees.paths(params["encoder"]).items():
        expected = torch.stack([(leaf - trees.paths(end)[name]) / 0.01 for end in ends]).mean(0)
        torch.testing.assert_close(trees.paths(found)[name], expected, rtol=1e-3, atol=1e-3)
    out = PROGRAM.loss(params, state, batch, KEY, {})
    judged = [of(task).elbo(PROGRAM.model.posterior(end, task["x"][-4:]), task["x"][-4:]).mean()
              for task, end in zip(tasks, ends, strict=True)]  # fmt: skip
    torch.testing.assert_close(out.terms["objective"], torch.stack(judged))
    torch.testing.assert_close(out.loss, -torch.stack(judged).mean())


def test_the_report_has_the_gaps_of_new_tasks():
    params, state = PROGRAM.init(KEY, DATA)
    (found,) = PROGRAM.report(params, state, DATA, KEY)
    rows = {(row["start"], row["steps"]): row for row in found.rows}
    assert len(rows) == 4
    gaps = PROGRAM.gaps(params["encoder"], DATA, 3).double()
    row = rows["learned", 3]
    torch.testing.assert_close(torch.tensor([row["gap"], row["error"]]).double(),
                               torch.stack([gaps.mean(), gaps.std() / 6**0.5]))  # fmt: skip
    assert all(row["gap"] > 0 for row in found.rows)
    assert f"{row['gap']:.3f} ± {row['error']:.3f}" in found.summary


def test_the_command_trains_and_resumes(tmp_path, refused, monkeypatch):
    monkeypatch.setattr(settings, "TASKS", 20)
    monkeypatch.setattr(settings, "TEST_TASKS", 5)
    folder = tmp_path / "run"
    fast = ["--no-compile", "--batch", 5, "--hidden", 4, "--inner-steps", 2]
    printed = run("reptile", *fast, "--steps", 3, "--held-out", 0.2, "--out", folder)
    assert "reptile on 16 tasks of sinusoids, 2 steps of 0.01 in each, 3 updates: 5 new tasks" in printed
    assert {row["steps"] for row in json.loads((folder / "report.json").read_text())["findings"]["tasks"]} == {
        0, 1, 5, 20,
    }  # fmt: skip
    assert "4 updates" in run("--resume", folder, "--steps", 4)
    assert "holds a reptile" in refused(evaluate.main, folder)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--inner-steps", 0], "expected --inner-steps of at least 1, got 0"),
        (["--inner-lr", 0], "expected a positive --inner-lr, got 0.0"),
        (["--inner-batch", 101], "expected --inner-batch from 1 to 100, got 101"),
        (["--noise", -1], "expected a positive --noise, got -1.0"),
        (["--hidden", 0], "expected --hidden of at least 1, got (0,): leave it out"),
        (["--batch", 2000], "--batch 2000 exceeds the 1000 training tasks: pass at most that many"),
    ],
)
def test_what_cannot_work_is_refused_with_the_fix(options, message, tmp_path, monkeypatch, refused):
    monkeypatch.chdir(tmp_path)
    assert message in refused(train.main, "reptile", "--no-compile", *options)
    assert not list(tmp_path.iterdir())
