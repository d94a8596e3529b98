"""Bodies of requests and replies: JSON, or arrays in safetensors' format.

    {"x": [[...], ...], "seed": 3}          of a function of data: rows of each input, and a seed where it draws
    {"n": 7, "seed": 3}                     of one that only draws
    {"model": "vae", "version": 1, "digest": "...", "seed": 3, "outputs": {"mean": [[...], ...]}}

In a binary body the same names are tensors, seed and n of int64 without axes. Row i of a request draws with the key
[seed, 0, i], so that a seed's reply is the same alone and in a batch.
"""

import asyncio
import secrets
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import orjson
import safetensors
import safetensors.numpy

from jensen.experiments.deployment.manifest import Argument, Signature
from jensen.experiments.deployment.padding import Array, Arrays
from jensen.experiments.run.errors import reason, shown
from jensen.experiments.service.errors import Refused, bad, split
from jensen.experiments.service.json_values import Unfit, got

JSON, BINARY = "application/json", "application/vnd.safetensors"
BINARIES = (BINARY, "application/octet-stream")
KEY, SEED, COUNT = "key", "seed", "n"
HEADER = 2**14  # bytes of a binary body's, at most
DTYPES = {"F32": "float32", "F64": "float64", "I64": "int64"}  # of safetensors, which functions take
PIECE = 2**15  # numbers of a reply that are written as JSON at once, in a millisecond
SEEDS = 2**53  # JSON's whole numbers, of which every reader has the same


class Given(NamedTuple):
    """A request's inputs, an array of rows each, and the seed that a key was made of."""

    inputs: Arrays
    seed: int | None


def media(header: str, coding: str = "") -> str:
    """Of a body, by its headers content-type and content-encoding. Refused, 415, for what is not read here."""
    if coding.strip().lower() not in ("", "identity"):
        raise Refused(415, f"got a body coded as {shown(coding)}", "content-encoding", "send it as it is")
    name = header.partition(";")[0].strip().lower()
    if name in BINARIES:
        return BINARY
    if name in (JSON, ""):
        return JSON
    raise Refused(415, f"got a body of type {shown(name)}", "content-type", f"send {JSON} or {BINARY}")


def given(values: Mapping[str, Any], kind: str, signature: Signature, most: int) -> Given:
    """The inputs of a function among what `json_values.read` or `binary` has found in a body.

    Refused for anything else, and for more than `most` rows.
    """
    named = {argument.name: argument for argument in signature.inputs}
    drawn = KEY in named and KEY not in values
    known = (*named, *((SEED, COUNT) if drawn else ()))
    for name in values:
        if name not in known:
            raise bad(shown(str(name)), "it is no input of this function", f"send {', '.join(named)}")
    seed = _whole(values, SEED, SEEDS - 1, secrets.randbelow(SEEDS)) if drawn else None
    inputs = {name: _array(a, values, kind) for name, a in named.items() if not (drawn and name == KEY)}
    if seed is not None:
        inputs[KEY] = _keys(seed, _rows(inputs, values, most))
    lengths = {name: len(value) for name, value in inputs.items()}
    for name, n in lengths.items():
        if n != next(iter(lengths.values())):
            raise bad(name, f"inputs have {', '.join(map(str, lengths.values()))} rows", "send as many rows of each")
        if n > most:
            raise Refused(413, f"expected at most {most} rows, got {n}", name, "split them over requests")
    return Given(tuple(inputs[name] for name in named), seed)


async def reply(outputs: Mapping[str, Array], seed: int | None, kind: str, head: Mapping[str, Any]) -> bytes:
    """The body of a result, as `written`; others are answered between two of its parts."""
    parts = []
    for part in written(outputs, seed, kind, head):
        if parts:
            await asyncio.sleep(0)
        parts.append(part)
    return b"".join(parts)


def written(outputs: Mapping[str, Array], seed: int | None, kind: str, head: Mapping[str, Any]) -> Iterator[bytes]:
    """A result's body, in parts where it is long; JSON begins with the head.

    Refused, 422, for outputs that are no numbers.
    """
    arrays = {name: np.ascontiguousarray(value) for name, value in outputs.items()}
    for name, value in arrays.items():
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise Refused(422, f"{name} of these rows is NaN or infinite", "", "send rows like the training data")
    head = {**head, **({} if seed is None else {SEED: seed})}
    if kind == BINARY:
        yield safetensors.numpy.save(arrays if seed is None else {**arrays, SEED: np.array(seed)})
    elif sum(value.size for value in arrays.values()) <= PIECE:
        yield orjson.dumps({**head, "outputs": arrays}, option=orjson.OPT_SERIALIZE_NUMPY)
    else:
        yield orjson.dumps({**head, "outputs": {}})[:-2]  # without its closing braces
        for i, (name, value) in enumerate(arrays.items()):
            yield b"," * (i > 0) + orjson.dumps(name) + b":"
            yield from pieces(value)
        yield b"}}"


