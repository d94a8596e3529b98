"""Settings as JSON: nested frozen dataclasses, written with a schema and read with every type checked.

A field takes today's default where the file lacks it, so a new option leaves old runs readable; a field that the class
lacks is refused. Three kinds of fields:

    lr: float = 1e-3                                    decides the trained bits: --resume must find it unchanged
    log_every: int = field(default=50, metadata=FREE)   may change when a run goes on
    out: Path | None = field(default=None, metadata=UNSAVED)    the run's place, which is no part of it
"""

import dataclasses
import difflib
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from jensen.experiments.run.errors import InputError, option, shown
from jensen.experiments.run.files import Json
from jensen.experiments.run.json_words import described, written

if TYPE_CHECKING:
    from _typeshed import DataclassInstance as Settings

S = TypeVar("S", bound="Settings")
SCHEMA = 1
FREE, UNSAVED = {"free": True}, {"unsaved": True}
NUMBERS = {"Infinity": math.inf, "-Infinity": -math.inf, "NaN": math.nan}  # which JSON has none of


def to_json(value: "Settings") -> dict[str, Json]:
    """Everything but a run's place. The inverse is `from_json`."""
    return {"schema": SCHEMA, "type": _tag(type(value)), **_object(value, ("unsaved",))}


def decisive(value: "Settings") -> dict[str, Json]:
    """What decides the trained bits; `from_json` reads it too, and gives the free fields their defaults."""
    return {"schema": SCHEMA, "type": _tag(type(value)), **_object(value, ("unsaved", "free"))}


def from_json(classes: type[S] | tuple[type[S], ...], values: Json) -> S:
    """The settings that were written, of one of the classes. InputError, one line, for anything that they cannot be."""
    if not isinstance(values, Mapping):
        raise InputError(f"expected an object of settings, got {written(values)}")
    schema = values.get("schema")
    if schema is None:
        raise InputError("it was written by an older version, which named no schema: start a new run")
    if type(schema) is not int or schema != SCHEMA:
        raise InputError(f"expected settings of schema {SCHEMA}, got {written(schema)}: use the version it is of")
    tagged = {name: value for name, value in values.items() if name != "schema"}
    return _chosen(classes if isinstance(classes, tuple) else (classes,), tagged, "")


def build(cls: type[S], values: Mapping[str, Json], prefix: str = "") -> S:
    """A dataclass from JSON values of its fields. InputError for unknown, missing and mistyped ones."""
    fields = {field.name: field for field in dataclasses.fields(cls) if not field.metadata.get("unsaved")}
    for name in values:
        if name not in fields:
            near = difflib.get_close_matches(name, fields, n=1)
            hint = f"the nearest is {near[0]}" if near else "it may be of another version"
            raise InputError(f"unknown {prefix}{shown(name)}: {hint}")
    kinds = get_type_hints(cls)
    given = {name: _decoded(kinds[name], value, f"{prefix}{name}") for name, value in values.items()}
    for name, field in fields.items():
        if name not in given and field.default is field.default_factory is dataclasses.MISSING:
            raise InputError(f"expected {prefix}{name}, got none: restore it")
    return cls(**given)


def differences(theirs: "Settings", ours: "Settings") -> str:
    """has --k 5 where this run has --k 1, and ...; "" where all that decides the bits is the same."""
    return ", and ".join(f"has {a} where this run has {b}" for a, b in _differing(theirs, ours, ""))


def _object(value: "Settings", without: tuple[str, ...]) -> dict[str, Json]:
    kept = [field for field in dataclasses.fields(value) if not any(field.metadata.get(kind) for kind in without)]
    kinds = get_type_hints(type(value))
    return {field.name: _encoded(getattr(value, field.name), kinds[field.name], without) for field in kept}


