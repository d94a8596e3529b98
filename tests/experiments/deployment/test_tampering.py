"""Files that are not those that were written are refused with the reason, and what is planted in them never runs."""

import json
import os
import pickle
import shutil
import zipfile
from contextlib import suppress

import pytest
import torch

from jensen.experiments.deployment import load
from jensen.experiments.deployment.manifest import MANIFEST, PARAMS, read_manifest, write_manifest
from jensen.experiments.run import files
from jensen.experiments.run.errors import InputError

PROGRAM = "decode.program.pt2"


class Planted:
    """Unpickled, it makes a folder."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def refused(folder, **options):
    with pytest.raises(InputError) as error:
        load(folder, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def rewritten(path, change):
    """An archive whose every file is change(name, content)."""
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, each in content.items():
            archive.writestr(name, change(name, each))


def vouched(folder):
    """The manifest anew, for the files as they are: what somebody writes who replaces a whole folder."""
    digests = {name: files.digest(folder / name) for name in read_manifest(folder).files}
    manifest = read_manifest(folder)
    manifest.files.update(digests)
    write_manifest(folder, manifest)


@pytest.mark.parametrize("name", [PARAMS, PROGRAM, "config.json"])
@pytest.mark.parametrize("damage", ["one byte", "truncated", "missing"])
def test_a_damaged_file_is_refused_before_any_is_loaded(name, damage, copied, monkeypatch):
    monkeypatch.setattr("torch.export.load", lambda *_: pytest.fail("a program was loaded"))
    path = copied / name
    content = bytearray(path.read_bytes())
    if damage == "one byte":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    elif damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    else:
        path.unlink()
    said = refused(copied)
    assert name in said
    assert ("cannot be read" if damage == "missing" else "its sha256 is not that of manifest.json") in said
    assert said.endswith("export the run again")


def test_an_edited_manifest_is_refused(copied):
    path = copied / MANIFEST
    values = json.loads(path.read_text())
    values["functions"]["decode"]["inputs"][0]["shape"] = [3]
    path.write_text(json.dumps(values))
    assert "its checksum is not that of its content" in refused(copied)
    path.write_text(path.read_text()[:100])
    assert "is damaged" in refused(copied)
    path.write_text("[]")
    assert "is damaged" in refused(copied)
    path.unlink()
    assert "holds no export: pass the folder that has its manifest.json" in refused(copied)


def test_a_manifest_may_name_no_file_elsewhere(copied):
    manifest = read_manifest(copied)
    manifest.files["../outside"] = "0" * 64
    write_manifest(copied, manifest)
    assert "../outside is no file of the folder" in refused(copied)


def test_a_digest_tells_a_replaced_folder(copied, written):
    digest = files.digest(written / MANIFEST)
    assert "decode" in load(copied, digest=digest, only=("decode",))
    manifest = read_manifest(copied)
    manifest.left_out["dream"] = "another export"
    write_manifest(copied, manifest)
    load(copied, only=("decode",))
    assert f"expected the sha256 {digest}, got" in refused(copied, digest=digest)


@pytest.mark.parametrize("place", ["sample_inputs", "weights"])
def test_a_planted_pickle_never_runs(place, copied, tmp_path):
    """Not by its digest, and where the manifest vouches for it, not by what the archive asks to unpickle."""
    planted = pickle.dumps(Planted(tmp_path / "ran"))

    def plant(name, content):
        if place == "weights" and name.endswith("model_weights_config.json"):
            table = json.loads(content)
            next(iter(table["config"].values()))["use_pickle"] = True
            return json.dumps(table)
        return planted if f"/{place}/" in name and not name.endswith(".json") else content

    rewritten(copied / PROGRAM, plant)
    assert "its sha256 is not that of manifest.json" in refused(copied)
    vouched(copied)
    assert f"{PROGRAM} is refused" in refused(copied)
    assert not (tmp_path / "ran").exists()


def test_the_planted_pickle_would_run(written, tmp_path):
    """torch.export.load alone runs it: what the tests above look for does happen."""
    bad = shutil.copy(written / PROGRAM, tmp_path / "bad.pt2")
    planted = pickle.dumps(Planted(tmp_path / "ran"))
    rewritten(bad, lambda name, content: planted if "/sample_inputs/" in name else content)
    with suppress(Exception):  # whatever it says when the code has run
        torch.export.load(bad)
    assert (tmp_path / "ran").exists()


def test_two_files_of_one_name_are_refused(copied):
    with zipfile.ZipFile(copied / PROGRAM, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr(archive.namelist()[0], b"")
    vouched(copied)
    assert "it holds two files of one name" in refused(copied)


def test_parameters_of_another_run_are_refused(copied):
    from safetensors.torch import load_file, save_file

    params = load_file(copied / PARAMS)
    name = next(name for name in params if "decoder" in name)
    save_file({**params, name: params[name][:1].clone()}, copied / PARAMS)
    vouched(copied)
    assert f"is not of params.safetensors ({name} differs)" in refused(copied)


def test_what_there_is_not_is_refused(written):
    assert "expected one of score, decode" in refused(written, only=("dream",))
    assert "has no package of score for this machine (none was compiled)" in refused(written, backend="aot")
