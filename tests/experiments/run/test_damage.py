"""Damaged run files: refused in one line, or loaded as they were. Never a traceback, never other values."""

import json
import random
from dataclasses import dataclass, field

import pytest
import safetensors.torch
import torch

from jensen.experiments.run import files
from jensen.experiments.run.checkpoints import ENTRY, checksum
from jensen.experiments.run.config import FREE, from_json
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.folder import CONFIG, created, read_config
from jensen.experiments.run.metrics import NAME, Metrics, read

DAMAGES = 200


@dataclass(frozen=True)
class Adam:
    lr: float = 1e-3


@dataclass(frozen=True)
class Vae:
    adam: Adam = Adam()
    hidden: tuple[int, ...] = (200, 200)
    log_every: int = field(default=50, metadata=FREE)


TENSORS = {"params.weight": torch.arange(600.0).reshape(2, 300), "optimiser.weight/step": torch.tensor(7.0)}
STATE = {"step": 7, "sums": {"kl": 0.3}}


@pytest.fixture
def run(tmp_path):
    with created(tmp_path / "run", Vae(), "data") as run:
        run.begin(2)
        run.save(7, TENSORS, STATE, 2)
        with Metrics(run.path, 0) as metrics:
            for step in range(1, 8):
                metrics.append({"kind": "train", "step": step, "loss": 1 / step})
    return run, metrics.digest


def damaged(draw: random.Random, content: bytes) -> bytes:
    """Flipped bits, a lost end, lost, swapped, doubled, zeroed or random bytes."""
    a, b = sorted(draw.choices(range(len(content)), k=2))
    c = draw.randint(b, len(content))
    return draw.choice(
        [
            lambda: content[:a] + bytes([content[a] ^ 1 << draw.randrange(8)]) + content[a + 1 :],
            lambda: content[:a] + bytes([draw.randrange(256)]) + content[a + 1 :],
            lambda: content[:a],
            lambda: content[:a] + content[b:],
            lambda: content[:a] + content[b:c] + content[a:b] + content[c:],
            lambda: content[:b] + content[a:],
            lambda: content[:a] + bytes(b - a) + content[b:],
            lambda: content[:a] + draw.randbytes(b - a) + content[b:],
        ]
    )()


def ends(path, load, expected):
    """How many damages are refused, are without consequence, and give other values; anything else raises."""
    draw, content, lines = random.Random(0), path.read_bytes(), []
    counts = {"refused": 0, "same": 0, "other": 0}
    for _ in range(DAMAGES):
        path.write_bytes(damaged(draw, content))
        try:
            counts["same" if load() == expected else "other"] += 1
        except InputError as error:
            lines.append(str(error))
            counts["refused"] += 1
    assert all("\n" not in line and len(line) < 600 for line in lines)
    path.write_bytes(content)
    assert load() == expected
    return counts


def as_values(tensors, state):
    return checksum(tensors), json.dumps(state)


def unchecked_checkpoint(path):
    """A planted bug: no checksum."""
    try:
        content = path.read_bytes()
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        entry = json.loads(header["__metadata__"][ENTRY])
        return as_values(safetensors.torch.load(content), json.loads(entry["content"])["state"])
    except Exception as error:
        raise InputError("damaged") from error


def test_damaged_checkpoints(run):
    folder, _ = run
    path, expected = folder.latest(), as_values(TENSORS, STATE)
    found = ends(path, lambda: as_values(*folder.load(path, like=TENSORS)), expected)
    assert found["other"] == 0
    assert found["refused"] > DAMAGES / 2
    assert ends(path, lambda: unchecked_checkpoint(path), expected)["other"] > 10


def unchecked_config(path):
    """A planted bug: no checksum."""
    values = files.read_json(path, "")
    return from_json(Vae, {name: value for name, value in values.items() if name != "checksum"})


def test_damaged_settings(run):
    folder, _ = run
    path = folder.path / CONFIG
    found = ends(path, lambda: read_config(folder.path, Vae), Vae())
    assert found["other"] == 0
    assert found["refused"] > DAMAGES / 2

    def unchecked():
        try:
            return unchecked_config(path)
        except (AttributeError, TypeError) as error:
            raise InputError("damaged") from error

    assert ends(path, unchecked, Vae())["other"] > 0


def test_damaged_metrics(run):
    folder, digest = run
    path, expected = folder.path / NAME, read(folder.path)

    def load():
        with Metrics(folder.path, 7, digest):
            return read(folder.path)

    found = ends(path, load, expected)
    assert found["other"] == 0
    assert found["refused"] > DAMAGES / 2
    assert ends(path, lambda: read(folder.path), expected)["other"] > 10  # a planted bug: no digest


def test_files_of_two_runs_swapped(run, tmp_path):
    folder, digest = run
    with created(tmp_path / "other", Vae(Adam(1e-2)), "data") as other, Metrics(other.path, 0):
        other.begin(2)
        other.save(7, TENSORS, STATE, 2)
    for name, load in (
        ("step-000007.safetensors", lambda: folder.load(folder.latest())),
        (NAME, lambda: Metrics(folder.path, 7, digest)),
    ):
        own = (folder.path / name).read_bytes()
        (folder.path / name).write_bytes((other.path / name).read_bytes())
        with pytest.raises(InputError):
            load()
        (folder.path / name).write_bytes(own)
    (folder.path / CONFIG).write_bytes((other.path / CONFIG).read_bytes())
    with (
        created(tmp_path / "third", read_config(folder.path, Vae), "data") as third,
        pytest.raises(
            InputError, match=r"is of another run: it has --adam\.lr 0\.001 where this run has --adam\.lr 0\.01"
        ),
    ):
        third.load(folder.latest())
