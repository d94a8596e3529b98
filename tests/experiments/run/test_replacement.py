"""A folder is replaced whole or not at all, and never one that holds a user's files."""

import errno
import os
import shutil

import pytest

from jensen.experiments.run import files
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.replacement import check_replaceable, replaced


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def write(folder, text, meanwhile=lambda: None):
    with replaced(folder) as target:
        (target / "report.txt").write_text(text)
        (target / "figures").mkdir()
        meanwhile()
        (target / "figures" / "one.png").write_text(text)


@pytest.fixture
def written(tmp_path):
    write(tmp_path / "evaluation", "first")
    return tmp_path / "evaluation"


def test_what_was_written_is_replaced(written):
    write(written, "second")
    assert (written / "report.txt").read_text() == (written / "figures/one.png").read_text() == "second"
    assert [path.name for path in written.parent.iterdir()] == ["evaluation"]


def test_an_empty_folder_is_replaced(tmp_path):
    (tmp_path / "evaluation").mkdir()
    write(tmp_path / "evaluation", "first")
    assert (tmp_path / "evaluation" / "report.txt").read_text() == "first"


def notes(folder):
    (folder / "notes.txt").write_text("mine")


def deep(folder):
    (folder / "figures" / "mine.png").write_text("mine")


def changed(folder):
    (folder / "report.txt").write_text("first, with my remarks")


def linked(folder):
    (folder / "report.txt").unlink()
    (folder / "report.txt").symlink_to("/nowhere")


def empty(folder):
    (folder / "mine").mkdir()


def unlisted(folder):
    (folder / "manifest.json").write_text('{"files": []}')


@pytest.mark.parametrize("own", [notes, deep, changed, linked, empty, unlisted])
def test_a_users_own_files_are_never_replaced(own, written):
    own(written)
    before = contents(written)
    with pytest.raises(InputError, match="which was not written there by this command: move it away"):
        write(written, "second")
    with pytest.raises(InputError):
        check_replaceable(written)
    assert contents(written) == before
    assert [path.name for path in written.parent.iterdir()] == ["evaluation"]


def test_a_folder_without_a_manifest_is_the_users(tmp_path):
    (tmp_path / "evaluation").mkdir()
    notes(tmp_path / "evaluation")
    with pytest.raises(InputError, match=r"evaluation holds notes\.txt, which was not written there"):
        write(tmp_path / "evaluation", "second")


def test_a_file_that_came_meanwhile_stays(written):
    with pytest.raises(InputError, match=r"evaluation holds notes\.txt"):
        write(written, "second", lambda: notes(written))
    assert (written / "notes.txt").read_text() == "mine"
    assert (written / "report.txt").read_text() == "first"
    assert [path.name for path in written.parent.iterdir()] == ["evaluation"]


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), InputError("no"), OSError(errno.ENOSPC, "full")], ids=repr)
def test_a_stopped_replacement_leaves_the_old_one(stop, written):
    def fail():
        raise stop

    before = contents(written)
    with pytest.raises((KeyboardInterrupt, InputError)):
        write(written, "second", fail)
    assert contents(written) == before
    assert [path.name for path in written.parent.iterdir()] == ["evaluation"]


def test_a_kill_between_the_two_renames_is_mended_at_the_next_start(written):
    gone = f"{2**22 + 1}-1"
    written.rename(written.with_name(f".evaluation.{gone}.old"))
    written.with_name(f".evaluation.{gone}.partial").mkdir()
    files.sweep(written.parent)
    assert (written / "report.txt").read_text() == "first"
    assert [path.name for path in written.parent.iterdir()] == ["evaluation"]


def test_a_deleted_parent_is_named(tmp_path):
    folder = tmp_path / "run" / "evaluation"
    folder.parent.mkdir()
    with pytest.raises(InputError, match="was removed while the command ran"):
        write(folder, "first", lambda: shutil.rmtree(folder.parent))


def test_a_file_in_the_way_and_a_closed_folder_are_named(tmp_path, monkeypatch):
    (tmp_path / "evaluation").write_text("mine")
    with pytest.raises(InputError, match="there is a file"):
        check_replaceable(tmp_path / "evaluation")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(InputError, match="make it writable"):
        check_replaceable(tmp_path / "other")
