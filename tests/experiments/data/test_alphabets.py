"""Alphabets: texts come back as they were, whole and part by part; merges as the library makes them, and by hand."""

import sys

import pytest
import torch

from jensen.experiments.data.alphabets import BytePairs, Bytes, byte_pairs, streamed
from jensen.experiments.run.errors import InputError

TEXT = b"the cat sat on the mat, and the cat ate the rat. " * 20
PAIRS = byte_pairs(TEXT, 300)
EVERY = bytes(range(256)) * 2


@pytest.mark.parametrize("alphabet", [Bytes(), PAIRS])
@pytest.mark.parametrize(
    "content",
    [b"", b"a", TEXT, EVERY, EVERY[::-1], "naïve 日本語 \N{GRINNING FACE}\r\n\t\x85 x".encode(), b"\xff\xc3 \x00"],
)
def test_any_bytes_come_back(alphabet, content):
    symbols = alphabet.encode(content)
    assert symbols.dtype == torch.int64
    assert alphabet.decode(symbols) == content
    assert len(alphabet.words()) > max(symbols.tolist(), default=0)


def test_merges_are_the_most_frequent_pairs():
    pairs = byte_pairs(b"abab abab cd", 258)
    assert [pairs.words()[256], pairs.words()[257]] == [b"ab", b"abab"]
    assert pairs.encode(b"ababab cdab").tolist() == [257, 256, *b" cd", 256]


def test_two_merges_that_give_the_same_are_one_symbol():
    pairs = BytePairs(torch.tensor([[97, 97], [98, 97], [256, 98], [97, 257], [97, 257]]))
    assert pairs.words()[256:] == [b"aa", b"ba", b"aab", b"aba"]
    assert pairs.decode(pairs.encode(b"aabaabba")) == b"aabaabba"


def test_symbols_are_those_of_the_library():
    from tokenizers import Tokenizer

    stored = Tokenizer.from_str(PAIRS.to_json())
    assert stored.encode(EVERY.decode("latin-1")).ids == PAIRS.encode(EVERY).tolist()
    assert [stored.id_to_token(i).encode("latin-1") for i in range(stored.get_vocab_size())] == PAIRS.words()
    assert len(PAIRS.encode(TEXT)) < len(TEXT) / 3


def test_a_text_in_which_nothing_is_left_to_merge_has_fewer_symbols():
    assert [len(byte_pairs(content, 1024).words()) for content in (b"", b"a", b"aaaa")] == [256, 256, 258]


@pytest.mark.parametrize("alphabet", [Bytes(), PAIRS])
def test_a_text_is_shown_as_it_comes(alphabet):
    text = "the naïve 日本語"
    parts = [*streamed(alphabet, alphabet.encode(text.encode())[:, None])]
    assert "".join(parts) == text
    assert "" in parts  # within a letter of several bytes
    assert "\N{REPLACEMENT CHARACTER}" not in parts
    assert "".join(streamed(alphabet, alphabet.encode(b"h\xff\xe3")[:, None])) == "h" + 2 * "\N{REPLACEMENT CHARACTER}"


def test_a_missing_library_is_one_clear_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(InputError, match=r"byte pairs need the library tokenizers: pip install 'jensen\[text\]'"):
        byte_pairs(TEXT, 300)
