"""Files are the old ones or the new ones, and JSON is strict both ways; a failure is one line with its cure."""

import errno
import json
import math
import os
import shutil
from pathlib import Path

import pytest

from jensen.experiments.run import files
from jensen.experiments.run.errors import InputError

GONE = f"{2**22 + 1}-1"  # of a process with an id above the largest that Linux gives


def in_place(path, content, onwards=files.AGAIN):
    """A planted bug."""
    with path.open("wb") as file:
        file.write(content[: len(content) // 2])
        os.fsync(file.fileno())
        file.write(content[len(content) // 2 :])


def left(write, path, monkeypatch, stop):
    """What a write leaves that is stopped in its middle."""
    path.write_bytes(b"old content")

    def fail(descriptor):
        raise stop

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises((InputError, KeyboardInterrupt, OSError)):
            write(path, b"new content")
    return {each.name: each.read_bytes() for each in path.parent.iterdir()}


@pytest.mark.parametrize("stop", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()], ids=repr)
def test_a_stopped_write_leaves_the_old_file_alone(stop, tmp_path, monkeypatch):
    assert left(files.write_atomically, tmp_path / "a", monkeypatch, stop) == {"a": b"old content"}
    assert left(in_place, tmp_path / "a", monkeypatch, stop) != {"a": b"old content"}


def test_a_failure_names_what_was_to_be_written():
    """Not the folder that was to become it."""
    path = files.temporary(Path("runs/export")) / "sample.program.pt2"
    refused = files.unwritten(path, OSError(errno.ENOSPC, "No space left on device"), files.AGAIN)
    assert str(refused).startswith("runs/export/sample.program.pt2 could not be written (No space")


def test_a_finished_write_leaves_the_new_file_alone(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    files.write_atomically(tmp_path / "a", b"new")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"new"}


@pytest.mark.parametrize(
    ("number", "cure"),
    [
        (errno.ENOSPC, "(No space left on device): make room, then"),
        (errno.EDQUOT, ": make room, then"),
        (errno.EACCES, "(Permission denied): make it writable, then"),
        (errno.EROFS, ": make it writable, then"),
        (errno.EISDIR, "(Is a directory): move what is there away, then"),
        (errno.ENOENT, ": it was removed while the command ran: put it back, then"),
        (errno.EIO, "(Input/output error): mend that, then"),
    ],
)
def test_a_failed_write_has_the_cure_of_its_errno(number, cure, tmp_path):
    message = str(files.unwritten(tmp_path / "a", OSError(number, os.strerror(number)), files.AGAIN))
    assert message.startswith(f"{tmp_path / 'a'} could not be written")
    assert f"{cure} run the command again" in message


def test_a_deleted_folder_is_not_told_to_make_room(tmp_path):
    folder = tmp_path / "run"
    files.make(folder)
    shutil.rmtree(folder)
    with pytest.raises(InputError, match="was removed while the command ran: put it back") as refused:
        files.write_json(folder / "a.json", {})
    assert "make room" not in str(refused.value)


def test_a_folder_in_the_way_is_named(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(InputError, match=r"\(Is a directory\): move what is there away"):
        files.write_atomically(tmp_path / "a", b"")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file cannot be made .*: choose another --out"):
        files.make(tmp_path / "file")


def test_leftovers_of_killed_processes_are_removed_and_nothing_else(tmp_path):
    (tmp_path / f".a.json.{GONE}.partial").write_text("")
    (tmp_path / f".figures.{GONE}.partial").mkdir()
    (tmp_path / f".figures.{GONE}.partial" / "one.png").write_text("")
    (tmp_path / f".b.json.{os.getpid()}-1.partial").write_text("")  # of another process that had this one's id
    others = {f".c.json.{os.getppid()}-1.partial", files.temporary(tmp_path / "d").name, "e.partial",
              f"f.{GONE}.partial.txt", f"g.json.{GONE}.partial"}  # fmt: skip
    for name in others:
        (tmp_path / name).write_text("")
    files.make(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == others


def test_who_is_alone_removes_what_processes_that_live_or_are_forks_of_one_have_left(tmp_path):
    """A process's id may have been given to another one, and forks have a start in common."""
    (tmp_path / "figures").mkdir()
    own = {files.temporary(tmp_path / "d"), files.temporary(tmp_path / "figures/e")}
    fork = tmp_path / f".a.{GONE.split('-')[0]}-{files.STARTED}.partial"
    alive = {tmp_path / f".a.{os.getppid()}-1.partial", tmp_path / f"figures/.b.png.{os.getppid()}-1.partial"}
    for path in {*own, *alive, fork}:
        path.write_text("")
    files.sweep(tmp_path)
    assert set(tmp_path.rglob("*.partial")) == own | alive
    files.sweep(tmp_path, alone=True)
    assert set(tmp_path.rglob("*.partial")) == own


def test_a_folder_moved_away_by_a_killed_process_is_put_back(tmp_path):
    (tmp_path / f".evaluation.{GONE}.old").mkdir()
    (tmp_path / f".evaluation.{GONE}.old" / "report.txt").write_text("whole")
    files.sweep(tmp_path)
    assert (tmp_path / "evaluation" / "report.txt").read_text() == "whole"
    (tmp_path / f".evaluation.{GONE}.old").mkdir()
    files.sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["evaluation"]


def test_numbers_that_are_not_finite_are_null(tmp_path):
    value = {"a": math.nan, "b": [1.5, -math.inf, (math.inf, 2)], "c": {"d": None, "e": True, "f": "NaN"}}
    expected = {"a": None, "b": [1.5, None, [None, 2]], "c": {"d": None, "e": True, "f": "NaN"}}
    assert files.finite(value) == expected
    files.write_json(tmp_path / "a.json", value)
    files.write_rows(tmp_path / "a.jsonl", [value, value])
    assert files.read_json(tmp_path / "a.json", "") == expected
    assert [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()] == [expected] * 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[" * 100_000, "is damaged"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "is damaged"),
        (b"9" * 5_000, "is damaged"),
        (b"1e999", "1e999 is no number of JSON"),
        (b"[NaN]", "NaN is no number of JSON"),
        (b"[-Infinity]", "is no number of JSON"),
        (b'"\xff\xfe', "is damaged"),
        (b"", "is damaged"),
        (b'{"a": 1}\0\0', "is damaged"),
        (None, r"cannot be read \(No such file"),
    ],
    ids=["deep list", "deep object", "huge int", "overflow", "nan", "infinity", "no text", "empty", "zeros", "missing"],
)
def test_what_is_no_json_is_refused_in_one_line(content, message, tmp_path):
    if content is not None:
        (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(InputError, match=message) as refused:
        files.read_json(tmp_path / "a.json", "restore it")
    assert str(refused.value).startswith(f"{tmp_path / 'a.json'} ")
    assert str(refused.value).endswith(": restore it")
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 400


def test_the_digest_of_a_file_is_that_of_its_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc" * 1_000_000)
    assert files.digest(tmp_path / "a") == files.digest(b"abc" * 1_000_000)
    assert files.digest(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