def pieces(array: Array) -> Iterator[bytes]:
    """An array as JSON, in pieces of at most so many numbers, each a list's part."""
    if array.size <= PIECE:
        yield orjson.dumps(array, option=orjson.OPT_SERIALIZE_NUMPY)
        return
    row = array.size // len(array)
    rows = max(1, PIECE // row)
    for first in range(0, len(array), rows):
        yield b"," if first else b"["
        if row > PIECE:
            yield from pieces(array[first])
        else:
            yield orjson.dumps(array[first : first + rows], option=orjson.OPT_SERIALIZE_NUMPY)[1:-1]
    yield b"]"


def binary(content: bytes) -> dict[str, Any]:
    """Its arrays by name. Refused, 400, for what is no file of safetensors."""
    if int.from_bytes(content[:8], "little") > HEADER:  # thousands of arrays would keep the event loop for a second
        raise bad("body", f"its header is longer than {HEADER} bytes", "send the function's inputs alone")
    try:
        parts = safetensors.deserialize(content)
    except Exception as error:  # of safetensors, whatever the bytes are
        raise bad(
            "body", f"it is no file of safetensors ({reason(error)})", "send safetensors.torch.save(...)"
        ) from None
    return {name: _of_bytes(name, part) for name, part in parts}


def _of_bytes(name: str, part: Mapping[str, Any]) -> Array:
    if part["dtype"] not in DTYPES:
        raise bad(shown(name), f"expected {', '.join(DTYPES)}, got {part['dtype']}", "convert it")
    return np.frombuffer(part["data"], DTYPES[part["dtype"]]).reshape(part["shape"])


def _whole(values: Mapping[str, Any], name: str, most: int, default: int | None) -> int:
    value = values.get(name, default)
    if isinstance(value, np.ndarray) and value.dtype == np.int64 and value.ndim == 0:
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise bad(name, f"expected a whole number from 0 to {most}, got {got(value)}", f"send {name} as one")
    return value


def _rows(inputs: Mapping[str, Array], values: Mapping[str, Any], most: int) -> int:
    """Of a request that draws: those of its data, or n."""
    if not inputs:
        n = _whole(values, COUNT, SEEDS, 1)
        if n > most:
            raise Refused(413, f"expected at most {most} rows, got {n}", COUNT, "split them over requests")
        if n == 0:
            raise bad(COUNT, "expected at least 1 row, got 0", "send n of 1 or more")
        return n
    if COUNT in values:
        raise bad(COUNT, "the rows of the other inputs are counted", "leave n out")
    return len(next(iter(inputs.values())))


def _keys(seed: int, count: int) -> Array:
    """A row [seed, 0, i] each, which keys.at(keys.key(seed), datum=i) is."""
    found = np.zeros((count, 3), np.int64)
    found[:, 0], found[:, 2] = seed, np.arange(count)
    return found


def _array(argument: Argument, values: Mapping[str, Any], kind: str) -> Array:
    """An input's rows."""
    name = argument.name
    if name not in values:
        raise bad(name, "it is missing", f"send {name} {argument.axes} of {argument.dtype}: {argument.about}")
    value = values[name]
    try:
        array = value if kind == BINARY else _of_lists(argument, value)
        argument.check_array(array)
    except ValueError as error:
        raise split(name, str(error)) from None
    return array


def _of_lists(argument: Argument, value: object) -> Array:
    """ValueError for lists that are no array of the input's kind of numbers."""
    fix = f"send {argument.name} {argument.axes} of {argument.dtype}"
    if isinstance(value, Unfit):
        raise ValueError(f"{value.error}: {fix}")
    if not isinstance(value, np.ndarray):
        raise ValueError(f"expected lists, got {got(value)}: {fix}")
    fractions = argument.dtype == "int64" and value.dtype.kind == "f"
    if fractions and not ((value == value.round()) & (abs(value) < SEEDS)).all():
        raise ValueError(f"expected numbers without fractions, got fractions or numbers beyond 53 bits: {fix}")
    with np.errstate(over="ignore"):  # infinite then, which is refused
        return value.astype(argument.dtype)
