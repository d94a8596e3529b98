"""The training loop: turns, checkpoints, held-out scores, interrupts. Resuming gives an uninterrupted run's bits."""

import math
import time
from collections.abc import Callable
from signal import SIGTERM
from typing import NamedTuple

import torch

from jensen.core import keys, trees
from jensen.core.trees import Params, Tree
from jensen.experiments.data.batches import chunks, length
from jensen.experiments.run import checkpoints, shards, state
from jensen.experiments.run.compilation import compiled
from jensen.experiments.run.errors import InputError, InterruptError, NonFiniteError
from jensen.experiments.run.folder import RunFolder
from jensen.experiments.run.metrics import Followed, Metrics
from jensen.experiments.run.nonfinite import explain, not_finite
from jensen.experiments.run.program import Batch, Coupled, Data, Program, Row, Turn, Weights
from jensen.experiments.run.ranks import Ranks
from jensen.experiments.run.settings import Run
from jensen.experiments.run.signals import interrupts
from jensen.experiments.run.state import Progress
from jensen.experiments.run.step import accumulated, gradient

SCORED = 1000  # most held-out data that an epoch's score is of


class Fitted(NamedTuple):
    """The parameters that the run is judged by, the state that goes with them, and how far it went."""

    params: Params
    state: Tree
    progress: Progress


class Watch(NamedTuple):
    """What the loop calls while it runs.

    row         about twice a second, with the step, their total and the last row of metrics
    checkpoint  after each checkpoint but the last, with the parameters and the state
    """

    row: Callable[[int, int, Row], None] = lambda step, total, row: None
    checkpoint: Callable[[Params, Tree], None] = lambda params, state: None


def fit(
    program: Program, run: Run, train: Data, held_out: Data, folder: RunFolder, watch: Watch | None = None,
    ranks: Ranks | None = None,
) -> Fitted:  # fmt: skip
    """Trains from the folder's last checkpoint, where there is one.

    NonFiniteError leaves parameters as they were; InterruptError follows a signal, with a checkpoint saved. Of several
    ranks each calls it with the same arguments, and the first alone writes and watches.
    """
    return Loop(program, run, train, held_out, folder, watch or Watch(), ranks).fit()


