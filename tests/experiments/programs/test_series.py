"""Models of series as programs: the laws of programs, errors beside their floors, and commands that resume."""

import json

import numpy as np
import pytest
import torch

from jensen import laws
from jensen.core import keys
from jensen.core.distributions import DiagNormal
from jensen.core.models.latent import gp, longitudinal, ode
from jensen.core.models.latent.series import Series
from jensen.experiments import evaluate, train
from jensen.experiments.data.batches import Epochs
from jensen.experiments.data.irregular import Asked
from jensen.experiments.data.oscillations import OscillationData
from jensen.experiments.programs.sequential import SeriesProgram, terms
from jensen.experiments.report import series as report
from tests.experiments.process import last, run

KEY = keys.key(0)
TRAIN, ASKED = OscillationData(series=12, times=8).load(seed=0)
MODELS = {
    "ode": ode.build(1, 2, 5.0, 2, (4,), (), (4,), 2),
    "longitudinal": longitudinal.build(1, 2, 1, (4,), (), (4,)),
    "gp": gp.build(1, 2, 5.0, 3, encoder=(4,), decoder=(4,)),
}
FEW = {
    "ode": ["--series", 12, "--times", 8, "--solver-steps", 2, "--field", 4, "--encoder", 4],
    "longitudinal": ["--subjects", 12, "--visits", 4, "--flows", 1, "--encoder", 4],
    "gp": ["--series", 12, "--times", 8, "--inducing", 3, "--pixels", 6, "--encoder", 4],
}
FAST = ["--steps", 6, "--batch", 4, "--checkpoint-every", 3, "--log-every", 1]


@pytest.mark.parametrize("name", MODELS)
def test_they_keep_the_laws_of_programs(name):
    laws.check(SeriesProgram(MODELS[name], Epochs(12, 4), warmup=2), example=TRAIN)


def test_the_objective_is_the_bound_of_a_share_of_the_observations():
    program = SeriesProgram(MODELS["ode"], Epochs(12, 4), k=3, warmup=4)
    params, state = program.init(KEY, TRAIN)
    batch = program.batch(TRAIN, KEY, 0)
    weights = {"kl": torch.tensor(program.schedules["kl"](1))}
    out = program.loss(params, state, batch, KEY, weights)
    torch.testing.assert_close(out.terms["objective"], out.terms["reconstruction"] - out.terms["kl"])
    torch.testing.assert_close(out.loss, (0.25 * out.terms["kl"] - out.terms["reconstruction"]).mean())
    assert [program.schedules["kl"](step) for step in (0, 2, 9)] == [0, 0.5, 1]
    whole = program.model.infer(params["model"], batch["data"], keys.split(KEY)[1], 3)
    assert (terms(whole, batch["data"])[0] - out.terms["reconstruction"]).abs().min() > 1e-3


def test_answers_are_the_squared_errors_of_the_mean_where_it_is_asked():
    x = Series(*(t[:3] for t in ASKED.series))
    where = torch.arange(8) == torch.tensor([[2], [5], [9]])  # the last series is asked for nothing
    asked = Asked(x, torch.arange(8).expand(3, 8) < 2, {"one": where})
    p = DiagNormal(keys.normal(KEY, (4, 3, 8, 1)), torch.zeros(4, 3, 8, 1))
    rows = report.answers(p, asked).rows
    values, guess = x.values[..., 0].double().numpy(), p.loc.mean(0)[..., 0].double().numpy()
    for row, guessed in zip(rows, (guess, *floors(values)), strict=True):
        squares = np.array([(guessed[i, j] - values[i, j]) ** 2 for i, j in ((0, 2), (1, 5))])
        np.testing.assert_allclose((row["mean"], row["error"]), (squares.mean(), squares.std(ddof=1) / 2**0.5), 1e-4)
    bound = report.means("bound", {"ELBO": torch.tensor([1.0, 2.0, 4.0])}, "nats")
    np.testing.assert_allclose(bound.rows[0]["error"], np.std([1, 2, 4], ddof=1) / 3**0.5)
    assert report.by_part(torch.tensor([[1.0, 0.0], [2.0, 1.0]])).summary.endswith("1.50 0.50 nats\n")


