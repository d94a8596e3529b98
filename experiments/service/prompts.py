"""What a request of text asks for: {"prompt": "...", "tokens": 100, "seed": 3, "temperature": 0.8, "top_k": 40}."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from jensen.core import keys
from jensen.experiments.data.alphabets import Alphabet
from jensen.experiments.deployment.choosing import CHOICE, EVERYTHING
from jensen.experiments.deployment.functions import KEY
from jensen.experiments.deployment.manifest import Argument, Sequences
from jensen.experiments.run.errors import InputError, shown
from jensen.experiments.service.bodies import SEEDS
from jensen.experiments.service.errors import Refused, bad, split
from jensen.experiments.service.json_values import got

PROMPT, TOKENS, SEED, USUAL = "prompt", "tokens", "seed", 64
NAMES = (PROMPT, TOKENS, SEED, *(each.name for each in CHOICE))


@dataclass(frozen=True)
class Prompt:
    """Symbols to begin with, how many to draw, and by what: a row of each input that chooses."""

    symbols: list[int]
    tokens: int
    seed: int
    how: dict[str, Tensor]


def read(values: Mapping[str, Any], sequences: Sequences, alphabet: Alphabet, longest: int, most: int) -> Prompt:
    """What `json_values.read` has found in a body.

    Refused, 400 with the field and the fix, 413 for a prompt of more than `longest` symbols. most: symbols of a reply.
    """
    for name in values:
        if name not in NAMES:
            raise bad(shown(str(name)), "it is no setting of generation", f"send {', '.join(NAMES)}")
    symbols = _symbols(values.get(PROMPT, ""), alphabet, longest)
    room = most if sequences.longest is None else min(most, sequences.longest - len(symbols))
    tokens = _whole(values, TOKENS, 1, room, min(USUAL, room))
    seed = _whole(values, SEED, 0, SEEDS - 1, secrets.randbelow(SEEDS))
    how = {each.name: _chosen(each, values.get(each.name, EVERYTHING[each.name])) for each in CHOICE}
    return Prompt(symbols, tokens, seed, {KEY.name: keys.key(seed)[None], **how})


def _symbols(prompt: object, alphabet: Alphabet, longest: int) -> list[int]:
    if not isinstance(prompt, str):
        raise bad(PROMPT, f"expected text, got {got(prompt)}", 'send {"prompt": "..."}')
    content = prompt.encode()
    least = -(-len(content) // max(map(len, alphabet.words())))
    if least > longest:  # seen without taking the time to cut it into symbols
        raise _long(f"{least} or more", alphabet, longest)
    try:
        symbols = alphabet.encode(content).tolist()
    except InputError as error:  # where the tokenizer's library is missing
        raise Refused(503, str(error), PROMPT) from error
    if len(symbols) > longest:
        raise _long(str(len(symbols)), alphabet, longest)
    return symbols


def _long(got: str, alphabet: Alphabet, longest: int) -> Refused:
    return Refused(413, f"expected at most {longest} {alphabet.unit}, got {got}", PROMPT, "cut its beginning")


def _whole(values: Mapping[str, Any], name: str, least: int, most: int, default: int) -> int:
    value = values.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        fix = f"send {name} as one, or a shorter prompt" if name == TOKENS else f"send {name} as one"
        raise bad(name, f"expected a whole number from {least} to {most}, got {got(value)}", fix)
    return value


def _chosen(argument: Argument, value: object) -> Tensor:
    """A row of an input that chooses."""
    whole = argument.dtype == "int64"
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float) or abs(value) >= 2**63:
        raise bad(argument.name, f"expected a {'whole ' * whole}number, got {got(value)}", argument.about)
    row = torch.tensor([value], dtype=getattr(torch, argument.dtype))
    try:
        argument.check(row)
    except ValueError as error:
        raise split(argument.name, str(error)) from None
    return row
