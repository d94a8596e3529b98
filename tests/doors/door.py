"""A door: a public function with one right call, and what is wrong for each kind of argument."""

import inspect
import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from jensen.core import keys
from jensen.core.contracts import Distribution, can

KEY = keys.key(7)
KEYWORD_ONLY = inspect.Parameter.KEYWORD_ONLY


class Also(NamedTuple):
    """An argument with wrong values beside those of its kind."""

    value: Any
    wrong: tuple[Any, ...]


class Only(NamedTuple):
    """An argument whose wrong values are these alone."""

    value: Any
    wrong: tuple[Any, ...]


class Free(NamedTuple):
    """A tensor that may have any number of axes."""

    value: Tensor


class Door(NamedTuple):
    function: Callable[..., Any]
    arguments: dict[str, Any]

    def call(self, **changed: Any) -> Any:
        """The right call, with some arguments changed."""
        values = {name: plain(value) for name, value in self.arguments.items()} | changed
        named = {name: values[name] for name in self.keyword_only()}
        return self.function(*(value for name, value in values.items() if name not in named), **named)

    def keyword_only(self) -> list[str]:
        parameters = inspect.signature(self.function).parameters
        return [name for name in self.arguments if name in parameters and parameters[name].kind is KEYWORD_ONLY]

    def wrong(self) -> Iterator[tuple[str, Any]]:
        """Every argument's name with every value that is wrong for it."""
        for name, value in self.arguments.items():
            for mistake in mistakes(value):
                yield name, mistake

    def swapped(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """The names of two neighbouring arguments of different kinds, and the arguments with these two exchanged."""
        by_place = [name for name in self.arguments if name not in self.keyword_only()]
        for first, second in pairwise(by_place):
            one, other = plain(self.arguments[first]), plain(self.arguments[second])
            if kind(one) != kind(other):
                yield first, second, {first: other, second: one}

    def numpy_integers(self) -> dict[str, Any]:
        """Its whole numbers, as NumPy has them."""
        plainly = {name: plain(value) for name, value in self.arguments.items()}
        return {name: np.int64(value) for name, value in plainly.items() if type(value) is int}


def door(function: Callable[..., Any], /, **arguments: Any) -> Door:
    return Door(function, arguments)


def also(value: Any, *wrong: Any) -> Also:
    return Also(value, wrong)


def only(value: Any, *wrong: Any) -> Only:
    return Only(value, wrong)


def plain(value: Any) -> Any:
    return value.value if isinstance(value, Also | Only | Free) else value


def kind(value: Any) -> object:
    """Equal where values may take each other's place: numbers, and tensors of one dtype."""
    if isinstance(value, Tensor):
        return value.dtype
    return float if isinstance(value, int | float) else type(value)


def mistakes(argument: Any) -> Iterator[Any]:
    """Wrong values of an argument's kind."""
    value = plain(argument)
    if isinstance(argument, Also | Only):
        yield from argument.wrong
    if isinstance(argument, Only):
        return
    if value is KEY:
        yield from (7, np.array([7, 0, 0]), torch.zeros(3), keys.split(KEY), None)
    elif isinstance(value, Tensor):
        yield from (value.numpy(), "x", None)
        yield from (value.long(), value > 0) if value.is_floating_point() else (value.double(),)
        if not isinstance(argument, Free):
            yield from (value[None], value.reshape(-1)[0] if value.ndim == 1 else value[0])
    elif isinstance(value, bool) or value is None:
        return
    elif isinstance(value, int):
        yield from (-1, 2.5, True, "3", KEY)
    elif isinstance(value, float):
        yield from ("a", math.nan, True)
    elif isinstance(value, str):
        yield from ("no such", 3)
    elif can(value, Distribution):
        yield from (torch.zeros(5, 3), type(value), torch.distributions.Normal(0.0, 1.0), None)
    elif callable(value):
        yield from ("a name", 3, None)
