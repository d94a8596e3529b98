"""Autoregressive models of text as programs: log p of windows from random places of one long text.

Data are rows of the text, one after another.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from jensen.core import keys
from jensen.core.contracts import Key
from jensen.core.models.autoregressive import sampling
from jensen.core.models.autoregressive.sampling import Choice
from jensen.core.models.autoregressive.sequences import Autoregressive
from jensen.core.trees import Params, Tree
from jensen.experiments.data.alphabets import Alphabet, BytePairs, streamed
from jensen.experiments.data.batches import Windows
from jensen.experiments.data.text import Text
from jensen.experiments.programs.one_turn import OneTurn
from jensen.experiments.report import text as report
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.program import Batch, Finding, Out, Weights

SAMPLE = 500  # symbols of the report's sample, or as many as the context holds


@dataclass(frozen=True)
class LanguageProgram(OneTurn):
    """One turn over the model, without a state."""

    model: Autoregressive
    batches: Windows
    optimiser: Optimiser
    title: str  # of the report
    alphabet: Alphabet
    dtype: torch.dtype = torch.float32  # of parameters

    def init(self, key: Key, data: Tensor, /) -> tuple[Params, Tree]:
        return {"model": self.model.init(key, self.dtype)}, {}

    def loss(self, params: Params, state: Tree, batch: Batch, key: Key, weights: Weights) -> Out:
        """Minus the mean log p of a symbol."""
        log_p = self.model.log_probs(params["model"], batch["data"], key).mean(1)
        return Out(-log_p.mean(), {"objective": log_p}, state)

    def score(self, params: Params, state: Tree, batch: Tensor, key: Key, /) -> Tensor:
        """The mean log p of a symbol in each row."""
        return self.model.log_probs(params["model"], batch).mean(1)

    def continued(
        self, params: Params, key: Key, length: int, prompt: str = "", choice: Choice = Choice()
    ) -> Iterator[str]:
        """`length` symbols after a prompt, as text, part by part: "" while a letter is not whole.

        InputError, before anything is drawn, for a prompt that leaves no room for them in the context.
        """
        given = self.alphabet.encode(prompt.encode(errors="surrogateescape"))
        longest = self.model.longest
        if longest is not None and len(given) + length > longest:
            raise InputError(
                f"a prompt of {len(given)} {self.alphabet.unit} and {length} drawn exceed the context, {longest}: "
                "shorten the prompt, or draw fewer"
            )
        known = given.to(key.device)[None] if len(given) else None
        return streamed(self.alphabet, sampling.stream(self.model, params["model"], key, 1, length, known, choice))

    def files(self) -> dict[str, str]:
        """A tokenizer, which the library reads."""
        return {"tokenizer.json": self.alphabet.to_json()} if isinstance(self.alphabet, BytePairs) else {}

    @torch.no_grad()
    def report(self, params: Params, state: Tree, data: Text, key: Key, /) -> list[Finding]:
        """Bits per byte of the whole test text, the memory of a text that is drawn, and a sample."""
        length = min(SAMPLE, self.model.longest or SAMPLE)

        def drawn() -> str:
            return "".join(self.continued(params, keys.fold_in(key, 1), length))

        return [
            Finding("what", [], f"{self.title}\n"),
            report.likelihoods(self.model, params["model"], data, self.batches.length),
            report.memory(self.model, params["model"], data.train[: self.batches.length]),
            report.sample(drawn, f"{length} {self.alphabet.unit} drawn:"),
        ]
