"""What a request is refused with: a status, and JSON that says the error, the field it is in and the fix."""

import dataclasses
from dataclasses import dataclass


@dataclass(eq=False)
class Refused(Exception):  # noqa: N818, for a refusal is the service's answer
    """A reply that is no result."""

    status: int
    error: str
    field: str = ""
    fix: str = ""
    retry_after: int | None = None  # in seconds
    headers: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def content(self) -> dict[str, str]:
        return {"error": self.error, "field": self.field, "fix": self.fix}


class Gone(Exception):  # noqa: N818
    """The client has closed its connection."""


def bad(field: str, error: str, fix: str) -> Refused:
    """400: the body is not what the function takes."""
    return Refused(400, error, field, fix)


def split(field: str, message: str) -> Refused:
    """400 of the library's one-line errors, which read "expected this, got that: the fix"."""
    error, _, fix = message.partition(": ")
    return bad(field, error, fix)
