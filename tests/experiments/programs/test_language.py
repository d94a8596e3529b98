"""Language models as programs: every symbol scored once, tables of counts by hand, and the command."""

import json
import math
from typing import NamedTuple

import pytest
import torch
from tokenizers import Tokenizer

from jensen import laws
from jensen.core import keys, trees
from jensen.core.models.autoregressive import recurrent, transformer
from jensen.experiments import evaluate, train
from jensen.experiments.data import alphabets
from jensen.experiments.data import text as texts
from jensen.experiments.data.alphabets import Bytes, byte_pairs
from jensen.experiments.data.batches import Windows
from jensen.experiments.programs.language import LanguageProgram
from jensen.experiments.report import text as report
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.optimisers import Optimiser
from tests.experiments.process import run

KEY = keys.key(0)
X = keys.bits(KEY, (53,)) % 3
SMALL = transformer.build(3, 8, 1, 2, 8, rate=0.1)


class Threes(NamedTuple):
    """An alphabet of three letters."""

    unit = "letters"

    def words(self):
        return [b"a", b"b", b"c"]

    def encode(self, content):
        return torch.tensor([each - ord("a") for each in content])

    def decode(self, symbols):
        return bytes(each + ord("a") for each in symbols.tolist())


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


@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_a_state_is_carried_over_the_whole_text(cell):
    model = recurrent.build(3, 8, 2, cell)
    params = model.init(KEY, torch.float64)
    whole = model.log_probs(params, X[None])[0]
    for context in (8, 53, 100):
        torch.testing.assert_close(report.carried(model, params, X, context), whole)
    assert (report.scored(model, params, X, 8, 8) - whole).abs().max() > 1e-4  # windows alone forget what was before


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
    assert [row["bits"] for row in found.rows[:3]] == pytest.approx([math.log2(3)] * 3, rel=1e-6)
    assert found.rows[0]["perplexity"] == pytest.approx(3, rel=1e-6)
    assert "no better than the symbols' frequencies" in found.summary


def test_bits_are_of_bytes_and_perplexity_of_symbols_in_any_alphabet():
    """Equal logits over V symbols cost log2 V bits each, of which a text has fewer than bytes."""
    content = b"a man a plan a canal " * 30
    pairs = byte_pairs(content, 300)
    x, size = pairs.encode(content), len(pairs.words())
    model = recurrent.build(size, 4, 1, "gru")
    params = model.init(KEY)
    params["output"] = {name: 0 * t for name, t in params["output"].items()}
    row = report.likelihoods(model, params, texts.Text(x, x, x, pairs, "text"), 8).rows[0]
    assert row["perplexity"] == pytest.approx(size, rel=1e-5)
    assert row["bits"] == pytest.approx(math.log2(size) * len(x) / len(content), rel=1e-6)


def test_random_and_wild_parameters_have_a_finite_perplexity():
    x = texts.Text(X, X, X, Bytes(), "text")
    for scale in (1.0, 1e4):
        params = trees.map(lambda t, s=scale: t + s * keys.normal(KEY, t.shape), SMALL.init(KEY))
        rows = report.likelihoods(SMALL, params, x, 8).rows
        assert all(math.isfinite(value) for row in rows for value in row.values() if isinstance(value, float))


def test_bits_by_position_are_means_of_all_symbols_with_so_many_before():
    params, data = SMALL.init(KEY, torch.float64), texts.Text(X, X, X, Threes(), "text")
    found = report.by_position(SMALL, params, data, 8)
    assert report.octaves(8) == [(0, 1), (1, 2), (2, 4), (4, 8)]
    assert report.octaves(5) == [(0, 1), (1, 2), (2, 4), (4, 5)]
    assert [row["symbols"] for row in found.rows] == [7, 7, 14, 25]  # of 53
    bits = sum(row["bits"] * row["symbols"] for row in found.rows)
    assert bits * math.log(2) == pytest.approx(-report.scored(SMALL, params, X, 8, 8).sum().item())
    assert found.figure is not None
    assert [part.name for part in report.assessed(SMALL, params, data, 8)] == ["test", "memory", "positions"]


def test_the_memory_of_a_text_grows_or_stays():
    for model, grows in ((SMALL, True), (recurrent.build(3, 8, 1, "gru"), False)):
        half, whole = report.memory(model, model.init(KEY), X[:8]).rows
        assert (half["bytes"] < whole["bytes"]) == grows
        assert whole["bytes"] == (2 * 8 * 8 * 4 if grows else 8 * 4)


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


def test_a_prompt_is_gone_on_with_and_must_leave_room():
    program = LanguageProgram(SMALL, Windows(48, 8, 4), Optimiser(), "text", Threes())
    params = {"model": SMALL.init(KEY)}
    drawn = "".join(program.continued(params, KEY, 5, "abc"))
    assert len(drawn) == 5
    assert drawn == "".join(program.continued(params, KEY, 5, "abc"))
    assert set("".join(program.continued(params, KEY, 8))) <= set("abc")
    with pytest.raises(InputError, match="a prompt of 4 letters and 5 drawn exceed the context, 8: shorten"):
        program.continued(params, KEY, 5, "abca")


def test_the_command_trains_resumes_and_is_evaluated(tmp_path, capsys):
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
    evaluate.main([str(tmp_path / "run")])
    assert "bytes before, of a window alone" in capsys.readouterr().out
    test = json.loads((tmp_path / "run" / "evaluation" / "report.json").read_text())
    assert test["test"] == numbers[0]["test"]
    assert test["positions"][0]["before"] == 0
    assert (tmp_path / "run" / "evaluation" / "positions.png").is_file()


def test_byte_pairs_are_of_the_training_text_and_stay_those_of_the_run(tmp_path, refused, monkeypatch):
    path = tmp_path / "words.txt"
    path.write_bytes(b"a man a plan a canal " * 60 + b"zzzz" * 35)  # a tenth
    options = [*FAST, "--text", path, "--tokenizer", "bpe", "--vocabulary", 270, "--context", 8, "--steps", 4]
    printed = run("lm", *options, "--out", tmp_path / "run")
    assert "4 steps of 4 windows of 8 tokens" in printed
    stored = Tokenizer.from_file(str(tmp_path / "run" / "tokenizer.json"))
    assert stored.encode("a canal").ids == byte_pairs(b"a man a plan a canal " * 60, 270).encode(b"a canal").tolist()
    assert stored.token_to_id("zz") is None  # of the test text alone
    run("--resume", tmp_path / "run", "--steps", 6)
    monkeypatch.setattr(alphabets, "PIECES", "[^ ]+| +")
    assert "is of a run on other data than are here now" in refused(
        train.main, "--resume", tmp_path / "run", "--steps", 8
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--vocabulary", 512], "--tokenizer bytes has no --vocabulary: leave it out, or use --tokenizer bpe"),
        (["--tokenizer", "bpe", "--vocabulary", 256], "expected --vocabulary from 257 to 65536, got 256"),
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


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["lm-pydoc", "lm-pairs", "lm-lstm"])
def test_recipes_beat_the_table_of_pairs(recipe, tmp_path):
    """By a third of a bit for each byte of the held-out text, read in windows alone."""
    print(run(recipe, "--out", tmp_path / "run"))
    rows = json.loads((tmp_path / "run" / "report.json").read_text())["findings"]["test"]
    bits = [row["bits"] for row in rows]
    assert bits[0] < bits[-1] - 1 / 3
    assert bits[1] < bits[0]
