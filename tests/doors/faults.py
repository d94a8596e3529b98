"""What is wrong with the doors of a row: arguments that are accepted, and errors that do not help."""

import re
from typing import Any

from jensen.core.checks import described
from tests.doors.door import Door

LINE = re.compile(r".*(expected|needs|unknown)\b.*\S: \S.*")
ALIASES = {  # what a line may call an argument
    "params": "params|parameters", "text": "letter|bound|objective|posterior|prior|quantiser",
    "weights": "weights?|alpha", "s": "s|samples", "noise": "noise|samples", "value": "value|prediction",
    "z": "z|value",
}  # fmt: skip


def faults(door: Door) -> list[str]:
    """Each wrong argument that is accepted, or refused without its name, what was expected or the fix."""
    found = []
    for name, value in door.wrong():
        shown = "a function" if callable(value) and not isinstance(value, type) else described(value)
        found += [f"{name} = {shown}: {fault}" for fault in _of_call(door, {name: value})]
    for first, second, exchanged in door.swapped():
        found += [f"{first} and {second} exchanged: {fault}" for fault in _of_call(door, exchanged)]
    return found


def _of_call(door: Door, wrong: dict[str, Any]) -> list[str]:
    """One fault or none."""
    try:
        door.call(**wrong)
    except Exception as error:
        fault = complaint(error, *wrong)
        return [] if fault is None else [fault]
    return ["accepted"]


def complaint(error: Exception, *names: str) -> str | None:
    """What is wrong with an error that should name one of the arguments, what was expected and the fix."""
    if isinstance(error, KeyError) and " do not fit: " in str(error.args[0]):
        return None
    line = str(error)
    if not isinstance(error, TypeError | ValueError):
        return f"{type(error).__name__}: {line}"
    named = re.search(rf"\b({'|'.join(ALIASES.get(name, name) for name in names)})\b", line)
    return None if named and LINE.fullmatch(line) else line
