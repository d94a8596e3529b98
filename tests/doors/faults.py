"""What is wrong with the doors of a row: arguments that are accepted, and errors that do not help."""

import re

from jensen.core.checks import described
from tests.doors.door import Door

LINE = re.compile(r".*(expected|needs|unknown)\b.*\S: \S.*")
ALIASES = {  # what a line may call an argument
    "params": "params|parameters", "text": "letter|bound|objective", "weights": "weights?|alpha", "s": "s|samples",
    "noise": "noise|samples", "value": "value|prediction", "z": "z|value",
}  # fmt: skip


def faults(door: Door) -> list[str]:
    """Each wrong argument that is accepted, or refused without its name, what was expected or the fix."""
    found = []
    for name, value in door.wrong():
        try:
            door.call(**{name: value})
        except Exception as error:
            fault = complaint(error, name)
        else:
            fault = "accepted"
        if fault is not None:
            shown = "a function" if callable(value) and not isinstance(value, type) else described(value)
            found.append(f"{name} = {shown}: {fault}")
    return found


def complaint(error: Exception, name: str) -> str | None:
    """What is wrong with an error that should name an argument, what was expected and the fix."""
    if isinstance(error, KeyError) and str(error.args[0]).startswith("parameters do not fit: "):
        return None
    line = str(error)
    if not isinstance(error, TypeError | ValueError):
        return f"{type(error).__name__}: {line}"
    named = re.search(rf"\b({ALIASES.get(name, name)})\b", line)
    return None if named and LINE.fullmatch(line) else line
