"""Values and annotations in the words of JSON, for who has edited a file: null is not None, text has double quotes."""

import dataclasses
import json
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from jensen.experiments.run.errors import shown
from jensen.experiments.run.files import Json

ONE = {int: "a whole number", float: "a number", bool: "true or false", str: "text", Path: "a path", NoneType: "null"}
MANY = {int: "whole numbers", float: "numbers", bool: "true or false", str: "texts", Path: "paths"}


def written(value: Json) -> str:
    """A value as a file has it, cut where it is long."""
    return shown(json.dumps(value, ensure_ascii=False))


def described(kind: Any) -> str:
    """What an annotation allows, as in: a list of 2 numbers or null."""
    origin, of = get_origin(kind), get_args(kind)
    if origin is Literal:
        return " or ".join(map(written, of))
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(map(described, of)))
    if origin is tuple:
        if of[1:] == (...,):
            return f"a list of {_many(of[0])}"
        same = len(set(of)) == 1
        return f"a list of {len(of)} {_many(of[0])}" if same else f"a list of {', '.join(map(described, of))}"
    if origin is dict or dataclasses.is_dataclass(kind):
        return "an object"
    return ONE[kind]


def _many(kind: Any) -> str:
    if get_origin(kind) is tuple:
        return "lists"
    return "objects" if dataclasses.is_dataclass(kind) else MANY[kind]
