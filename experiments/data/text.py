"""Text as bytes: CPython's documentation of its topics, which Python brings along, or any file."""

import hashlib
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from jensen.experiments.run.config import FREE
from jensen.experiments.run.errors import InputError

SYMBOLS = 256
HELD_OUT = 0.1  # the share at the end that is for the test


class Text(NamedTuple):
    """Bytes as whole numbers: the first nine tenths, and the last."""

    train: Tensor
    test: Tensor
    name: str  # with its size and digest, for topics differ from one Python to the next


@dataclass(frozen=True)
class TextData:
    """Which text."""

    text: Path | None = field(default=None, metadata=FREE)
    """A file, of which the last tenth is for the test; CPython's documentation of its topics unless given."""

    def load(self) -> Text:
        """InputError for a file that cannot be read or has too little in it to be divided."""
        content, name = (topics(), "pydoc topics") if self.text is None else (_read(self.text), self.text.name)
        kept = len(content) - int(HELD_OUT * len(content))
        if not 0 < kept < len(content):
            raise InputError(f"expected a text of 10 bytes or more, got {len(content)}: the last tenth is for the test")
        symbols = torch.frombuffer(bytearray(content), dtype=torch.uint8).long()
        digest = hashlib.sha256(content).hexdigest()[:12]
        return Text(symbols[:kept], symbols[kept:], f"{name} ({len(content):,} bytes, sha256 {digest})")


def topics() -> bytes:
    """The texts of pydoc_data.topics, in the order of their names."""
    found: dict[str, str] = import_module("pydoc_data.topics").topics
    return "\n".join(found[name] for name in sorted(found)).encode()


def decoded(symbols: Tensor) -> str:
    """Bytes as text; what is no UTF-8 is shown as such."""
    return bytes(symbols.tolist()).decode(errors="replace")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read --text {path} ({error.strerror}): name a file") from error
