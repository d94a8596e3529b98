"""Annotations of settings in the words of JSON."""

import dataclasses
from pathlib import Path
from typing import Literal, get_args, get_type_hints

import pytest

from jensen.experiments.deployment.manifest import Manifest
from jensen.experiments.programs import KINDS
from jensen.experiments.run.json_words import described, written


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (tuple[int, float], "a list of a whole number, a number"),
        (tuple[tuple[float, float], ...], "a list of lists"),
        (Path | str | None, "a path or text or null"),
        (Literal["a", 2, None], '"a" or 2 or null'),
        (dict[str, float] | None, "an object or null"),
    ],
)
def test_words(kind, words):
    assert described(kind) == words


def test_values_are_written_as_json_has_them():
    assert written({"a": [None, True, "β"]}) == '{"a": [null, true, "β"]}'
    assert len(written(["long"] * 99)) == 80


@pytest.mark.parametrize("cls", [*KINDS.values(), Manifest], ids=lambda cls: cls.__name__)
def test_every_setting_has_words(cls):
    for kind in kinds(cls):
        assert described(kind)


def kinds(cls):
    """Annotations of a dataclass's fields, and of those that are in them."""
    for kind in get_type_hints(cls).values():
        yield kind
        for each in (kind, *get_args(kind)):
            if dataclasses.is_dataclass(each):
                yield from kinds(each)