def test_the_evidence_is_above_the_bound_and_says_whether_it_can_be_trusted():
    program = SeriesProgram(MODELS["ode"], Epochs(12, 4))
    params, _ = program.init(KEY, TRAIN)
    (found,) = program.evidence(params["model"], TRAIN, KEY)
    bound = program.score(params, {}, TRAIN, KEY).mean()
    assert -found.rows[0]["mean"] > bound
    assert found.summary.count("\n") == 2
    assert "importance sampling" in found.summary
    assert not SeriesProgram(MODELS["gp"], Epochs(12, 4)).evidence({}, TRAIN, KEY)


def floors(values):
    """The mean of the first two values of each series, and the second of them."""
    return np.repeat(values[:, :2].mean(1)[:, None], 8, 1), np.repeat(values[:, 1:2], 8, 1)


@pytest.mark.parametrize("name", FEW)
def test_the_command_trains_and_answers(name, tmp_path, refused):
    printed = run(name, *FEW[name], *FAST, "--out", tmp_path / "run")
    assert "6 steps on 12 series: 400 test series" in printed
    asked = ("next visit", "later visits") if name == "longitudinal" else ("interpolation", "extrapolation")
    assert all(f"{question} by the last one seen" in printed for question in asked)
    figures = {path.name for path in (tmp_path / "run" / "figures").iterdir()}
    assert figures == {"training.png", "series.png"}
    assert ("NLL of the seen" in printed) == (name != "gp")  # whose latents have no densities
    assert f"holds a {name}, which has no latents or codes of images" in refused(evaluate.main, tmp_path / "run")


def test_a_run_that_goes_on_has_the_bits_of_one_that_never_stopped(tmp_path):
    kind = ["gp", *FEW["gp"], *FAST, "--lr-final", 1]  # whose rate does not know when it ends
    run(*kind, "--out", tmp_path / "whole")
    run(*kind, "--steps", 4, "--out", tmp_path / "parts")
    run("--resume", tmp_path / "parts", "--steps", 6)
    (_, whole), (_, parts) = (last(tmp_path / each) for each in ("whole", "parts"))
    assert whole.tensors.keys() == parts.tensors.keys()
    assert all(torch.equal(t, parts.tensors[path]) for path, t in whole.tensors.items())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["ode", "--field", "0"], "expected --field of at least 1, got 0"),
        (["ode", "--posterior", "fll"], "--posterior fll: unknown posterior 'fll' (the nearest is 'full')"),
        (["ode", "--encoder"], "--encoder needs the width of a layer or more"),
        (["longitudinal", "--encoder"], "--encoder needs the width of a layer or more"),
        (["ode", "--horizon", "1.5"], "expected --horizon in (0, 1), a share of the duration, got 1.5"),
        (["ode", "--series", "20"], "--batch 100 exceeds the 20 training series"),
        (["ode", "--kl-warmup", "-2"], "expected --kl-warmup of at least 0, got -2"),
        (["ode", "--duration", "0"], "expected a positive --duration"),
        (["longitudinal", "--visits", "2"], "expected --visits of at least 3, got 2"),
        (["longitudinal", "--encoder", "0"], "expected --encoder of at least 1, got 0"),
        (["gp", "--jitter", "1e-7"], "expected --jitter from 2e-05, which rounding needs for 20 inducing points"),
        (["gp", "--dtype", "bfloat16"], "a kernel is singular in bfloat16: leave out --dtype"),
        (["gp", "--length", "0"], "expected a positive --length, got 0.0"),
        (["gp", "--pixels", "-1"], "expected --pixels of at least 0, got -1"),
    ],
)
def test_what_cannot_work_is_refused_with_the_fix(options, message, tmp_path, monkeypatch, refused):
    monkeypatch.chdir(tmp_path)
    assert message in refused(train.main, *options)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "questions"),
    [
        ("oscillations", {"interpolation": 0.4, "extrapolation": 0.5}),
        ("progression", {"next visit": 0.6, "later visits": 0.5}),
        ("films", {"interpolation": 0.5}),
    ],
)
def test_recipes_answer_better_than_their_floors(recipe, questions, tmp_path):
    """At most this share of the smaller error of the mean of what was seen and of the last value seen."""
    print(run(recipe, "--out", tmp_path / "run"))
    rows = json.loads((tmp_path / "run" / "report.json").read_text())["findings"]["answers"]
    errors = {row["name"]: row["mean"] for row in rows}
    for question, share in questions.items():
        floor = min(errors[f"{question} by {guess}"] for guess in ("the mean of the seen", "the last one seen"))
        assert errors[f"{question} by the model"] < share * floor
