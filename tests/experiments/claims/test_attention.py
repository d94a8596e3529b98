"""Scores, softmax and memories by formulas; texts drawn with and without a cache are the same."""

import json
import math

import pytest
import torch

from jensen.core import keys
from jensen.core.models.autoregressive import sampling, transformer
from jensen.core.models.autoregressive.sampling import Choice
from jensen.experiments.claims import attention, texts
from jensen.experiments.claims.attention import Settings, softmax, variances
from jensen.experiments.claims.texts import Drawing, exponents, memories, read_again, remembered
from jensen.experiments.run.errors import InputError

KEY = keys.key(0)


def test_variances_hold_and_one_that_is_not_divided_does_not(monkeypatch):
    assert all(row.holds for d in (4, 64) for row in variances(d, 2000, KEY))
    monkeypatch.setattr(attention.math, "sqrt", lambda d: d**0.25)
    assert [row.holds for row in variances(64, 2000, KEY)] == [True, False]


@pytest.mark.parametrize("scaled", [False, True])
def test_the_trace_is_that_of_the_jacobian(scaled, monkeypatch):
    """By autograd, of the softmax of each query's scores."""
    monkeypatch.setattr(attention, "KEYS", 12)
    monkeypatch.setattr(attention, "QUERIES", 5)
    q, k = keys.normal(KEY, (2, 12, 8), torch.float64)
    scores = q[:5] @ k.T / (math.sqrt(8) if scaled else 1)
    traces = [torch.func.jacrev(lambda s: s.softmax(-1))(row).trace() for row in scores]
    found = softmax(8, scaled, KEY)
    assert found.slope == pytest.approx(torch.stack(traces).mean().item())
    entropy = torch.distributions.Categorical(logits=scores).entropy().mean() / math.log(12)
    assert found.entropy == pytest.approx(entropy.item())


def test_what_is_timed_draws_the_same_text():
    model = transformer.build(texts.SYMBOLS, 8, 2, 4, 16)
    params = model.init(KEY, torch.float64)
    cached = sampling.draw(model, params, KEY, 1, 16, choice=Choice(temperature=0.0))
    assert torch.equal(read_again(model, params, 16), cached)


def test_exponents_are_those_of_powers():
    drawings = [Drawing(n, 3 * n**1.0, 2 * n**2.5, {}) for n in (4, 8, 32)]
    assert exponents(drawings)["cached"] == pytest.approx((1, 1))
    assert exponents(drawings)["uncached"] == pytest.approx((2.5, 2.5))


def test_memories_are_measured_not_computed(monkeypatch):
    drawing = Drawing(6, 1.0, 1.0, remembered(6, 8, 2))
    assert all(row.holds for row in memories([drawing], 8, 2))
    monkeypatch.setattr(texts, "memory_bytes", lambda memory: 8)
    wrong = Drawing(6, 1.0, 1.0, remembered(6, 8, 2))
    assert not any(row.holds for row in memories([wrong], 8, 2))


def test_the_command_leaves_rows_and_a_figure(tmp_path, capsys):
    options = ["--lengths", "4", "8", "--layers", "1", "--width", "8", "--rounds", "1", "--draws", "500"]
    attention.main([*options, "--out", str(tmp_path)])
    assert "all 17 figures hold" in capsys.readouterr().out
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert [row["length"] for row in rows if "length" in row] == [4, 8]
    assert (tmp_path / "attention.png").is_file()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"lengths": (4,)}, r"expected --lengths of two or more that rise, from 2 on, got \(4,\)"),
        ({"lengths": (8, 4)}, "that rise"),
        ({"lengths": (1, 4)}, "from 2 on"),
        ({"width": 12}, "expected --width, a multiple of 8 for 4 heads, got 12"),
        ({"rounds": 0}, "expected --rounds of at least 1, got 0"),
        ({"seed": -1}, "expected --seed"),
    ],
)
def test_refusals(wrong, message):
    with pytest.raises(InputError, match=message):
        Settings(**wrong).check()
