"""A folder that was damaged anywhere is refused in one line, or comes to the bits of one that was not."""

import json
import random
import shutil

import pytest
import safetensors.torch
import torch

from jensen.experiments import evaluate, train
from jensen.experiments.programs.latent import LatentProgram
from jensen.experiments.report import written
from jensen.experiments.run import checkpoints, files, folder, session
from jensen.experiments.run.folder import CONFIG
from jensen.experiments.run.loop import Loop
from tests.experiments.process import run

SMALL = [
    "--no-compile", "--batch", "20", "--hidden", "4", "--latent", "2", "--evidence-k", "2", "--checkpoint-every", "5",
    "--log-every", "3", "--keep", "2", "--average", "0.9", "--held-out", "0.1", "--patience", "50",
]  # fmt: skip
LITTLE = ["--images", "2", "--k", "1", "2", "--chains", "2", "--temperatures", "1", "--gap-images", "0"]


class StopError(Exception):
    """As if the process had ended there."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A finished run, the same before its first checkpoint and between two, another, and a longer one."""
    place = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        undrawn(patch)
        for name, options in {"finished": (), "other": ("--seed", 1), "longer": ("--steps", 30)}.items():
            run(*SMALL, "--steps", 20, *options, "--out", place / name)
            if name != "longer":
                evaluate.main([str(place / name), *LITTLE])
        for name, step in {"new": 3, "begun": 13}.items():
            with patch.context() as stop:
                stop.setattr(Loop, "step", stopping(step, Loop.step))
                with pytest.raises(StopError):
                    run(*SMALL, "--steps", 20, "--out", place / name)
    return place


def undrawn(patch):
    """Files of a few bytes stand for figures."""
    for module in (session, written):
        patch.setattr(module, "png", lambda figure: b"a picture")
    patch.setattr(session, "training", lambda rows: None)
    patch.setattr(LatentProgram, "figures", lambda *args: {"samples": None, "latent": None})


def stopping(at, step):
    def stop(loop):
        if loop.progress.step == at:
            raise StopError
        step(loop)

    return stop


def swapped(draw, path, where, runs):
    """The file of that name, or of that kind, of another run.

    Of a run of the same settings it is no config.json, which would ask for a longer run.
    """
    names = ["other"] if path.name == CONFIG else ["other", "longer"]
    whose = runs / draw.choice(names)
    same = whose / path.relative_to(where)
    alike = [each for each in sorted(whose.rglob("*")) if each.is_file() and each.suffix == path.suffix]
    path.write_bytes((same if same.is_file() else draw.choice(alike or [same.parent / CONFIG])).read_bytes())


def replace_by_folder(path, *rest):
    path.unlink()
    path.mkdir()
    for name in rest:
        (path / name).write_text("")


def dangle(path):
    path.unlink()
    path.symlink_to("/nowhere/at/all")


def damage(draw, where, runs):
    """One file of the folder: which, and how."""
    there = sorted(path for path in where.rglob("*") if path.is_file())
    path, other = draw.choice(there), draw.choice(there)
    content = path.read_bytes()
    a, b = sorted(draw.choices(range(len(content) + 1), k=2))
    some = draw.randbytes(draw.randrange(1, 2000))
    ways = {
        "bit": lambda: path.write_bytes(content[:a] + bytes([content[a] ^ 1 << draw.randrange(8)]) + content[a + 1 :]),
        "byte": lambda: path.write_bytes(content[:a] + draw.randbytes(1) + content[a + 1 :]),
        "cut": lambda: path.write_bytes(content[:a]),
        "hole": lambda: path.write_bytes(content[:a] + content[b:]),
        "twice": lambda: path.write_bytes(content + content),
        "zeros": lambda: path.write_bytes(bytes(len(content))),
        "empty": lambda: path.write_bytes(b""),
        "garbage": lambda: path.write_bytes(some),
        "deep": lambda: path.write_text("[" * 20_000),
        "gone": path.unlink,
        "folder": lambda: replace_by_folder(path),
        "full folder": lambda: replace_by_folder(path, "a"),
        "dangling": lambda: dangle(path),
        "swapped": lambda: swapped(draw, path, where, runs),
        "exchanged": lambda: (path.write_bytes(other.read_bytes()), other.write_bytes(content)),
    }
    unlike = ("bit",) if a == len(content) else ()
    how = draw.choice([way for way in ways if way not in unlike])
    ways[how]()
    return f"{path.relative_to(where)}: {how}"


