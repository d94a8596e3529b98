"""An export that was damaged anywhere is refused in one line or computes the same; what is planted in it never runs."""

import json
import random
import shutil
import subprocess
import zipfile
from dataclasses import replace

import pytest
import torch

from jensen.experiments import serve
from jensen.experiments.deployment import load
from jensen.experiments.deployment.manifest import MANIFEST, read_manifest, write_manifest
from jensen.experiments.run import files
from jensen.experiments.run.errors import InputError
from tests.experiments.process import PATIENCE

Z = torch.linspace(-2, 2, 6).reshape(3, 2)
PLANTED = r"""
#include <fcntl.h>
__attribute__((constructor)) static void run(void) { open("%s", O_CREAT | O_WRONLY, 0600); }
"""


def damage(draw, folder):
    """One file: which, and how."""
    there = sorted(folder.iterdir())
    path, other = draw.choice(there), draw.choice(there)
    content = path.read_bytes()
    a, b = sorted(draw.choices(range(len(content)), k=2))
    ways = {
        "bit": lambda: path.write_bytes(content[:a] + bytes([content[a] ^ 1 << draw.randrange(8)]) + content[a + 1 :]),
        "cut": lambda: path.write_bytes(content[:a]),
        "hole": lambda: path.write_bytes(content[:a] + content[b:]),
        "zeros": lambda: path.write_bytes(content[:a] + bytes(b - a) + content[b:]),
        "appended": lambda: path.write_bytes(content + draw.randbytes(20)),
        "twice": lambda: path.write_bytes(content * 2),
        "empty": lambda: path.write_bytes(b""),
        "garbage": lambda: path.write_bytes(draw.randbytes(500)),
        "deep": lambda: path.write_text("[" * 20_000),
        "gone": path.unlink,
        "folder": lambda: (path.unlink(), path.mkdir()),
        "dangling": lambda: (path.unlink(), path.symlink_to("/nowhere/at/all")),
        "exchanged": lambda: (path.write_bytes(other.read_bytes()), other.write_bytes(content)),
    }
    how = draw.choice(sorted(ways))
    ways[how]()
    return path.name, how


def outcomes(count, seed, written, where, vouch):
    """How many of so many damages are refused, and how many leave an export that computes the same or not at all."""
    draw, counts = random.Random(seed), {"refused": 0, "loaded": 0}
    expected = load(written, only=("decode",))["decode"](Z)
    for _ in range(count):
        shutil.rmtree(where, ignore_errors=True)
        shutil.copytree(written, where)
        case = damage(draw, where)
        if vouch and case[0] == MANIFEST:
            continue
        said, found = "", None
        try:
            if vouch:
                vouched(where)
            found = load(where, only=("decode",))["decode"](Z)
        except InputError as refusal:
            said = str(refusal)
        except Exception as error:
            raise AssertionError(case) from error
        assert "\n" not in said, case
        assert len(said) < 700, case
        assert found is None or vouch or torch.equal(found, expected), case
        counts["refused" if said else "loaded"] += 1
    return counts


def vouched(folder):
    """The manifest anew, as somebody writes it who damages a folder on purpose."""
    manifest = read_manifest(folder)
    there = [name for name in manifest.files if (folder / name).is_file()]
    manifest.files.update({name: files.digest(folder / name) for name in there})
    write_manifest(folder, manifest)


def test_damaged_exports_are_refused(written, tmp_path):
    """A digest is of every byte: what is left are spaces of the manifest."""
    counts = outcomes(60, 1, written, tmp_path / "damaged", vouch=False)
    assert counts["refused"] > 50


@pytest.mark.slow
def test_1000_damaged_exports(written, tmp_path):
    assert outcomes(1000, 2, written, tmp_path / "damaged", vouch=False)["refused"] > 900


@pytest.mark.slow
def test_damages_that_a_manifest_vouches_for_are_one_line_too(written, tmp_path):
    """Bits of parameters change what is computed; all else is refused, by whatever reads it, in one line."""
    counts = outcomes(200, 3, written, tmp_path / "damaged", vouch=True)
    assert min(counts.values()) > 0


@pytest.mark.parametrize("change", [{"program": "other.pt2"}, {"aot": "none.pt2"}, {"program": "../x.pt2"}])
def test_a_manifest_vouches_for_what_it_names(change, copied):
    manifest = read_manifest(copied)
    decode = replace(manifest.functions["decode"], **change)
    write_manifest(copied, replace(manifest, functions={**manifest.functions, "decode": decode}))
    with pytest.raises(InputError, match=rf"has no sha256 of {next(iter(change.values()))}: export the run again"):
        load(copied)


def test_a_manifest_vouches_for_parameters(copied):
    manifest = read_manifest(copied)
    del manifest.files["params.safetensors"]
    write_manifest(copied, manifest)
    with pytest.raises(InputError, match="has no sha256 of params"):
        load(copied)


def test_planted_machine_code_never_runs(copied, tmp_path, refused):
    """A library whose loading makes a file, in the place of every kind of file, is refused by load and by serve."""
    canary, source, library = (tmp_path / name for name in ("ran", "planted.c", "planted.so"))
    source.write_text(PLANTED % canary)
    subprocess.run(["cc", "-shared", "-fPIC", str(source), "-o", str(library)], check=True, timeout=PATIENCE)
    package = tmp_path / "package.pt2"
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("decode/archive_format", "pt2")
        archive.writestr("decode/data/aotinductor/model/planted.wrapper.so", library.read_bytes())
    for name, planted in (("decode.program.pt2", package), ("decode.program.pt2", library), ("config.json", library)):
        whole = (copied / name).read_bytes()
        shutil.copyfile(planted, copied / name)
        with pytest.raises(InputError, match="its sha256 is not that of manifest"):
            load(copied)
        assert "its sha256 is not that of manifest.json" in refused(serve.main, copied)
        (copied / name).write_bytes(whole)
    values = json.loads((copied / MANIFEST).read_text())
    values["functions"]["decode"]["aot"] = "decode.pt2"
    (copied / MANIFEST).write_text(json.dumps(values))
    shutil.copyfile(package, copied / "decode.pt2")
    with pytest.raises(InputError, match="its checksum is not that of its content"):
        load(copied)
    assert not canary.exists()
