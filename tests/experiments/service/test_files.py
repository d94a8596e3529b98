"""Files of an export that are not those that were written, at load and under a service that runs."""

import os
import shutil

import pytest

from jensen.experiments.deployment.manifest import MANIFEST, PARAMS
from tests.experiments.service.conftest import LATENT, TOKEN, read

GOOD = {"z": [[0.5] * LATENT]}
AUTH = {"authorization": f"Bearer {TOKEN}"}
PROGRAM = "decode.program.pt2"


def cut(folder, other):
    os.truncate(folder / PARAMS, 100)


def empty(folder, other):
    (folder / PROGRAM).write_bytes(b"")


def another_models(folder, other):
    shutil.copy(other / PARAMS, folder / PARAMS)


def linked(folder, other):
    (folder / PARAMS).unlink()
    (folder / PARAMS).symlink_to(other / PARAMS)


def linked_to_nothing(folder, other):
    (folder / PARAMS).unlink()
    (folder / PARAMS).symlink_to(folder / "none")


def endless(folder, other):
    (folder / PARAMS).unlink()
    (folder / PARAMS).symlink_to("/dev/zero")


def pipe(folder, other):
    (folder / PARAMS).unlink()
    os.mkfifo(folder / PARAMS)


def a_folder(folder, other):
    (folder / PROGRAM).unlink()
    (folder / PROGRAM).mkdir()


def edited_manifest(folder, other):
    text = (folder / MANIFEST).read_text()
    (folder / MANIFEST).write_text(text.replace('"toy"', '"joy"'))


def another_manifest(folder, other):
    shutil.copy(other / MANIFEST, folder / MANIFEST)


@pytest.fixture(scope="module")
def running(exports):
    from tests.experiments.service.conftest import Limits, Running

    running = Running(Limits(wait=0.002), (TOKEN,), read(exports[0]))
    yield running
    running.drain()


@pytest.mark.parametrize(
    ("damage", "name"),
    [(cut, PARAMS), (empty, PROGRAM), (another_models, PARAMS), (linked, PARAMS), (linked_to_nothing, PARAMS),
     (endless, PARAMS), (pipe, PARAMS), (a_folder, PROGRAM), (edited_manifest, MANIFEST), (another_manifest, MANIFEST)],
    ids=lambda each: getattr(each, "__name__", None),
)  # fmt: skip
def test_an_export_with_another_file_is_refused(running, exports, tmp_path, damage, name):
    """With the file's name and the fix; the model that is there stays."""
    folder = tmp_path / "export"
    shutil.copytree(exports[1], folder)
    damage(folder, exports[0])
    before = running.post("/v1/toy/decode", GOOD, **AUTH)
    status, error = running.post("/admin/swap", {"model": "toy", "folder": str(folder)}, **AUTH)
    assert (status, error["field"]) == (400, "folder")
    assert name in error["error"]
    assert running.post("/v1/toy/decode", GOOD, **AUTH) == before


def test_a_file_that_the_manifest_does_not_name_is_not_read(running, exports, tmp_path):
    folder = tmp_path / "export"
    shutil.copytree(exports[0], folder)
    os.mkfifo(folder / "another.program.pt2")
    assert running.post("/admin/swap", {"model": "toy", "folder": str(folder)}, **AUTH)[0] == 200
    assert running.post("/v1/toy/decode", GOOD, **AUTH)[0] == 200


def test_files_that_change_under_a_service_change_nothing(serve, exports, tmp_path):
    """Written over in place, cut to nothing, and taken away: replies keep their bytes."""
    folder = tmp_path / "export"
    shutil.copytree(exports[0], folder)
    running = serve(build=read(folder))
    before = running.post("/v1/toy/decode", GOOD)
    with (folder / PARAMS).open("r+b") as file:
        file.seek(-4 * 8, os.SEEK_END)
        file.write(b"\x40" * 4 * 8)
    assert running.post("/v1/toy/decode", GOOD) == before
    for path in folder.iterdir():
        os.truncate(path, 0)
    assert running.post("/v1/toy/decode", GOOD) == before
    shutil.rmtree(folder)
    assert running.post("/v1/toy/decode", GOOD) == before
