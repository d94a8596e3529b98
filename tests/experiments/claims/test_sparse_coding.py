"""What the claim of sparse coding prints of a short run, and its bar on a longer one."""

import json

import pytest

from jensen.experiments.claims import sparse_coding
from jensen.experiments.claims.sparse_coding import Settings
from jensen.experiments.data import images


def test_every_figure_is_printed_and_the_losses_agree(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(images, "PATCHES", 400)
    monkeypatch.setattr(images, "TEST_PATCHES", 30)
    sparse_coding.main([
        "--out", str(tmp_path), "--no-compile", "--epochs", "1", "--latent", "4", "--draws", "400", "--patches", "20",
    ])  # fmt: skip
    printed = capsys.readouterr().out
    rows = {row["name"]: row for row in map(json.loads, (tmp_path / "rows.jsonl").read_text().splitlines())}
    assert all(name in printed for name in rows)
    assert {path.name for path in tmp_path.glob("*.png")} == {"dictionary.png", "gabor.png"}
    loss = rows["sampled −E log p(x | z), beside the exact one"]
    assert abs(loss["value"] - loss["beside"]) < 5 * loss["error"]


def test_what_cannot_work_is_refused(tmp_path, refused):
    assert "expected --draws of at least 2, got 1" in refused(sparse_coding.main, "--draws", 1)


@pytest.mark.slow
def test_half_of_the_filters_are_gabor_functions(tmp_path):
    """And few of the principal axes; most rates are small."""
    rows = {row.name: row.value for row in sparse_coding.run(Settings(tmp_path, epochs=15))}
    print(rows)
    assert rows["dictionary: share of R² above 0.6"] > 0.5 > rows["principal axes: share of R² above 0.6"]
    assert rows["rates below 0.1, share"] > 0.8