def found(path):
    """What a run came to: every tensor of its last checkpoint, and the findings of its report."""
    tensors = dict(checkpoints.load(folder.series(path)[-1]).tensors)
    return tensors, json.loads((path / "report.json").read_text())["findings"]


def same(ours, theirs):
    (a, one), (b, other) = ours, theirs
    return one == other and a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def ends(main, args, capsys):
    """True where a command ends well, False where it is refused as it should."""
    capsys.readouterr()
    code = None
    try:
        main(list(map(str, args)))
    except SystemExit as stop:
        code = stop.code
    lines = capsys.readouterr().err.splitlines()
    if code is not None:
        assert (code, len(lines)) == (2, 1)
        assert lines[0].startswith("error: ")
        assert len(lines[0]) < 700
    return code is None


def outcomes(count, seed, runs, where, capsys):
    """Of so many damages, how many are refused and how many are without consequence; there is no third."""
    draw, counts = random.Random(seed), {"refused": 0, "the same": 0}
    expected, judged = found(runs / "finished"), (runs / "finished/evaluation/report.json").read_bytes()
    for _ in range(count):
        name, evaluated = draw.choice([("finished", True), ("finished", False), ("begun", False), ("new", False)])
        shutil.rmtree(where, ignore_errors=True)
        shutil.copytree(runs / name, where)
        case = f"{name}, {'evaluated' if evaluated else 'resumed'}, {damage(draw, where, runs)}"
        lost = name == "new" and not (where / CONFIG).is_file()
        try:
            if ends(*((evaluate.main, [where, *LITTLE]) if evaluated else (train.main, ["--resume", where])), capsys):
                counts["the same"] += 1
                assert (
                    (where / "evaluation/report.json").read_bytes() == judged
                    if evaluated
                    else same(found(where), expected)
                )
            else:
                counts["refused"] += 1
            assert not list(where.rglob("*.partial"))
        except BaseException as error:
            if name == "new" and not lost and swapped_config(where, runs):
                continue  # before its first checkpoint, a run is whatever its config.json says
            raise AssertionError(case) from error
    return counts


def swapped_config(where, runs):
    return files.digest(where / CONFIG) == files.digest(runs / "other" / CONFIG)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    undrawn(monkeypatch)


def test_damaged_folders_are_refused_or_without_consequence(runs, tmp_path, capsys):
    counts = outcomes(40, 1, runs, tmp_path / "damaged", capsys)
    assert min(counts.values()) > 5


@pytest.mark.slow
def test_500_damaged_folders(runs, tmp_path, capsys):
    counts = outcomes(500, 2, runs, tmp_path / "damaged", capsys)
    assert min(counts.values()) > 50


def test_what_a_missing_checksum_would_let_through(runs, tmp_path, capsys, monkeypatch):
    """A planted bug: checkpoints that are not checked are trained on."""

    def unchecked(self, path, like=None, cure=None):
        content = path.read_bytes()
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        state = json.loads(json.loads(header["__metadata__"][checkpoints.ENTRY])["content"])["state"]
        return safetensors.torch.load(content), state

    monkeypatch.setattr(folder.RunFolder, "load", unchecked)
    draw, others = random.Random(3), 0
    for _ in range(4):
        shutil.rmtree(tmp_path / "damaged", ignore_errors=True)
        shutil.copytree(runs / "begun", tmp_path / "damaged")
        path = folder.series(tmp_path / "damaged")[-1]
        content = bytearray(path.read_bytes())
        content[draw.randrange(len(content) // 2, len(content))] ^= 4
        path.write_bytes(content)
        if ends(train.main, ["--resume", tmp_path / "damaged"], capsys):
            others += not same(found(tmp_path / "damaged"), found(runs / "finished"))
    assert others > 0
