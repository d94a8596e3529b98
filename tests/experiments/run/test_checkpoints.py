"""A checkpoint comes back as it was saved, every bit, or is refused in one line before anything is copied from it."""

import dataclasses
import json
import pickle
from dataclasses import dataclass, field

import pytest
import safetensors.torch
import torch

from jensen.experiments.run import checkpoints
from jensen.experiments.run.checkpoints import Checkpoint, checksum, digest, load, save
from jensen.experiments.run.config import FREE, decisive
from jensen.experiments.run.errors import InputError


@dataclass(frozen=True)
class Vae:
    latent: int = 2
    log_every: int = field(default=50, metadata=FREE)


TENSORS = {
    "params.model.0.weight": torch.arange(6.0).reshape(2, 3),
    "optimiser.model.0.weight/exp_avg": torch.full((2, 3), 0.5),
    "optimiser.model.0.weight/step": torch.tensor(7.0),
    "state.codes": torch.arange(4).reshape(2, 2),
    "state.half": torch.tensor([1.5, -0.0], dtype=torch.bfloat16),
    "state.used": torch.tensor([True, False]),
    "state.none": torch.zeros(0, 3),
}
STATE = {"step": 7, "sums": {"kl": 0.1 + 0.2}, "best": None, "worst": float("-inf")}
SAVED = Checkpoint(TENSORS, STATE, decisive(Vae()), digest({"x": torch.ones(3)}))


def same(found, expected):
    """Bit by bit: -0.0 is not 0.0."""
    return found[1:] == expected[1:] and checksum(found.tensors) == checksum(expected.tensors)


@pytest.fixture
def path(tmp_path):
    save(tmp_path / "step-000007.safetensors", SAVED)
    return tmp_path / "step-000007.safetensors"


def test_a_checkpoint_comes_back_as_it_was(path):
    found = load(path, like=TENSORS, settings=Vae(log_every=3), data=SAVED.data)
    assert same(found, SAVED)
    assert list(found.tensors) == sorted(TENSORS)
    for name, t in TENSORS.items():
        assert torch.equal(found.tensors[name], t)
        assert (found.tensors[name].dtype, found.tensors[name].shape) == (t.dtype, t.shape)


def test_the_same_checkpoint_gives_the_same_bytes(path, tmp_path):
    save(tmp_path / "again", SAVED._replace(tensors=dict(reversed(TENSORS.items()))))
    assert path.read_bytes() == (tmp_path / "again").read_bytes()


def test_what_was_loaded_is_in_memory_of_its_own(path):
    found = load(path)
    path.write_bytes(b"\0" * path.stat().st_size)
    assert same(found, SAVED)
    for t in found.tensors.values():
        t.zero_()


def test_tensors_that_share_memory_or_are_no_rows_are_saved(tmp_path):
    shared = torch.arange(6.0).reshape(2, 3)
    tensors = {"a": shared, "b": shared, "c": shared[0], "d": shared.T}
    save(tmp_path / "weights", Checkpoint(tensors))
    assert same(load(tmp_path / "weights", like=tensors), Checkpoint(tensors))


def unchecked(path):
    """A planted bug: what the format itself checks, and no more."""
    return safetensors.torch.load(path.read_bytes())


def test_one_flipped_bit_anywhere_in_the_tensors_is_refused(path):
    content, other = path.read_bytes(), 0
    for bit in range(8 * 60):
        place = len(content) - 1 - bit // 8
        path.write_bytes(content[:place] + bytes([content[place] ^ 1 << bit % 8]) + content[place + 1 :])
        with pytest.raises(InputError, match=r"is damaged \(its checksum is not that of its content\): restore it, or"):
            load(path)
        other += checksum(unchecked(path)) != checksum(TENSORS)
    assert other == 8 * 60


def test_a_changed_state_is_refused(path):
    header = path.read_bytes()
    path.write_bytes(header.replace(b'step\\\\\\": 7', b'step\\\\\\": 8'))
    assert path.read_bytes() != header
    with pytest.raises(InputError, match="its checksum"):
        load(path)


