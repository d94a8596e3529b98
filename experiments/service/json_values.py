"""A body of JSON by name: strict, each name once, and lists of numbers as arrays of numpy.

It imports no torch: a process of its own reads what is large, as `json_process` says.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from jensen.experiments.run.errors import reason, shown
from jensen.experiments.service.errors import bad

NAMES = 32  # in a body, at most; no function has as many inputs
TRUTH = re.compile(b"true|false")


@dataclass(frozen=True)
class Unfit:
    """A list that is no array of numbers, and what is wrong with it."""

    error: str


def read(content: bytes) -> dict[str, Any]:
    """Arrays of int64 or float64, or `Unfit`, for lists; other values as they are. Refused, 400, for no JSON object."""
    try:
        values = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise bad(
            "body", f"it is no JSON ({reason(error)})", "send strict JSON, which has no NaN or Infinity"
        ) from None
    if not isinstance(values, dict):
        raise bad("body", f"it is no JSON object, but {got(values)}", 'send {"x": [[...], ...]}')
    if len(values) > NAMES:
        raise bad("body", f"it has {len(values)} names", "send the function's inputs alone")
    if content.count(b'"') > 2 * len(values):  # text somewhere, or a name that is there twice
        _check_names(content)
    truth = TRUTH.search(content) is not None
    return {name: array(value, truth) if isinstance(value, list) else value for name, value in values.items()}


def array(value: list[Any], truth: bool = True) -> "np.ndarray[Any, Any] | Unfit":
    """truth: whether true or false may be in it, which an array takes for 1 and 0 where numbers stand beside it."""
    if truth and TRUTH.search(orjson.dumps(value)):
        return Unfit("expected numbers, got true or false")
    try:
        found = np.asarray(value)
    except (ValueError, OverflowError, RecursionError):
        return Unfit("expected rows of one length")
    if found.size and found.dtype.kind not in "if":
        return Unfit(f"expected numbers, got {_kind(found)}")
    return found


def got(value: object) -> str:
    """A value in JSON's words: a number as it is, else what kind of value it is."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    kinds = {str: "text", dict: "an object", list: "a list", Unfit: "a list", np.ndarray: "a list"}
    return kinds.get(type(value)) or shown(str(value))


def _check_names(content: bytes) -> None:
    """Refused, 400, for an object that has a name twice, of which readers take the one or the other."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            name = next(name for name in names if names.count(name) > 1)
            raise bad(shown(name), "it is there twice", "send it once")
        return found

    try:
        json.loads(content, object_pairs_hook=once, parse_int=str, parse_float=str)
    except RecursionError:
        raise bad("body", "it is nested too deeply", "send rows of numbers") from None


def _kind(found: "np.ndarray[Any, Any]") -> str:
    names = {"b": "true or false", "U": "text", "u": "numbers beyond 63 bits", "O": "null or objects"}
    return names.get(found.dtype.kind, str(found.dtype))
