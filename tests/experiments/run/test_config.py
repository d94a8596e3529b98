"""Settings come back from JSON as they were; whatever they cannot be is one line that names the field."""

import dataclasses
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jensen.experiments.run import config
from jensen.experiments.run.config import FREE, UNSAVED, decisive, differences, from_json, to_json
from jensen.experiments.run.errors import InputError, option


class Named(NamedTuple):
    """Stands for what marks an annotation on the command line."""

    name: str


@dataclass(frozen=True)
class Adam:
    lr: float = 1e-3
    clip: float | None = None


@dataclass(frozen=True)
class Sgd:
    lr: float = 1e-2
    momentum: float = 0.9


@dataclass(frozen=True)
class Run:
    steps: int = 100
    log_every: int = field(default=50, metadata=FREE)
    out: Path | None = field(default=None, metadata=UNSAVED)


@dataclass(frozen=True)
class Vae:
    run: Annotated[Run, Named("")] = Run()
    optimiser: Adam | Sgd = Adam()
    activation: Literal["relu", "tanh"] = "tanh"
    layers: Literal[1, 2] = 1
    hidden: tuple[int, ...] | None = (200, 200)
    range: tuple[float, float] = (0.0, 1.0)
    compile: bool = True
    data: Path | None = field(default=None, metadata=FREE)
    weights: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Sbn:
    units: int = 200


floats = st.floats(allow_nan=False)
vaes = st.builds(
    Vae,
    st.builds(Run, st.integers(), st.integers()),
    st.builds(Adam, floats, st.none() | floats) | st.builds(Sgd, floats, floats),
    st.sampled_from(["relu", "tanh"]),
    st.sampled_from([1, 2]),
    st.none() | st.lists(st.integers()).map(tuple),
    st.tuples(floats, floats),
    st.booleans(),
    st.none() | st.sampled_from([Path("/a/b"), Path("/[bold]")]),
    st.dictionaries(st.text(), floats),
)


@given(vaes)
def test_settings_come_back_as_they_were(settings):
    text = json.dumps(to_json(settings), allow_nan=False)
    assert from_json(Vae, json.loads(text)) == settings
    assert from_json((Sbn, Vae), json.loads(text)) == settings
    assert not differences(from_json(Vae, decisive(settings)), settings)


def test_nan_comes_back():
    text = json.dumps(to_json(Adam(math.nan, -math.inf)), allow_nan=False)
    found = from_json(Adam, json.loads(text))
    assert math.isnan(found.lr)
    assert found.clip == -math.inf
    assert not differences(found, Adam(math.nan, -math.inf))


def test_a_new_option_leaves_old_runs_readable():
    values = to_json(Vae(layers=2))
    del values["activation"]
    values["run"] = {"steps": 7}
    assert from_json(Vae, values) == Vae(Run(7), layers=2)


def test_a_runs_place_is_no_part_of_it():
    settings = Vae(Run(out=Path("somewhere")))
    assert "somewhere" not in json.dumps(to_json(settings))
    assert from_json(Vae, to_json(settings)).run.out is None


def test_a_relative_path_is_kept_as_an_absolute_one(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert from_json(Vae, to_json(Vae(data=Path("here")))).data == tmp_path / "here"


WRONG = {
    "run": (3, "expected run, an object, got 3"),
    "run.steps": (1.5, "expected run.steps, a whole number, got 1.5"),
    "run.out": ("x", "unknown run.out: "),
    "optimiser": ({"lr": 1.0}, 'expected optimiser.type, "adam" or "sgd", got null'),
    "optimiser.type": ("adamw", 'expected optimiser.type, "adam" or "sgd", got "adamw"'),
    "optimiser.lr": ("fast", 'expected optimiser.lr, a number, got "fast"'),
    "optimiser.clip": (True, "expected optimiser.clip, a number or null, got true"),
    "activation": ("gelu", 'expected activation, "relu" or "tanh", got "gelu"'),
    "layers": (True, "expected layers, 1 or 2, got true"),
    "hidden": ([8, "8"], 'expected hidden, a list of whole numbers or null, got [8, "8"]'),
    "range": ([0.0], "expected range, a list of 2 numbers, got [0.0]"),
    "compile": (1, "expected compile, true or false, got 1"),
    "data": (3, "expected data, a path or null, got 3"),
    "weights": ({"kl": "\u03b2"}, 'expected weights.kl, a number, got "\u03b2"'),
    "activaton": ("relu", "unknown activaton: the nearest is activation"),
    "x\ny" * 999: (1, "unknown x"),
    "schema": (99, "expected settings of schema 1, got 99: use the version it is of"),
    "type": ("gan", 'expected type, "vae", got "gan"'),
}


@pytest.mark.parametrize("name", WRONG, ids=lambda name: name[:20])
def test_what_settings_cannot_be_is_one_line(name, tmp_path):
    value, message = WRONG[name]
    values = json.loads(json.dumps(to_json(Vae())))
    *above, last = name.split(".")
    place = values
    for each in above:
        place = place[each]
    place[last] = value
    with pytest.raises(InputError) as refused:
        from_json(Vae, values)
    assert str(refused.value).startswith(message)
    assert len(str(refused.value)) < 250


def test_runs_without_a_schema_are_of_an_older_version():
    values = to_json(Vae())
    del values["schema"]
    for each in (values, {}):
        with pytest.raises(InputError, match="written by an older version, which named no schema: start a new run"):
            from_json(Vae, each)
    with pytest.raises(InputError, match=r"expected an object of settings, got \[1\]"):
        from_json(Vae, [1])


def test_a_field_with_no_default_must_be_there():
    cls = dataclasses.make_dataclass("Needy", [("size", int)], frozen=True)
    with pytest.raises(InputError, match="expected size, got none"):
        from_json(cls, {"schema": config.SCHEMA, "type": "needy"})


def test_huge_numbers_and_long_values_stay_one_short_line():
    values = to_json(Adam())
    for value in (10**400, "x" * 10_000, ["y"] * 10_000):
        with pytest.raises(InputError, match="expected lr, a number, got") as refused:
            from_json(Adam, {**values, "lr": value})
        assert len(str(refused.value)) < 200


def test_only_what_decides_the_bits_differs():
    ours = Vae()
    assert not differences(dataclasses.replace(ours, data=Path("elsewhere"), run=Run(log_every=7)), ours)
    assert "log_every" not in json.dumps(decisive(ours))
    theirs = Vae(Run(7), Adam(clip=2.0), hidden=None, compile=False)
    assert differences(theirs, ours) == (
        "has --steps 7 where this run has --steps 100, and has --optimiser.clip 2.0 where this run has no "
        "--optimiser.clip, and has no --hidden where this run has --hidden 200 200, and has no --compile where this "
        "run has --compile"
    )
    assert differences(Vae(optimiser=Sgd()), ours) == "has --optimiser sgd where this run has --optimiser adam"


def test_options_are_spelled_as_on_the_command_line():
    assert option("lr_warmup") == "--lr-warmup"