def _encoded(value: Any, kind: Any, without: tuple[str, ...] = ()) -> Json:
    if dataclasses.is_dataclass(type(value)):
        tag: dict[str, Json] = {"type": _tag(type(value))} if len(_classes(kind)) > 1 else {}
        return {**tag, **_object(value, without)}
    if isinstance(value, tuple):
        return [_encoded(each, None, without) for each in value]
    if isinstance(value, dict):
        return {name: _encoded(each, None, without) for name, each in value.items()}
    if isinstance(value, Path):
        return str(value.absolute())
    if isinstance(value, float) and not math.isfinite(value):
        return next(name for name, number in NUMBERS.items() if number == value or number != number)
    return value


def _chosen(classes: tuple[type[S], ...], values: Mapping[str, Json], prefix: str) -> S:
    """Of several classes, the one that the values name as their type."""
    tag = values.get("type")
    for cls in classes:
        if tag == _tag(cls):
            return build(cls, {name: value for name, value in values.items() if name != "type"}, prefix)
    names = " or ".join(written(_tag(cls)) for cls in classes)
    raise InputError(f"expected {prefix}type, {names}, got {written(tag)}")


def _decoded(kind: Any, value: Json, name: str) -> Any:
    """A JSON value as its annotation has it: whole numbers are floats too, true and false are no numbers."""
    origin, of = get_origin(kind), get_args(kind)
    classes = _classes(kind)
    if classes and isinstance(value, Mapping):
        return build(classes[0], value, f"{name}.") if len(classes) == 1 else _chosen(classes, value, f"{name}.")
    if origin in (Union, UnionType):
        for each in of:
            try:
                return _decoded(each, value, name)
            except InputError:
                continue
    elif origin is Literal:
        for each in of:
            if type(value) is type(each) and value == each:
                return each
    elif origin is tuple and isinstance(value, list):
        kinds = of[:1] * len(value) if of[1:] == (...,) else of
        if len(kinds) == len(value):
            return tuple(_decoded(each, part, name) for each, part in zip(kinds, value, strict=True))
    elif origin is dict and isinstance(value, dict):
        return {key: _decoded(of[1], each, f"{name}.{key}") for key, each in value.items()}
    elif kind is float and isinstance(value, str) and value in NUMBERS:
        return NUMBERS[value]
    elif kind is float and type(value) is int and abs(value) < 2**1000:
        return float(value)
    elif kind is Path and isinstance(value, str):
        return Path(value)
    elif type(value) is kind:
        return value
    raise InputError(f"expected {name}, {described(kind)}, got {written(value)}")


def _differing(theirs: Any, ours: Any, prefix: str) -> Iterator[tuple[str, str]]:
    if type(theirs) is not type(ours):
        yield (f"{option(prefix[:-1])} {_tag(type(theirs))}", f"{option(prefix[:-1])} {_tag(type(ours))}")
        return
    hints = get_type_hints(type(ours), include_extras=True)
    for field in dataclasses.fields(ours):
        if field.metadata.get("free") or field.metadata.get("unsaved"):
            continue
        a, b = getattr(theirs, field.name), getattr(ours, field.name)
        name = f"{prefix}{field.name}"
        if dataclasses.is_dataclass(a) and dataclasses.is_dataclass(b):
            yield from _differing(a, b, prefix if _flat(hints[field.name]) else f"{name}.")
        elif _encoded(a, None) != _encoded(b, None):
            yield _given(name, a), _given(name, b)


def _given(name: str, value: Any) -> str:
    """What sets a field on the command line."""
    if value is None or value is False:
        return f"no {option(name)}"
    words = () if value is True else value if isinstance(value, tuple) else (value,)
    return " ".join((option(name), *map(str, words)))


def _flat(hint: Any) -> bool:
    """Whether a nested dataclass's options have no prefix, as in Annotated[Run, tyro.conf.arg(name="")]."""
    return get_origin(hint) is Annotated and any(getattr(extra, "name", None) == "" for extra in hint.__metadata__)


def _classes(kind: Any) -> "tuple[type[Settings], ...]":
    """The dataclasses that an annotation allows."""
    of = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    return tuple(each for each in of if isinstance(each, type) and dataclasses.is_dataclass(each))


def _tag(cls: type) -> str:
    return cls.__name__.lower()
