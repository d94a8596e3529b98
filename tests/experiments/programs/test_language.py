"""Language models as programs: every symbol scored once, tables of counts by hand, and the command."""

import json
import math

import pytest
import torch

from jensen import laws
from jensen.core import keys, trees
from jensen.core.models.autoregressive import recurrent, transformer
from jensen.experiments import evaluate, train
from jensen.experiments.data import text as texts
from jensen.experiments.data.alphabets import Bytes
from jensen.experiments.data.batches import Windows
from jensen.experiments.programs.language import LanguageProgram
from jensen.experiments.report import text as report
from jensen.experiments.run.optimisers import Optimiser
from tests.experiments.process import run

KEY = keys.key(0)
X = keys.bits(KEY, (53,)) % 3
SMALL = transformer.build(3, 8, 1, 2, 8, rate=0.1)


def test_it_keeps_the_laws_of_programs():
    for model in (SMALL, recurrent.build(3, 8, 1, "gru")):
        laws.check(LanguageProgram(model, Windows(48, 8, 4), Optimiser(), "text", Bytes()), example=X[:48].view(6, 8))


@pytest.mark.parametrize(("length", "stride"), [(53, 8), (53, 4), (53, 3), (48, 8), (5, 8), (9, 1), (8, 4)])
def test_every_symbol_is_scored_once_in_the_first_window_that_has_it(length, stride):
    x, params = X[:length], SMALL.init(KEY, torch.float64)
    expected = torch.empty(length, dtype=torch.float64)
    for t in range(length):
        start = next(s for s in range(0, length, stride) if s + 8 > t)
        expected[t] = SMALL.log_probs(params, x[start : t + 1][None])[0, -1]
    torch.testing.assert_close(report.scored(SMALL, params, x, 8, stride), expected)


def test_parameters_are_of_the_runs_dtype():
    for name in ("bfloat16", "float64"):
        program = LanguageProgram(SMALL, Windows(48, 8, 4), Optimiser(), "text", Bytes(), getattr(torch, name))
        params, state = program.init(KEY, X[:48].view(6, 8))
        assert {leaf.dtype for leaf in trees.leaves(params)} == {getattr(torch, name)}
        out = program.loss(params, state, program.batch(X[:48].view(6, 8), KEY, 0), KEY, {})
        assert out.loss.isfinite()


def test_tables_of_counts_by_hand():
    train, x = torch.tensor([0, 1, 0, 1, 2]), torch.tensor([0, 1, 1])
    torch.testing.assert_close(report.frequencies(train, x, 3).exp(), torch.tensor([3, 3, 3], dtype=torch.float64) / 8)
    after_0, after_1 = (2 + 3 / 8) / 3, (0 + 3 / 8) / 3
    expected = torch.tensor([3 / 8, after_0, after_1], dtype=torch.float64)
    torch.testing.assert_close(report.pairs(train, x, 3).exp(), expected)


def test_the_report_has_the_bits_of_its_text():
    model = recurrent.build(3, 4, 1, "gru")
    params = model.init(KEY)
    params["embedding"], params["output"] = 0 * params["embedding"], {k: 0 * t for k, t in params["output"].items()}
    found = report.likelihoods(model, params, texts.Text(X, X, X, Bytes(), "text"), 8)
    assert [row["bits"] for row in found.rows[:2]] == pytest.approx([math.log2(3)] * 2, rel=1e-6)
    assert found.rows[0]["perplexity"] == pytest.approx(3, rel=1e-6)
    assert "no better than the symbols' frequencies" in found.summary


def test_the_embedded_text_is_whole_and_divided_at_its_last_tenth():
    content = texts.topics()
    text = texts.TextData().load()
    assert bytes(torch.cat([text.train, text.test]).tolist()) == content
    assert len(text.test) == len(content) // 10
    assert f"{len(content):,} bytes" in text.name


FAST = [
    "--no-compile",
    "--batch",
    4,
    "--lr-warmup",
    2,
    "--width",
    8,
    "--layers",
    1,
    "--heads",
    2,
    "--context",
    16,
    "--lr-final",
    1,
]


def test_the_command_trains_resumes_and_is_not_taken_for_a_latent_model(tmp_path, refused):
    path = tmp_path / "words.txt"
    path.write_bytes(b"a man a plan a canal " * 30)
    options = [*FAST, "--text", path, "--dropout", 0.1, "--checkpoint-every", 3, "--steps", 6]
    printed = run("lm", *options, "--out", tmp_path / "run")
    assert "transformer on words.txt (630 bytes, sha256 " in printed
    assert "test, all 63 bytes" in printed
    longer = run("--resume", tmp_path / "run", "--steps", 8)
    again = run("lm", *options[:-1], 8, "--out", tmp_path / "whole")
    numbers = [json.loads((tmp_path / name / "report.json").read_text())["findings"] for name in ("run", "whole")]
    assert numbers[0] == numbers[1]
    assert "8 steps of 4 windows of 16 bytes" in longer
    assert "8 steps" in again
    assert "holds a lm, which has no latents" in refused(evaluate.main, tmp_path / "run")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--text", "nowhere.txt"], "cannot read --text nowhere.txt (No such file or directory): name a file"),
        (["--context", 1], "expected --context of at least 2, got 1"),
        (["--context", 10**7], "--context 10000000 exceeds the"),
        (["--heads", 3], "--heads 3 does not divide --width 128"),
        (["--width", 12, "--heads", 4], "--heads 4 does not divide --width 12 into an even number"),
        (["--network", "lstm", "--heads", 2], "a lstm has no --heads: leave it out"),
        (["--dropout", 1], "expected --dropout in [0, 1), got 1"),
        (["--layers", 0], "expected --layers of at least 1, got 0"),
    ],
)
def test_refusals(options, message, refused, tmp_path):
    assert message in refused(train.main, "lm", *options, "--out", tmp_path / "run")


def test_an_empty_text_is_refused(refused, tmp_path):
    (tmp_path / "empty.txt").touch()
    message = refused(train.main, "lm", "--text", tmp_path / "empty.txt", "--out", tmp_path / "run")
    assert "expected a text of 10 bytes or more, got 0" in message
