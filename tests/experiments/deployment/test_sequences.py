"""Models of sequences: exported functions score and draw what the library does, from their own files and the page's."""

import ctypes
import functools
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from jensen.core import keys
from jensen.core.models.autoregressive import recurrent, sampling, transformer
from jensen.core.models.autoregressive.sampling import Choice
from jensen.experiments import export, sample
from jensen.experiments.data.alphabets import Bytes, byte_pairs
from jensen.experiments.deployment import load, sequences, texts, tracing, writing
from jensen.experiments.deployment.choosing import CHOICE, EVERYTHING
from jensen.experiments.deployment.manifest import BYTES, DRAWING, Sequences
from jensen.experiments.deployment.native import LIBRARY
from jensen.experiments.deployment.writing import Forms
from jensen.experiments.run.errors import InputError
from tests.experiments.deployment.test_compiled import of
from tests.experiments.process import PATIENCE, run

N, V, LONGEST = 5, 11, 12
PAGE = Path(__file__).parents[3] / "docs" / "export.md"
SMALL = functools.partial(transformer.build, V, 8, 2, 2, LONGEST)
MODELS = {
    "rotary": SMALL,
    "learned": functools.partial(SMALL, positions="learned", order="post"),
    "sinusoidal": functools.partial(SMALL, positions="sinusoidal", norm="rms", tied=False),
    **{cell: functools.partial(recurrent.build, V, 8, 2, cell) for cell in ("gru", "lstm", "rnn", "gru-before")},
}
AT_ONCE = ("rotary", "learned", "sinusoidal")
CHOICES = [{}, {"temperature": 0.0}, {"top_k": 3}, {"nucleus": 0.5}, {"temperature": 0.7, "nucleus": 0.9, "min_p": 0.3}]
LENGTH = torch.tensor([1, 3, 4, 7, 2])
X = keys.bits(keys.key(3), (N, LONGEST)) % V


def build(name):
    """A model whose logits differ by several nats, and its parameters."""
    model = MODELS[name]()
    params = model.init(keys.key(0))
    return model, {**params, "embedding": params["embedding"] * 40}


def exported(name):
    model, params = build(name)
    return model, params, sequences.functions(model, {"params": {"model": params}, "state": {}}, LONGEST, {})


def programs(found):
    """The functions as programs."""
    return {each: tracing.traced(rows, found.tree).module() for each, rows in found.rows.items()}


def plain(found):
    """The functions as they are."""
    return {each: functools.partial(rows.call, found.tree) for each, rows in found.rows.items()}


def how(seed, n, **choice):
    """Keys and settings."""
    values = {**EVERYTHING, **choice}
    rows = (torch.full((n,), values[each.name], dtype=getattr(torch, each.dtype)) for each in CHOICE)
    return keys.at(keys.key(seed), datum=torch.arange(n)), *rows


def begun(found, n):
    """Symbols, positions and memories before anything is read."""
    memory = [each for each in found.rows["step"].inputs if each.name in found.sequences.memory]
    zeros = [torch.zeros(n, *each.shape) for each in memory]
    return torch.full((n,), found.sequences.start), torch.zeros(n, dtype=torch.int64), zeros


def steps(step, symbol, position, settings, memory, count):
    every = []
    for _ in range(count):
        symbol, *memory = step(symbol, position, *settings, *memory)
        every.append(symbol)
        position = position + 1
    return torch.stack(every, 1)


def drawn(model, params, length, choice, prompts=None):
    """The library's draws, row by row."""
    rows = [None] * N if prompts is None else [X[i : i + 1, :n] for i, n in enumerate(prompts)]
    key = keys.key(7)
    return torch.cat([
        sampling.draw(model, params, keys.at(key, datum=i), 1, length, known, Choice(**choice))
        for i, known in enumerate(rows)
    ])  # fmt: skip