WRONG = {
    "another shape": (
        {"optimiser.model.0.weight/exp_avg": torch.zeros(3, 2)},
        r"exp_avg \(2, 3\) float32, got \(3, 2\)",
    ),
    "another dtype": (
        {"params.model.0.weight": torch.zeros(2, 3).double()},
        r"weight \(2, 3\) float32, got \(2, 3\) float64",
    ),
    "another rank": ({"optimiser.model.0.weight/step": torch.zeros(1)}, r"step \(\) float32, got \(1,\) float32"),
    "an unknown name": ({"params.model.1.weight": torch.zeros(1)}, r"params\.model\.1\.weight is unknown\)"),
    "two of them": ({"a": torch.zeros(1), "b": torch.zeros(1)}, r"a is unknown, and 1 more\)"),
}


@pytest.mark.parametrize("name", WRONG)
def test_tensors_that_do_not_fit_are_refused_before_any_is_copied(name, path):
    tensors, message = WRONG[name]
    save(path, SAVED._replace(tensors=TENSORS | tensors))
    with pytest.raises(InputError, match=message) as refused:
        load(path, like=TENSORS, cure="remove it to start over")
    assert str(refused.value).startswith(f"{path} does not fit this run (")
    assert str(refused.value).endswith(": remove it to start over")


def test_a_missing_tensor_is_refused(path):
    save(path, SAVED._replace(tensors={"state.codes": TENSORS["state.codes"]}))
    with pytest.raises(InputError, match=r"params\.model\.0\.weight is missing, and 5 more"):
        load(path, like=TENSORS)


def test_another_run_and_other_data_are_refused(path):
    with pytest.raises(InputError, match="is of another run: it has --latent 2 where this run has --latent 3"):
        load(path, settings=Vae(latent=3))
    with pytest.raises(InputError, match="is of a run on other data than are here now"):
        load(path, data=digest({"x": torch.full((3,), 2.0)}))


def test_a_new_option_leaves_old_checkpoints_readable(path):
    today = dataclasses.make_dataclass("Vae", [("latent", int, 2), ("width", int, 8)], frozen=True)
    assert same(load(path, settings=today()), SAVED)
    with pytest.raises(InputError, match="has --width 8 where this run has --width 9"):
        load(path, settings=today(width=9))


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_values_that_are_not_finite_are_named(value, path):
    checkpoints.check_finite(path, TENSORS, "restore it")
    with pytest.raises(InputError, match="a is not finite: restore it"):
        checkpoints.check_finite(path, {"a": torch.tensor([1.0, value])}, "restore it")


class Planted:
    """Runs code where it is unpickled."""

    def __reduce__(self):
        return (pytest.fail, ("it was unpickled",))


def _file(header):
    return len(header).to_bytes(8, "little") + header.encode()


def _entry(text):
    return json.dumps({"checksum": checksum(TENSORS, text), "content": text})


DEEP = "[" * 100_000
OTHER = {
    "pickle": pickle.dumps(Planted()),
    "nothing": b"",
    "text": b"garbage",
    "a huge header": (2**62).to_bytes(8, "little") + b"{}",
    "a deep header": _file(DEEP),
    "no metadata": safetensors.torch.save(TENSORS),
} | {
    f"entry {i}": safetensors.torch.save(TENSORS, {checkpoints.ENTRY: entry})
    for i, entry in enumerate(
        (
            "",
            "[]",
            "{}",
            DEEP,
            '{"checksum": 1, "content": 2}',
            "9" * 5_000,
            *map(_entry, ("[]", '{"a": 1}', "{", DEEP)),
        )
    )
}


@pytest.mark.parametrize("name", OTHER)
def test_what_is_no_checkpoint_is_refused_in_one_line(name, path):
    path.write_bytes(OTHER[name])
    with pytest.raises(InputError, match="is damaged") as refused:
        load(path)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 500


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(InputError, match="cannot be read"):
            load(path)


def test_a_digest_is_of_names_shapes_dtypes_and_bytes():
    x = torch.arange(6.0)
    others = [
        {"y": x},
        {"x": x.reshape(2, 3)},
        {"x": x.int()},
        {"x": x + 1},
        {"x": x.view(torch.int32)},
        {"x": {"x": x}},
    ]
    assert len({digest({"x": x}), *map(digest, others)}) == len(others) + 1
    assert digest({"x": x, "y": x + 1}) == digest({"y": x + 1, "x": x.clone()})
