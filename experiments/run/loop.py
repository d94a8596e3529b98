"""The training loop: turns, checkpoints, held-out scores, interrupts. Resuming gives an uninterrupted run's bits."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from jensen.core import keys, trees
from jensen.core.contracts import Key
from jensen.core.trees import Params, Tree
from jensen.experiments.data.batches import chunks, length
from jensen.experiments.run import checkpoints, state
from jensen.experiments.run.compilation import compiled
from jensen.experiments.run.errors import InputError, InterruptError, NonFiniteError
from jensen.experiments.run.folder import BEST, RunFolder
from jensen.experiments.run.metrics import Metrics
from jensen.experiments.run.nonfinite import explain
from jensen.experiments.run.program import Data, Program, Row, Turn, Weights
from jensen.experiments.run.settings import Run
from jensen.experiments.run.signals import interrupts
from jensen.experiments.run.state import Progress, TrainState
from jensen.experiments.run.step import accumulated, gradient

SCORED = 1000  # most held-out data that an epoch's score is of


class Fitted(NamedTuple):
    """The parameters that the run is judged by, the state that goes with them, and how far it went."""

    params: Params
    state: Tree
    progress: Progress


class Watch(NamedTuple):
    """What the loop calls: `row` about twice a second, `checkpoint` after each checkpoint."""

    row: Callable[[int, int, Row], None] = lambda step, total, row: None
    checkpoint: Callable[[Params, Tree], None] = lambda params, state: None


def fit(program: Program, run: Run, train: Data, held_out: Data, folder: RunFolder, watch: Watch | None = None) -> Fitted:
    """Trains from the folder's last checkpoint, where there is one.

    NonFiniteError leaves parameters as they were; InterruptError follows a signal, with a checkpoint saved.
    """
    return Loop(program, run, train, held_out, folder, watch or Watch()).fit()


class Loop:
    """A run in progress."""

    def __init__(self, program: Program, run: Run, train: Data, held_out: Data, folder: RunFolder, watch: Watch):
        self.program, self.run, self.train, self.held_out = program, run, train, held_out
        self.folder, self.watch, self.total = folder, watch, run.total(program.epoch)
        device = trees.leaves(train)[0].device
        init_key, self.data_key, self.step_key, self.score_key = keys.split(keys.key(run.seed, device), 4)
        params, initial = program.init(init_key, train)
        self.stand = state.start(params, initial, program.optimisers, run.average is not None)
        self.progress = self.resume()
        wrap = compiled if run.compile else lambda f: f
        if run.compile:
            torch.compiler.reset()  # the compiler allows one function few closures: a sweep would run out
        self.gradients = {turn: self.gradient(turn, wrap) for turn in dict.fromkeys(program.turns)}
        self.score = wrap(program.score)
        self.rates = {group: [p["lr"] for p in o.param_groups] for group, o in self.stand.optimisers.items()}

    def gradient(self, turn: Turn, wrap: Callable) -> Callable:
        if self.run.accumulate > 1:
            return accumulated(turn, self.run.clip, self.run.accumulate, wrap)
        return wrap(gradient(turn, self.run.clip))

    def fit(self) -> Fitted:
        metrics, row, spoken = Metrics(self.folder.path, self.progress.step), {}, 0.0
        with interrupts() as caught:
            try:
                while self.progress.step < self.total and not self.progress.stopped:
                    self.step()
                    step = self.progress.step
                    if step % self.program.epoch == 0 or step == self.total:
                        metrics.append(self.check_held_out())
                    ended = step == self.total or self.progress.stopped
                    if step % self.run.log_every == 0 or ended:
                        row = self.flush()
                        metrics.append(row)
                    if step % self.run.checkpoint_every == 0 or ended or caught:
                        self.save()
                    if step % self.run.checkpoint_every == 0 and not (ended or caught):
                        self.watch.checkpoint(self.stand.judged, self.stand.state)
                    if time.monotonic() - spoken > 0.5:
                        spoken = time.monotonic()
                        self.watch.row(step, self.total, row)
                    if caught:
                        raise InterruptError(caught[0], f"stopped at step {step} with a checkpoint saved")
            finally:
                metrics.close()
        self.watch.row(self.progress.step, self.total, row)
        return self.fitted()

    def step(self) -> None:
        """One turn, and the update that follows it where all its numbers are finite."""
        step, turn = self.progress.step, self.program.turns[self.progress.step % len(self.program.turns)]
        batch = self.program.batch(self.train, self.data_key, step)
        weights = {name: torch.tensor(f(step)) for name, f in self.program.schedules.items()}
        slopes, new, names, numbers = self.gradients[turn](
            self.stand.params, self.stand.state, batch, self.step_key, torch.tensor(step), weights
        )
        values = numbers.tolist()
        if all(map(math.isfinite, values)):
            self.update(turn, slopes)
            self.stand = self.stand._replace(state=new)
            for name, value in zip(names, values, strict=True):
                self.progress.sums[name] = self.progress.sums.get(name, 0.0) + value
                self.progress.counts[name] = self.progress.counts.get(name, 0) + 1
        elif self.run.on_nan == "raise":
            self.refuse(turn, batch, step, weights)
        else:
            self.progress.skipped += 1
        self.progress.step += 1

    def update(self, turn: Turn, slopes: Params) -> None:
        step = self.progress.step
        for group in turn.groups:
            optimiser = self.stand.optimisers[group]
            for each, peak in zip(optimiser.param_groups, self.rates[group], strict=True):
                each["lr"] = self.run.rate(step, peak, self.total)
            trees.set_grads(self.stand.params[group], slopes[group])
            optimiser.step()
        if self.run.average is not None and self.stand.average is not None:
            decay = min(self.run.average, (1 + step) / (10 + step))  # early on, what the start weighs is little
            torch._foreach_lerp_(trees.leaves(self.stand.average), trees.leaves(self.stand.params), 1 - decay)

    def refuse(self, turn: Turn, batch: Tree, step: int, weights: Weights) -> None:
        where = explain(turn, self.stand.params, self.stand.state, batch, self.step_key, step, weights)
        self.save()
        raise NonFiniteError(f"{where}; parameters are unchanged; --on-nan skip leaves such steps out")

    def check_held_out(self) -> Row:
        """The mean score of held-out data; the best parameters so far are kept where the run may stop early."""
        progress, values = self.progress, []
        if length(self.held_out) > SCORED:
            self.held_out = next(chunks(self.held_out, SCORED))[1]
        with torch.no_grad():
            for first, part in chunks(self.held_out, self.run.batch):
                padded = trees.map(lambda t: _padded(t, min(self.run.batch, length(self.held_out))), part)
                key = keys.at(self.score_key, datum=first)
                values.append(self.score(self.stand.judged, self.stand.state, padded, key)[: length(part)])
        score = torch.cat(values).double().mean().item()
        if self.run.patience is not None:
            if math.isfinite(score) and (progress.best is None or score > progress.best):
                progress.best, progress.best_step, progress.stale = score, progress.step, 0
                self.folder.save(BEST, self.weights(), {"step": progress.step})
            else:
                progress.stale += 1
                progress.stopped = progress.stale >= self.run.patience
        shown = score if math.isfinite(score) else None
        return {"kind": "held-out", "step": progress.step, "epoch": self.epoch(), "score": shown}

    def flush(self) -> Row:
        """The mean of the steps since the last row; of those skipped, nothing."""
        progress, step = self.progress, max(0, self.progress.step - 1)
        means = {name: total / progress.counts[name] for name, total in progress.sums.items()}
        progress.sums, progress.counts = {}, {}
        weights = {name: f(step) for name, f in self.program.schedules.items()}
        rates = {f"lr/{group}": self.run.rate(step, each[0], self.total) for group, each in self.rates.items()}
        return {"kind": "train", "step": progress.step, "epoch": self.epoch(), **means, **weights, **rates,
                "skipped": progress.skipped}  # fmt: skip

    def epoch(self) -> int:
        return (self.progress.step - 1) // self.program.epoch

    def weights(self) -> dict[str, Tensor]:
        """The parameters that the run is judged by and their state, by name."""
        named = {f"params.{path}": leaf for path, leaf in trees.paths(self.stand.judged).items()}
        return named | {f"state.{path}": leaf for path, leaf in trees.paths(self.stand.state).items()}

    def save(self) -> None:
        self.folder.save_step(self.progress.step, state.tensors(self.stand), state.as_json(self.progress), self.run.keep)

    def resume(self) -> Progress:
        """Fills `stand` from the folder's last checkpoint; a fresh Progress where there is none."""
        found = self.folder.latest()
        if found is None:
            return Progress()
        path, cure = found, "remove it, and the run goes on from the checkpoint before it"
        tensors, saved = self.folder.load(path, cure=cure)
        like = state.expected(self.stand, self.program.optimisers, tensors)
        checkpoints.check_like(path, tensors, like, cure)
        progress = state.from_json(path, saved, cure)
        if progress.step > self.total:
            raise InputError(f"{self.folder.path} has taken {progress.step} steps, more than the {self.total} asked for")
        self.stand = state.restore(self.stand, tensors, like)
        return progress

    def fitted(self) -> Fitted:
        """The best parameters where the run may stop early, else the last."""
        params, final = self.stand.judged, self.stand.state
        if self.progress.best is not None:
            tensors, _ = self.folder.load(self.folder.path / BEST, self.weights())
            params = trees.from_paths(_part(tensors, "params.", params), params)
            final = trees.from_paths(_part(tensors, "state.", final), final)
        return Fitted(params, final, self.progress)


def _part(tensors: dict[str, Tensor], prefix: str, like: Tree) -> dict[str, Tensor]:
    device = trees.leaves(like)[0].device if trees.leaves(like) else None
    return {name.removeprefix(prefix): t.to(device) for name, t in tensors.items() if name.startswith(prefix)}


def _padded(t: Tensor, size: int) -> Tensor:
    """Filled up with its first datum, so that a compiled function sees one shape."""
    return torch.cat([t, t[:1].expand(size - len(t), *t.shape[1:])]) if len(t) < size else t