@pytest.mark.parametrize(
    ("name", "form"),
    [
        *((name, plain) for name in AT_ONCE),
        *(pytest.param(name, programs, marks=pytest.mark.slow) for name in MODELS),
    ],
)
def test_functions_score_and_draw_what_the_library_does(name, form):
    """Windows and prompts of lengths of their own; rows after a prompt and from the start; every way to choose."""
    model, params, found = exported(name)
    modules = form(found)
    log_p, bits = modules["score"](X, LENGTH)
    expected = torch.cat([model.log_prob(params, X[i : i + 1, :n]) for i, n in enumerate(LENGTH)])
    torch.testing.assert_close(log_p, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(bits, -expected / LENGTH / torch.tensor(2.0).log(), rtol=1e-5, atol=1e-5)
    for choice in CHOICES:
        settings = how(7, N, **choice)
        first, *memory = modules["prefill"](X[:, : LONGEST - 1], LENGTH, *settings)
        after = steps(modules["step"], first, LENGTH + 1, settings, memory, 4)
        expected = drawn(model, params, 5, choice, LENGTH)
        assert torch.equal(torch.cat([first[:, None], after], 1), expected), choice
        symbol, position, memory = begun(found, N)
        found_here = steps(modules["step"], symbol, position, settings, memory, 5)
        assert torch.equal(found_here, drawn(model, params, 5, choice)), choice


def test_a_wrong_position_would_be_seen():
    """A planted fault: of rows that start at one position for all."""
    model, params, found = exported("rotary")
    modules = plain(found)
    settings = how(7, N)
    first, *memory = modules["prefill"](X[:, : LONGEST - 1], LENGTH, *settings)
    wrong = steps(modules["step"], first, torch.full_like(LENGTH, 5), settings, memory, 4)
    assert not torch.equal(wrong, drawn(model, params, 5, {}, LENGTH)[:, 1:])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rotary", "lstm"])
def test_packages_onnx_and_the_c_library_carry_the_memory(name, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    model, params, found = exported(name)
    (tmp_path / "config.json").write_text("{}")
    writing.write(tmp_path, "lm", found, tmp_path / "export", Forms(True, True, True))
    folder, settings = tmp_path / "export", how(7, N)
    functions, expected = load(folder, backend="aot"), drawn(model, params, 5, {}, LENGTH)
    assert functions.manifest.left_out == {}
    first, *memory = functions["prefill"](X[:, : LONGEST - 1], LENGTH, *settings)
    after = steps(functions["step"], first, LENGTH + 1, settings, memory, 4)
    assert torch.equal(torch.cat([first[:, None], after], 1), expected)

    sessions = {
        each: onnxruntime.InferenceSession(folder / f"{each}.onnx", providers=["CPUExecutionProvider"])
        for each in DRAWING
    }

    def by_onnx(each, *inputs):
        given = zip(sessions[each].get_inputs(), inputs, strict=True)
        return [torch.as_tensor(y) for y in sessions[each].run(None, {i.name: x.numpy() for i, x in given})]

    first, *memory = by_onnx("prefill", X[:, : LONGEST - 1], LENGTH, *settings)
    after = steps(functools.partial(by_onnx, "step"), first, LENGTH + 1, settings, memory, 4)
    assert torch.equal(torch.cat([first[:, None], after], 1), expected)

    library = ctypes.CDLL(str(folder / LIBRARY))
    library.jensen_error.restype = ctypes.c_char_p
    function = ctypes.c_void_p()
    assert library.jensen_create(str(folder / "step.pt2").encode(), None, 1, ctypes.byref(function)) == 0

    def by_c(*inputs):
        given = [each.contiguous() for each in inputs]
        outputs = [torch.zeros(N, dtype=torch.int64), *(torch.zeros_like(each) for each in given[-len(memory) :])]
        parts = [(type(of(X)) * len(each))(*map(of, each)) for each in (given, outputs)]
        code = library.jensen_run(function, parts[0], len(given), parts[1], len(outputs))
        assert code == 0, library.jensen_error()
        return outputs

    first, *memory = functions["prefill"](X[:, : LONGEST - 1], LENGTH, *settings)
    after = steps(by_c, first, LENGTH + 1, settings, memory, 4)
    assert torch.equal(torch.cat([first[:, None], after], 1), expected)
    library.jensen_free(function)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished run of a model of byte pairs, exported by the command as programs."""
    place = tmp_path_factory.mktemp("lm")
    (place / "text.txt").write_text("one two three four five six seven eight nine ten, at last. " * 20)
    run("lm", "--no-compile", "--text", place / "text.txt", "--tokenizer", "bpe", "--vocabulary", "270", "--width", 8,
        "--layers", 1, "--context", 16, "--lr-warmup", 1, "--steps", 10, "--batch", 20, "--checkpoint-every", 10,
        "--out", place / "run")  # fmt: skip
    export.main([str(place / "run"), "--no-aot", "--no-onnx"])
    return place / "run"


@pytest.mark.slow
def test_the_page_draws_text_of_a_run(trained, capsys):
    """The tokenizer travels along; what the page does is what `sample` draws; it needs no code of this library."""
    ours, alone = [
        each for each in re.findall(r"^```python fragment\n(.*?)^```\n", PAGE.read_text(), re.DOTALL | re.MULTILINE)
        if "prefill" in each
    ]  # fmt: skip
    printed = []
    for code in (ours, 'import sys\nsys.modules["jensen"] = None\n' + alone):
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code], cwd=trained, capture_output=True, text=True, timeout=PATIENCE
        )
        assert done.returncode == 0, done.stderr
        printed.append(done.stdout)
    capsys.readouterr()
    sample.main([str(trained), "--prompt", "one", "--length", "12", "--seed", "3"])
    assert printed == [capsys.readouterr().out] * 2


def test_a_tokenizer_travels_with_its_digest(tmp_path):
    pairs = byte_pairs(b"one two one two one two" * 9, 260)
    model, params = build("rotary")
    found = sequences.functions(model, {"params": {"model": params}}, LONGEST, {"tokenizer.json": pairs.to_json()})
    (tmp_path / "config.json").write_text("{}")
    manifest = writing.write(tmp_path, "lm", found.only(("score",)), tmp_path / "export", Forms(False, False, False))
    assert manifest.sequences is None  # score alone draws nothing
    with pytest.raises(InputError, match="draws no sequences: export a run of lm"):
        texts.alphabet(tmp_path / "export", manifest)

    def read(symbols, alphabet):
        return texts.alphabet(tmp_path / "export", replace(manifest, sequences=Sequences(symbols, 12, (), alphabet)))

    alphabet = read(260, "tokenizer.json")
    assert alphabet.decode(alphabet.encode(b"one two three")) == b"one two three"
    assert torch.equal(alphabet.merges, pairs.merges)
    assert read(256, BYTES) == Bytes()
    with pytest.raises(InputError, match="has 260 symbols, not 300: export the run again"):
        read(300, "tokenizer.json")
    (tmp_path / "export" / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match="its sha256 is not that of manifest"):
        read(260, "tokenizer.json")
