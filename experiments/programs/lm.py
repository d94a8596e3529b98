"""The language model of a text's bytes or tokens, as the command line has it."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from jensen.core.models.autoregressive import recurrent, transformer
from jensen.core.models.autoregressive.sequences import Autoregressive
from jensen.core.nn.recurrent import CELLS
from jensen.experiments.data.batches import Windows
from jensen.experiments.data.images import on_device
from jensen.experiments.data.text import Text, TextData
from jensen.experiments.programs.images import Flat
from jensen.experiments.programs.language import LanguageProgram
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.program import Prepared
from jensen.experiments.run.settings import Run

NETWORKS = ("transformer", *CELLS)


@dataclass(frozen=True)
class Lm:
    """Train a language model of a text's bytes or tokens, and report its bits per byte on the last tenth of it."""

    data: Flat[TextData] = TextData()
    network: Literal["transformer", "rnn", "gru", "gru-before", "lstm"] = "transformer"
    """What reads the text."""
    width: int = 128
    """Features of a symbol."""
    layers: int = 4
    """Blocks of the transformer, or recurrent layers."""
    heads: int = 4
    """Of attention."""
    context: int = 128
    """Symbols of a window; the transformer reads no more."""
    positions: Literal["rotary", "learned", "sinusoidal"] = "rotary"
    """Of the transformer."""
    order: Literal["pre", "post"] = "pre"
    """Whether the transformer normalises before or after what each block adds."""
    norm: Literal["layer", "rms"] = "layer"
    """Of the transformer."""
    activation: Literal["gelu", "relu"] = "gelu"
    """In the transformer's perceptrons."""
    dropout: float = 0.0
    """The share of features that each step drops."""
    tied: bool = True
    """Logits are products with the embedding."""
    optimiser: Flat[Optimiser] = Optimiser(kind="adamw", lr=3e-3, beta2=0.99, weight_decay=0.1)
    run: Flat[Run] = Run(steps=2000, batch=16, lr_warmup=100, clip=1.0)

    def check(self) -> None:
        """Raises an InputError for the first setting that cannot work."""
        for part in (self.data, self.optimiser, self.run):
            part.check()
        for name in ("width", "layers", "heads"):
            if getattr(self, name) < 1:
                raise InputError(f"expected --{name} of at least 1, got {getattr(self, name)}: leave it out")
        if self.context < 2:
            raise InputError(f"expected --context of at least 2, got {self.context}: leave it out for 128")
        if not 0 <= self.dropout < 1:
            raise InputError(f"expected --dropout in [0, 1), got {self.dropout}")
        if self.network != "transformer":
            for name in ("heads", "positions", "order", "norm", "activation"):
                if getattr(self, name) != getattr(Lm, name):
                    raise InputError(f"a {self.network} has no --{name}: leave it out, or use --network transformer")
        elif self.width % self.heads or (self.positions == "rotary" and self.width // self.heads % 2):
            even = " into an even number" if self.positions == "rotary" else ""
            raise InputError(f"--heads {self.heads} does not divide --width {self.width}{even}: choose another")

    def model(self, symbols: int) -> Autoregressive:
        if self.network != "transformer":
            return recurrent.build(symbols, self.width, self.layers, self.network, self.dropout, self.tied)
        return transformer.build(
            symbols, self.width, self.layers, self.heads, self.context, None, self.positions, self.order, self.norm,
            {"gelu": F.gelu, "relu": F.relu}[self.activation], self.dropout, self.tied,
        )  # fmt: skip

    def prepare(self) -> Prepared[LanguageProgram, Tensor, Text]:
        """Loads the text and builds the program. InputError for what does not go together."""
        text = self.data.load(self.run.share_held_out)
        text = text._replace(
            **{name: on_device(getattr(text, name), self.run) for name in ("train", "held_out", "test")}
        )
        unit = text.alphabet.unit
        for name, part in (("training", text.train), ("held-out", text.held_out)):
            if len(part) < self.context:
                raise InputError(
                    f"--context {self.context} exceeds the {len(part)} {name} {unit}: shorten it, or give a longer text"
                )
        windows = Windows(len(text.train), self.context, self.run.batch)
        total = self.run.total(windows.steps)
        title = f"{self.network} on {text.name}: {total} steps of {self.run.batch} windows of {self.context} {unit}"
        train, held_out = (
            part[: len(part) // self.context * self.context].view(-1, self.context)
            for part in (text.train, text.held_out)
        )
        program = LanguageProgram(
            model=self.model(len(text.alphabet.words())), batches=windows, optimiser=self.optimiser, title=title,
            alphabet=text.alphabet, dtype=getattr(torch, self.run.dtype),
        )  # fmt: skip
        return Prepared(program, train, held_out, text)
