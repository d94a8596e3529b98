"""The alphabet of an export's symbols, by which text goes in and comes out."""

from pathlib import Path

from jensen.experiments.data.alphabets import Alphabet, Bytes, read_byte_pairs
from jensen.experiments.deployment.manifest import AGAIN, BYTES, Manifest, Sequences, read_vouched
from jensen.experiments.run.errors import InputError, reason


def alphabet(folder: Path, manifest: Manifest) -> Alphabet:
    """Of an export of sequences. InputError for one of something else, and for a tokenizer that cannot be read."""
    sequences = described(folder, manifest)
    if sequences.alphabet == BYTES:
        return Bytes()
    content = read_vouched(folder, sequences.alphabet, manifest)
    try:
        found = read_byte_pairs(content.decode())
        words = len(found.words())
    except (KeyError, TypeError, ValueError, IndexError, RuntimeError, RecursionError) as error:
        raise InputError(f"{folder / sequences.alphabet} is no tokenizer ({reason(error)}): {AGAIN}") from error
    if words != sequences.start:
        raise InputError(f"{folder / sequences.alphabet} has {words} symbols, not {sequences.start}: {AGAIN}")
    return found


def described(folder: Path, manifest: Manifest) -> Sequences:
    """How its functions are called. InputError for an export that draws no sequences."""
    if manifest.sequences is None:
        raise InputError(f"{folder} holds a {manifest.kind}, which draws no sequences: export a run of lm")
    return manifest.sequences
