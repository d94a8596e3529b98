"""Rows are appended, kept up to the step a run goes on from, and known again."""

import errno
import json

import pytest

from jensen.experiments.run.errors import InputError
from jensen.experiments.run.metrics import NAME, Metrics, read


def row(step, kind="train", **values):
    return {"kind": kind, "step": step, **values}


def write(folder, *rows, step=0):
    with Metrics(folder, step) as metrics:
        for each in rows:
            metrics.append(each)
    return metrics


def test_rows_come_back_and_numbers_that_are_not_finite_are_null(tmp_path):
    assert read(tmp_path) == []
    write(tmp_path, row(5, loss=0.1 + 0.2, best=None), row(5, "held-out", score=float("nan")))
    assert read(tmp_path) == [row(5, loss=0.1 + 0.2, best=None), row(5, "held-out", score=None)]


def test_rows_beyond_the_step_are_dropped(tmp_path):
    write(tmp_path, row(5), row(10), row(10, "held-out"), row(15))
    first = (tmp_path / NAME).read_bytes()
    write(tmp_path, row(15), step=10)
    assert (tmp_path / NAME).read_bytes() == first


def test_a_row_that_a_kill_cut_short_is_left_out(tmp_path):
    write(tmp_path, row(5), row(10))
    whole = (tmp_path / NAME).read_bytes()
    for length in range(len(whole) // 2, len(whole)):
        (tmp_path / NAME).write_bytes(whole[:length])
        assert read(tmp_path) == [row(5)]
    write(tmp_path, row(10), step=5)
    assert (tmp_path / NAME).read_bytes() == whole


def test_other_rows_than_the_checkpoint_knows_are_refused(tmp_path):
    with Metrics(tmp_path, 0) as metrics:
        metrics.append(row(5, loss=1.25))
        known = metrics.digest
        metrics.append(row(10, loss=1.0))
    with Metrics(tmp_path, 5, known) as again:
        assert again.digest == known
    content = (tmp_path / NAME).read_bytes()
    for other in (content.replace(b"1.25", b"1.26"), b"", content + content):
        (tmp_path / NAME).write_bytes(other)
        with pytest.raises(InputError, match="has other rows than the run wrote up to step 5: restore it, or remove"):
            Metrics(tmp_path, 5, known)
        assert (tmp_path / NAME).read_bytes() == other
    (tmp_path / NAME).unlink()
    write(tmp_path, step=5)
    assert read(tmp_path) == []


@pytest.mark.parametrize(
    "line",
    ["garbage", "[1]", "5", "null", '{"kind": "train"}', '{"kind": "train", "step": true}', '{"step": 5}',
     '{"kind": "train", "step": 5.0}', '{"kind": 1, "step": 5}', '{"kind": "train", "step": "5"}', "",
     '{"kind": "train", "step": 5, "loss": NaN}', "[" * 100_000, "9" * 5_000],
    ids=lambda line: line[:40],
)  # fmt: skip
def test_damage_is_one_line_with_the_cure(line, tmp_path):
    (tmp_path / NAME).write_text(f"{json.dumps(row(5))}\n{line}\n{json.dumps(row(10))}\n")
    with pytest.raises(InputError, match=r"metrics\.jsonl is damaged .*: restore it, or remove it to go on") as refused:
        read(tmp_path)
    assert "\n" not in str(refused.value)


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    metrics = Metrics(tmp_path, 0, onwards="then go on").__enter__()
    file = metrics._file

    class Full:
        def write(self, content):
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self):
            file.close()
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(metrics, "_file", Full())
    before = metrics.digest
    with pytest.raises(InputError, match=r"could not be written .*: make room, then go on"):
        metrics.append(row(5))
    assert metrics.digest == before
    metrics.__exit__()
