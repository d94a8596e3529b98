"""Text: CPython's documentation of its topics, which Python brings along, or any file, in symbols of an alphabet."""

import hashlib
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Literal, NamedTuple

from torch import Tensor

from jensen.experiments.data.alphabets import BYTES, Alphabet, Bytes, byte_pairs
from jensen.experiments.run.config import FREE
from jensen.experiments.run.errors import InputError

HELD_OUT = 0.1  # the share at the end that is for the test
MOST = 2**16  # symbols


class Text(NamedTuple):
    """Symbols of the first nine tenths but for what is held out of their end, and of the last tenth."""

    train: Tensor
    held_out: Tensor  # the test's where nothing is
    test: Tensor
    alphabet: Alphabet
    name: str  # with its size and digest, for topics differ from one Python to the next


@dataclass(frozen=True)
class TextData:
    """Which text, in which symbols."""

    text: Path | None = field(default=None, metadata=FREE)
    """A file, of which the last tenth is for the test; CPython's documentation of its topics unless given."""
    tokenizer: Literal["bytes", "bpe"] = "bytes"
    """Bytes, or byte pairs merged again and again, the most frequent of the training text first."""
    vocabulary: int = 1024
    """Symbols of bpe, of which 256 are the bytes."""

    def check(self) -> None:
        """Raises an InputError for the first setting that cannot work."""
        if self.tokenizer != "bpe" and self.vocabulary != TextData.vocabulary:
            raise InputError("--tokenizer bytes has no --vocabulary: leave it out, or use --tokenizer bpe")
        if not BYTES < self.vocabulary <= MOST:
            raise InputError(f"expected --vocabulary from {BYTES + 1} to {MOST}, got {self.vocabulary}: leave it out")

    def load(self, share_held_out: float = 0.0) -> Text:
        """The text with a share of the first nine tenths held out.

        InputError for a file that cannot be read or has too little in it to be divided.
        """
        content, name = (topics(), "pydoc topics") if self.text is None else (_read(self.text), self.text.name)
        kept = len(content) - int(HELD_OUT * len(content))
        if not 0 < kept < len(content):
            raise InputError(f"expected a text of 10 bytes or more, got {len(content)}: the last tenth is for the test")
        size = kept - int(share_held_out * kept)
        train, held_out, test = content[:size], content[size:kept], content[kept:]
        alphabet = Bytes() if self.tokenizer == "bytes" else byte_pairs(train, self.vocabulary)
        digest = hashlib.sha256(content).hexdigest()[:12]
        parts = {"train": train, "held_out": held_out or test, "test": test}
        encoded = {part: alphabet.encode(of) for part, of in parts.items()}
        return Text(**encoded, alphabet=alphabet, name=f"{name} ({len(content):,} bytes, sha256 {digest})")


def topics() -> bytes:
    """The texts of pydoc_data.topics, in the order of their names."""
    found: dict[str, str] = import_module("pydoc_data.topics").topics
    return "\n".join(found[name] for name in sorted(found)).encode()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read --text {path} ({error.strerror}): name a file") from error
