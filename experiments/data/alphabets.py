"""Alphabets of text: its bytes, or pairs of them merged again and again (Sennrich et al., 2016).

Any bytes are encoded, and decoded to what they were. The bytes of symbols side by side are those of each side by side,
so that a text is shown part by part as it is drawn.
"""

import codecs
import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple, Protocol

import torch
from torch import Tensor

from jensen.experiments.run.errors import InputError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

BYTES = 256
# What merges stay within: a word with the space before it, a number, signs, space. Bytes above 127 are of words, as the
# parts of a letter in UTF-8 are.
PIECES = r" ?[A-Za-z\x80-\xff]+| ?[0-9]+| ?[^ \t-\r0-9A-Za-z\x80-\xff]+|[ \t-\r]+(?![^ \t-\r])|[ \t-\r]+"


class Alphabet(Protocol):
    """What texts are cut into; a tree of tensors, by which a run's data are known again."""

    @property
    def unit(self) -> str:
        """What its symbols are, in the plural."""
        ...

    def words(self) -> list[bytes]:
        """The bytes of each symbol."""
        ...

    def encode(self, content: bytes) -> Tensor:
        """Its symbols (t,), none for no bytes."""
        ...

    def decode(self, symbols: Tensor) -> bytes:
        """The inverse, of symbols (t,)."""
        ...


class Bytes(NamedTuple):
    """The 256 bytes."""

    @property
    def unit(self) -> str:
        return "bytes"

    def words(self) -> list[bytes]:
        return [bytes([i]) for i in range(BYTES)]

    def encode(self, content: bytes) -> Tensor:
        return torch.tensor(list(content), dtype=torch.int64)

    def decode(self, symbols: Tensor) -> bytes:
        return bytes(symbols.tolist())


class BytePairs(NamedTuple):
    """The bytes, and after them what merges of two symbols give, in their order."""

    merges: Tensor  # (m, 2), each of symbols before it

    @property
    def unit(self) -> str:
        return "tokens"

    def words(self) -> list[bytes]:
        words = Bytes().words()
        known = set(words)
        for first, second in self.merges.tolist():
            merged = words[first] + words[second]
            if merged not in known:  # two merges may give the same
                words.append(merged)
                known.add(merged)
        return words

    def encode(self, content: bytes) -> Tensor:
        return torch.tensor(self.tokenizer().encode(_letters(content)).ids, dtype=torch.int64)

    def decode(self, symbols: Tensor) -> bytes:
        words = self.words()
        return b"".join(words[i] for i in symbols.tolist())

    def tokenizer(self) -> "Tokenizer":
        """The library's, of texts whose letters are bytes (Latin-1)."""
        words = [_letters(word) for word in self.words()]
        merges = [(words[first], words[second]) for first, second in self.merges.tolist()]
        return _tokenizer({word: i for i, word in enumerate(words)}, merges)

    def to_json(self) -> str:
        """As the library reads it, by Tokenizer.from_str."""
        return self.tokenizer().to_str(pretty=True)


def byte_pairs(content: bytes, size: int) -> BytePairs:
    """The alphabet of `size` symbols that merges the most frequent pair, again and again; fewer where none is left.

    InputError where the library is missing.
    """
    tokenizer = _tokenizer({}, [])
    from tokenizers.trainers import BpeTrainer

    letters = [_letters(word) for word in Bytes().words()]
    trainer = BpeTrainer(vocab_size=size, initial_alphabet=letters, special_tokens=[], show_progress=False)
    tokenizer.train_from_iterator([_letters(content)], trainer)
    return read_byte_pairs(tokenizer.to_str())


def read_byte_pairs(text: str) -> BytePairs:
    """Those of a tokenizer as `BytePairs.to_json` writes it. KeyError, TypeError or ValueError for other text."""
    model = json.loads(text)["model"]
    pairs = [(model["vocab"][first], model["vocab"][second]) for first, second in model["merges"]]
    return BytePairs(torch.tensor(pairs, dtype=torch.int64).view(-1, 2))


def streamed(alphabet: Alphabet, symbols: Iterable[Tensor]) -> Iterator[str]:
    """The text of symbols as they come, one (1,) after another: "" while a letter is not whole.

    What is no UTF-8 is shown as such.
    """
    words, decoder = alphabet.words(), codecs.getincrementaldecoder("utf-8")("replace")
    for each in symbols:
        yield decoder.decode(words[int(each)])
    yield decoder.decode(b"", final=True)


def _letters(content: bytes) -> str:
    return content.decode("latin-1")


def _tokenizer(words: dict[str, int], merges: list[tuple[str, str]]) -> "Tokenizer":
    try:
        from tokenizers import Regex, Tokenizer
        from tokenizers.models import BPE
        from tokenizers.pre_tokenizers import Split
    except ImportError as error:
        raise InputError("byte pairs need the library tokenizers: pip install 'jensen[text]'") from error
    tokenizer = Tokenizer(BPE(words, merges))
    tokenizer.pre_tokenizer = Split(Regex(PIECES), "isolated")
    return tokenizer
