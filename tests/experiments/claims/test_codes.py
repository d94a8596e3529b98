"""Ways to code are trained once for each seed and judged by test data; random vectors have the codes they should."""

import math

import pytest

from jensen.core.models.quantised import parse
from jensen.experiments.claims import codes, compared
from jensen.experiments.claims.codebooks import patches
from jensen.experiments.claims.codes import (
    BITS,
    QUANTISERS,
    Settings,
    completed,
    contenders,
    distinct,
    measure,
    verdict,
)
from jensen.experiments.claims.compared import Row
from jensen.experiments.claims.trained import Trained


@pytest.fixture
def runs(monkeypatch):
    """Stands in for training, and for what it leaves: numbers that differ by seed and way."""
    started = []

    def numbers(folder):
        seed = int(folder.name.rpartition("-")[2])
        if kinds[folder] == "vae":
            return {"pixels": 64.0, "reconstruction": -64 * (0.5 + math.log(math.pi) / 2), "kl": 9 * math.log(2)}
        return {"bits": 72.0, "squared_error": 0.01, "used": 0.96 + seed / 100, "evenness": 0.8 + seed / 100}

    def trained(kind, settings):
        started.append((kind, settings.run.seed))
        kinds[settings.run.out] = kind
        return Trained(-20.0, math.nan, math.nan, 1.0)

    kinds = {}
    monkeypatch.setattr(compared, "trained", trained)
    monkeypatch.setattr(compared, "numbers", numbers)
    return started


def test_every_way_is_trained_with_each_seed_and_leaves_rows_and_a_figure(runs, tmp_path):
    rows = measure(Settings(out=tmp_path / "all", seeds=2))
    assert len(runs) == len(rows) == 2 * (2 + len(QUANTISERS))
    assert runs[:3] == [("vae", 0), ("vae", 0), ("vq", 0)]
    assert (tmp_path / "all" / "codes.png").stat().st_size > 1000
    assert len((tmp_path / "all" / "rows.jsonl").read_text().splitlines()) == len(rows)
    said = verdict(codes.of_codes(rows))
    assert "FSQ: codes used, % 96.5 ± 0.5, at least 95" in said
    assert "VQ: perplexity, % 80.5 ± 0.5, at least 80" in said
    assert "restarts, from k-means: +0.0 ± 0.0" in said


def test_terms_of_a_model_without_codes_become_bits_and_squared_errors():
    terms = {"pixels": 64.0, "reconstruction": -64 * (0.5 + math.log(math.pi) / 2), "kl": 9 * math.log(2)}
    found = completed(Row("VAE", 0, terms)).numbers
    assert (found["squared_error"], found["bits"]) == pytest.approx((0.5, 9))


def test_all_quantisers_spend_as_many_bits_and_every_way_can_work(tmp_path):
    for spelled in QUANTISERS.values():
        quantiser = parse(spelled)
        assert quantiser.size ** getattr(quantiser, "depth", 1) == 2**BITS
    for name, one in contenders(Settings()).items():
        one.settings(0, tmp_path / name).check()


def test_random_vectors_have_fewer_codes_than_they_are():
    """163 of 512 for 196 uniform codes, by the formula; about 151 of a normal codebook in 10 dimensions."""
    rows = distinct(40)
    assert [row.exact for row in rows] == pytest.approx([512 * (1 - (511 / 512) ** 196)] * 4)
    assert all(row.holds for row in rows)
    assert rows[2].computed == pytest.approx(151, abs=4)


@pytest.mark.slow
def test_a_start_at_k_means_and_restarts_each_help_where_vectors_are_given():
    both, k_means, restarts, neither = (row.numbers for row in patches(1))
    assert max(both["squared_error"], k_means["squared_error"]) < restarts["squared_error"] < neither["squared_error"]
    assert min(both["used"], k_means["used"], restarts["used"]) > 90 > 80 > neither["used"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--seeds", 1), "one has no standard error"),
        (("--draws", 1), "--draws 1: expected at least 2"),
        (("--positions", 0), "expected --positions of at least 1, got 0"),
    ],
)
def test_bad_settings_are_one_clear_line(args, message, tmp_path, refused):
    assert message in refused(codes.main, *args, "--out", tmp_path / "all")
    assert not list(tmp_path.iterdir())
