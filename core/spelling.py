"""Values by name, as a command line has them: "elbo", "beta(4)", "beta-tc(6, alpha=0.5)", "renyi(-inf)".

A table has one row per name: what builds the value. Arguments are numbers or words, checked against its signature.
"""

import difflib
import inspect
import re
from collections.abc import Callable, Mapping
from typing import TypeVar

T = TypeVar("T")
CALL = re.compile(r"\s*(?P<name>[\w-]+)\s*(\((?P<arguments>[^()]*)\))?\s*")


def parse(text: str, table: Mapping[str, Callable[..., T]], kind: str) -> T:
    """The value that `text` names in a table of `kind`, such as "bound".

    ValueError for text of another form, for an unknown name, with the nearest known, and for arguments that do not fit
    or that the value refuses, with the form expected.
    """
    call = CALL.fullmatch(text) if isinstance(text, str) else None
    if call is None:
        raise ValueError(
            f"expected the {kind} as name or name(argument, ...), got {text!r}: one of {', '.join(forms(table))}"
        )
    name = call["name"].lower()
    if name not in table:
        near = difflib.get_close_matches(name, table, n=1)
        meant = f" (the nearest is {near[0]!r})" if near else ""
        raise ValueError(f"unknown {kind} {name!r}{meant}: expected one of {', '.join(forms(table))}")
    places, named = _arguments(call["arguments"] or "")
    try:
        inspect.signature(table[name]).bind(*places, **named)
        return table[name](*places, **named)
    except TypeError as error:  # also a word in place of a number
        raise ValueError(f"expected the {kind} as {form(name, table[name])}, got {text!r}: {error}") from error


def forms(table: Mapping[str, Callable[..., object]]) -> list[str]:
    """The form of each value of a table, as in "beta(weight)"."""
    return [form(name, build) for name, build in table.items()]


def form(name: str, build: Callable[..., object]) -> str:
    """The name with its arguments; those with a default show it."""
    parts = []
    for parameter in inspect.signature(build).parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            parts.append(f"{parameter.name}...")
        elif parameter.default is parameter.empty:
            parts.append(parameter.name)
        else:
            parts.append(f"{parameter.name}={parameter.default}")
    return f"{name}({', '.join(parts)})" if parts else name


def _arguments(text: str) -> tuple[list[int | float | str], dict[str, int | float | str]]:
    """Positional arguments, and keyword arguments."""
    places, named = [], {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = part.partition("=")
        if equals:
            named[name.strip()] = _value(value.strip())
        else:
            places.append(_value(part))
    return places, named


def _value(text: str) -> int | float | str:
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text