class Loop:
    """A run in progress."""

    def __init__(
        self, program: Program, run: Run, train: Data, held_out: Data, folder: RunFolder, watch: Watch,
        ranks: Ranks | None = None,
    ):  # fmt: skip
        ranks = ranks or Ranks()
        self.program, self.run, self.train, self.held_out = program, run, train, held_out
        self.folder, self.watch, self.ranks, self.total = folder, watch, ranks, run.total(program.epoch)
        device = trees.leaves(train)[0].device
        init_key, self.data_key, self.step_key, self.score_key = keys.split(keys.key(run.seed, device), 4)
        params, initial = program.init(init_key, train)
        ranks.same((params, initial))  # machines of two kinds round differently
        params = shards.cut(params, ranks) if run.shard else params
        self.stand = state.start(params, initial, program.optimisers, run.average is not None)
        self.progress = self.resume()
        wrap = compiled if run.compile else lambda f: f
        if run.compile:
            torch.compiler.reset()  # the compiler allows one function few closures: a sweep would run out
        self.turns, self.schedules = program.turns, program.schedules
        self.gradients = {turn: self.gradient(turn, wrap) for turn in dict.fromkeys(self.turns)}
        self.score = wrap(program.score)
        self.peaks = {group: setting.lr for group, setting in program.optimisers.items()}
        self.leaves = {group: trees.leaves(leaves) for group, leaves in self.stand.params.items()}
        rows = Metrics if ranks.first else Followed
        self.metrics = rows(folder.path, self.progress.step, self.progress.rows, folder.onwards)

    def gradient(self, turn: Turn, wrap: Callable) -> Callable:
        if self.run.accumulate > 1 or self.ranks.size > 1:
            if isinstance(self.program, Coupled) and self.program.coupling is not None:
                raise InputError(
                    f"{self.program.coupling}, and parts of a batch do not add up to that: leave out --accumulate, and "
                    "train in one process"
                )
            return accumulated(turn, self.run.clip, self.run.accumulate, self.ranks, wrap)
        return wrap(gradient(turn, self.run.clip))

    def fit(self) -> Fitted:
        row, spoken = {}, 0.0
        if self.ranks.first:
            self.folder.begin(self.run.keep)
        with self.metrics, interrupts() as caught:
            self.ranks.caught = caught
            while self.progress.step < self.total and not self.progress.stopped:
                self.step()
                step = self.progress.step
                if step % self.program.epoch == 0 or step == self.total:
                    self.check_held_out()
                ended = step == self.total or self.progress.stopped
                if step % self.run.log_every == 0 or ended:
                    row = self.flush()
                stopping = self.ranks.stopping
                if step % self.run.checkpoint_every == 0 or ended or stopping:
                    self.save()
                    if not (ended or stopping):
                        self.watch.checkpoint(*self.judged())
                        self.ranks.meet()
                if time.monotonic() - spoken > 0.5:
                    spoken = time.monotonic()
                    self.watch.row(step, self.total, row)
                if stopping:
                    raise InterruptError([*caught, SIGTERM][0], f"stopped at step {step} with a checkpoint saved")
        self.watch.row(self.progress.step, self.total, row)
        return self.fitted()

    def step(self) -> None:
        """One turn, and the update that follows it where all its numbers are finite."""
        step = self.progress.step
        turn = self.turns[step % len(self.turns)]
        batch = self.program.batch(self.train, self.data_key, step)
        weights = {name: torch.tensor(f(step)) for name, f in self.schedules.items()}
        slopes, new, names, numbers = self.gradients[turn](
            self.stand.params, self.stand.state, batch, self.step_key, torch.tensor(step), weights
        )
        values = numbers.tolist()
        if all(map(math.isfinite, values)):
            self.update(turn, slopes)
            self.stand = self.stand._replace(state=new)
            sums, counts = self.progress.sums, self.progress.counts
            for name, value in zip(names, values, strict=True):
                sums[name], counts[name] = sums.get(name, 0.0) + value, counts.get(name, 0) + 1
        elif self.run.on_nan == "raise":
            self.refuse(turn, batch, weights)
        else:
            self.progress.skipped += 1
        self.progress.step += 1

    def update(self, turn: Turn, slopes: Params) -> None:
        step = self.progress.step
        for group in turn.groups:
            optimiser, rate = self.stand.optimisers[group], self.run.rate(step, self.peaks[group], self.total)
            for each in optimiser.param_groups:
                each["lr"] = rate
            for leaf, slope in zip(self.leaves[group], trees.leaves(slopes[group]), strict=True):
                leaf.grad = slope.contiguous()  # as leaves are: a fused optimiser pairs places in memory, not indices
            optimiser.step()
        if self.run.average is not None and self.stand.average is not None:
            decay = min(self.run.average, (1 + step) / (10 + step))  # early on the start must weigh little
            trees.map(lambda a, p: a.lerp_(p, 1 - decay), self.stand.average, self.stand.params)

    def refuse(self, turn: Turn, batch: Batch, weights: Weights) -> None:
        where, params = f"step {self.progress.step}", shards.whole(self.stand.params, self.ranks)
        if self.ranks.first:
            where = explain(turn, params, self.stand.state, batch, self.step_key, self.progress.step, weights)
        self.ranks.meet()  # the first has computed the step again
        self.save()
        raise NonFiniteError(f"{where}; parameters are unchanged; --on-nan skip leaves such steps out")

    def check_held_out(self) -> None:
        """Records the mean score of held-out data; keeps the best parameters so far where the run may stop early."""
        progress = self.progress
        score = self.held_out_score()
        if self.run.patience is not None:
            if math.isfinite(score) and (progress.best is None or score > progress.best):
                progress.best, progress.stale = score, 0
                self.stand = self.stand._replace(best=trees.map(torch.clone, self.stand.now))
            else:
                progress.stale += 1
                progress.stopped = progress.stale >= self.run.patience
        self.metrics.append({"kind": "held-out", "step": progress.step, "epoch": self.epoch(), "score": score})

    def held_out_score(self) -> float:
        held_out, judged = next(chunks(self.held_out, SCORED))[1], self.judged()
        size, values = min(self.run.batch, length(held_out)), []
        with torch.no_grad():
            for i, (first, rows) in enumerate(chunks(held_out, size)):
                if i % self.ranks.size != self.ranks.rank:
                    continue
                filled = trees.map(lambda t: torch.cat([t, t[:1].expand(size - len(t), *t.shape[1:])]), rows)
                score = self.score(*judged, filled, keys.at(self.score_key, datum=first))
                values.append(score[: length(rows)].double().sum())
        self.ranks.meet()  # those that had data have compiled
        total = torch.stack(values).sum() if values else torch.zeros((), dtype=torch.float64)
        return self.ranks.sum(total).item() / length(held_out)

    def flush(self) -> Row:
        """Records the mean of the steps since the last row, of those that were not skipped."""
        progress, step = self.progress, self.progress.step - 1
        means = {name: total / progress.counts[name] for name, total in sorted(progress.sums.items())}
        progress.sums, progress.counts = {}, {}
        scheduled = {f"weight/{name}": f(step) for name, f in self.schedules.items()}
        rates = {f"lr/{group}": self.run.rate(step, peak, self.total) for group, peak in self.peaks.items()}
        row: Row = {"kind": "train", "step": progress.step, "epoch": self.epoch(), **means, **scheduled, **rates}
        self.metrics.append({**row, "skipped": progress.skipped})
        return row

    def epoch(self) -> int:
        return (self.progress.step - 1) // self.program.epoch

    def save(self) -> None:
        """A checkpoint. NonFiniteError, and the last one stays, where an update has spoiled the parameters."""
        if spoiled := not_finite("parameter", shards.whole(self.stand.params, self.ranks)):
            raise NonFiniteError(
                f"step {self.progress.step}: {spoiled} after an update: start anew with a lower --lr, or --clip"
            )
        tensors = shards.filed(state.tensors(self.stand), self.ranks)
        if self.ranks.first:
            self.progress.rows = self.metrics.digest
            self.folder.save(self.progress.step, tensors, self.progress.as_json(), self.run.keep)

    def resume(self) -> Progress:
        """Fills `stand` from the folder's last checkpoint; a fresh Progress where there is none."""
        path = self.folder.latest()
        if path is None:
            return Progress()
        tensors, saved = self.folder.load(path)
        like = state.expected(self.stand, self.program.optimisers, tensors)
        checkpoints.check_like(path, tensors, like, self.folder.cure(path))
        self.folder.check_finite(path, {name: t for name, t in tensors.items() if name.startswith("params.")})
        try:
            progress = Progress.from_json(saved)
        except InputError as error:
            raise InputError(f"{path}: {error}: {self.folder.cure(path)}") from error
        if progress.step > self.total:
            raise InputError(f"{path} has taken more steps than the {self.total} asked for: ask for as many at least")
        self.stand = state.restore(self.stand, tensors, like)
        return progress

    def fitted(self) -> Fitted:
        """The best parameters where the run may stop early, else the last."""
        best = shards.whole(self.stand.best or self.stand.now, self.ranks)
        return Fitted(best.params, best.state, self.progress)

    def judged(self) -> state.Best:
        """What the run would be judged by if it ended here, whole."""
        return shards.whole(self.stand.now, self.ranks)

    @property
    def kept(self) -> shards.Bytes:
        """Of parameters, their average and moments: what this rank keeps."""
        tensors = state.tensors(self.stand._replace(state=()))
        return shards.kept(tensors.values())
