"""Texts of several clients, drawn together: a fixed width of places, each at a position of its own.

A text takes a place when one is free and leaves it at its last symbol; each step draws the next symbol of all of them.
Steps are functions of their inputs at one width, and a prompt is read alone: a seed's text has the same bytes whoever
else is there. The memory is the front's own, between steps: a worker that is lost has lost none of it.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from jensen.experiments.data.alphabets import Alphabet
from jensen.experiments.deployment import texts
from jensen.experiments.deployment.manifest import DRAWING, Sequences, Signature, read_manifest
from jensen.experiments.run.errors import reason
from jensen.experiments.service.batching import TRIES, Rows
from jensen.experiments.service.breaker import Breaker
from jensen.experiments.service.engines import Loaded, LostWorkerError
from jensen.experiments.service.errors import Refused
from jensen.experiments.service.prompts import Prompt
from jensen.experiments.service.settings import Limits
from jensen.experiments.service.streams import CLOSING, FAILED, LATE, LENGTH, Stream

GENERATE, (PREFILL, STEP) = "generate", DRAWING


@dataclass(eq=False)
class Writing:
    """A text that is asked for, and where it goes."""

    prompt: Prompt
    stream: Stream
    until: float  # time.monotonic()

    @property
    def wanted(self) -> bool:
        return self.stream.reason is None

    def put(self, symbol: int) -> None:
        self.stream.put(symbol)
        if self.stream.symbols == self.prompt.tokens:
            self.stream.end(LENGTH)


def generator(
    folder: Path | None, loaded: Loaded, call: Callable[[str, Rows], Awaitable[Rows]], limits: Limits,
    breaker: Breaker, watch: Callable[[int], object], retried: Callable[[], object],
) -> "Generator | None":  # fmt: skip
    """Of an export of sequences; None for one of something else. InputError for a tokenizer that cannot be read."""
    if folder is None or not {*DRAWING} <= loaded.functions.keys():
        return None
    manifest = read_manifest(folder, loaded.digest)
    if manifest.sequences is None:
        return None
    alphabet = texts.alphabet(folder, manifest)
    return Generator(call, loaded.functions, manifest.sequences, alphabet, limits, breaker, watch, retried)


class Generator:
    """Places for `limits.batch` texts and a queue of others. All but the steps runs on the event loop.

    call: a function of the export by its name, an engine's; watch: is given how many texts each step is of; retried: is
    called when one is tried again, for its worker was lost.
    """

    def __init__(
        self,
        call: Callable[[str, Rows], Awaitable[Rows]],
        functions: Mapping[str, Signature],
        sequences: Sequences,
        alphabet: Alphabet,
        limits: Limits,
        breaker: Breaker,
        watch: Callable[[int], object] = lambda rows: None,
        retried: Callable[[], object] = lambda: None,
    ):
        self.sequences, self.alphabet, self.words = sequences, alphabet, alphabet.words()
        self._call, self._limits, self._breaker, self._watch, self._retried = call, limits, breaker, watch, retried
        self._signatures = functions
        self._inputs = {
            each.name: torch.full((limits.width, *each.shape), each.low or 0, dtype=getattr(torch, each.dtype))
            for each in functions[STEP].inputs
        }
        self._places: list[Writing | None] = [None] * limits.batch
        self._waiting: deque[Writing] = deque()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.since: float | None = None  # when the call that runs was begun

    @property
    def longest(self) -> int:
        """Symbols of a prompt."""
        return self._signatures[PREFILL].inputs[0].shape[0]

    @property
    def rows(self) -> int:
        """Texts that wait for a place."""
        return len(self._waiting)

    @property
    def stalled(self) -> bool:
        return self.since is not None and time.monotonic() - self.since > self._limits.stall

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    def close(self) -> None:
        """Every text ends."""
        if self._task is not None:
            self._task.cancel()
        for writing in (*self._waiting, *self._places):
            if writing is not None:
                writing.stream.end(CLOSING)
        self._waiting.clear()

    def check_room(self) -> None:
        """Refused, 429 where the queue has no room, 503 where the circuit is open."""
        if wait := self._breaker.open_for:
            raise Refused(503, "the model fails: its circuit is open", fix="send it later", retry_after=int(wait) + 1)
        if self.rows >= self._limits.queue:
            raise Refused(429, f"{self.rows} texts wait for a place", fix="send it later", retry_after=1)

    def submit(self, prompt: Prompt, buffer: int) -> Stream:
        """The text of a prompt, of which `buffer` parts may wait to be read. Refused as `check_room`.

        Whoever does not want it any more ends the stream: its place is free at the next symbol.
        """
        self.check_room()
        stream = Stream(self.words, buffer)
        self._waiting.append(Writing(prompt, stream, time.monotonic() + self._limits.text))
        self._changed.set()
        return stream

    async def _run(self) -> None:
        while True:
            self._leave()
            if not self._waiting and not any(self._places):
                self._changed.clear()
                await self._changed.wait()
            await self._join()
            await self._step()

    def _leave(self) -> None:
        """Texts that have ended, or last for too long, are nowhere any more."""
        for writing in (*self._waiting, *filter(None, self._places)):
            if time.monotonic() > writing.until:
                writing.stream.end(LATE)
        self._waiting = deque(each for each in self._waiting if each.wanted)
        self._places = [each if each is not None and each.wanted else None for each in self._places]

    async def _join(self) -> None:
        """The first of those that wait takes a free place; others follow between steps, so that none waits for all."""
        if None not in self._places or not self._waiting:
            return
        place, writing = self._places.index(None), self._waiting.popleft()
        symbols, before = writing.prompt.symbols, {"symbol": self.sequences.start, "position": 0}
        memory: dict[str, Tensor | int] = dict.fromkeys(self.sequences.memory, 0)
        if symbols:
            x = torch.zeros(1, self.longest, dtype=torch.int64)
            x[0, : len(symbols)] = torch.tensor(symbols)
            given = {"x": x, "length": torch.tensor([len(symbols)]), **writing.prompt.how}
            found = await self._computed(PREFILL, given, [writing])
            if found is None:
                return
            writing.put(int(found["symbol"]))
            before = {"symbol": int(found["symbol"]), "position": len(symbols) + 1}
            memory = {name: found[name][0] for name in self.sequences.memory}
        for name, value in {**before, **{n: row[0] for n, row in writing.prompt.how.items()}, **memory}.items():
            if name in memory:
                self._inputs[name] = self._inputs[name].clone()  # an engine may look at the one that it gave
            self._inputs[name][place] = value
        self._places[place] = writing

    async def _step(self) -> None:
        """The next symbol of every text."""
        writings = {i: each for i, each in enumerate(self._places) if each is not None and each.wanted}
        if not writings:
            return
        self._watch(len(writings))
        found = await self._computed(STEP, self._inputs, list(writings.values()))
        if found is None:
            return
        self._inputs |= {name: found[name] for name in self.sequences.memory}
        for i, symbol in enumerate(found["symbol"].tolist()):
            if i in writings:
                writings[i].put(symbol)
                self._inputs["symbol"][i] = symbol
                self._inputs["position"][i] += 1

    async def _computed(
        self, name: str, inputs: Mapping[str, Tensor], writings: list[Writing]
    ) -> dict[str, Tensor] | None:
        """A function's outputs by name; None where it fails, which ends the texts that it is of."""
        signature = self._signatures[name]
        given = tuple(inputs[each.name] for each in signature.inputs)
        self.since = time.monotonic()
        try:
            found = await self._tried(name, given)
        except Exception as error:  # of the function, of whatever kind
            self._breaker.failed()
            for writing in writings:
                writing.stream.end(FAILED, Refused(500, f"the model failed ({reason(error)})", fix="send it again"))
            return None
        finally:
            self.since = None
        self._breaker.succeeded()
        return dict(zip((each.name for each in signature.outputs), found, strict=True))

    async def _tried(self, name: str, given: Rows) -> Rows:
        """Again where a worker is lost."""
        for left in reversed(range(TRIES)):
            try:
                return await self._call(name, given)
            except LostWorkerError:
                if not left:
                    raise
                self._retried()
        raise AssertionError
