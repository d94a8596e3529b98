"""What every run has, whatever it trains."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

from jensen.experiments.run.config import FREE, UNSAVED
from jensen.experiments.run.errors import InputError, option
from jensen.experiments.run.schedules import warmup_cosine

HUGE = 2**31  # more than anything can count here
T = TypeVar("T")


def free(default: T) -> T:
    """A field that does not decide the trained parameters' bits up to here: it may change when a run goes on."""
    return field(default=default, metadata=FREE)


@dataclass(frozen=True)
class Run:
    """Steps, batches, held-out data, checkpoints: of every run."""

    steps: int | None = free(None)
    """Steps, instead of epochs. A run that goes on may have more of them than it was started with."""
    epochs: int = free(200)
    """Passes over the training data, unless --steps is given; like them, they may grow."""
    batch: int = 100
    """Data per step; each epoch is a new order."""
    keep_last: bool = False
    """Take an epoch's last incomplete batch too; without it, it is left out."""
    accumulate: int = 1
    """Parts that a batch's gradient is summed over, for batches that do not fit in memory."""
    shard: bool = free(False)
    """Of several ranks each keeps a part of the parameters, their average and their moments alone; a step gathers
    parameters, for models that do not fit otherwise."""
    clip: float | None = None
    """The largest gradient norm of each group of parameters; larger gradients are scaled down to it."""
    average: float | None = None
    """Decay of an average of the parameters over steps, by which the run is then judged; none unless given."""
    lr_warmup: int = 0
    """Steps over which learning rates rise linearly from 0."""
    lr_final: float = 0.1
    """What their cosine decays to, as a fraction of the peak; 1 keeps them constant."""
    lr_min: float = 0.0
    """The same in absolute terms: no learning rate decays below it."""
    held_out: float = 0.0
    """The share of the training data that is kept apart, to score the model at each epoch. At 0 that is done on test
    data, and decides nothing; with --patience it is a tenth unless given."""
    patience: int | None = None
    """Stop after this many epochs without a better score on held-out data, and keep the best parameters."""
    seed: int = 0
    """Everything random follows from it."""
    compile: bool = True
    """Compile the step and the evaluation with torch.compile."""
    device: str = free("cpu")
    """A torch device; a run may go on on another one."""
    dtype: Literal["float32", "float64", "bfloat16"] = "float32"
    """Of parameters and data."""
    on_nan: Literal["raise", "skip"] = free("raise")
    """At a step whose loss or gradient is not finite: stop, or skip the update, count it and go on."""
    log_every: int = free(50)
    """Steps per row of metrics.jsonl; a row is their mean."""
    checkpoint_every: int = free(500)
    """Steps between checkpoints, at which the figures are drawn anew."""
    keep: int = free(1)
    """How many of the latest checkpoints are kept."""
    out: Path | None = field(default=None, metadata=UNSAVED)
    """The run folder; runs/<time>-<what is trained> unless given. It must not hold a run."""

    def check(self) -> None:
        """Raises an InputError for what cannot work."""
        least = {"steps": 1, "epochs": 1, "batch": 1, "accumulate": 1, "lr_warmup": 0, "patience": 1, "log_every": 1,
                 "checkpoint_every": 1, "keep": 1}  # fmt: skip
        for name, low in least.items():
            value = getattr(self, name)
            if value is not None and not low <= value < HUGE:
                below = "" if value < low else " and below 2^31"
                raise InputError(f"expected {option(name)} of at least {low}{below}, got {value}")
        if self.clip is not None and not 0 < self.clip < math.inf:
            raise InputError(f"expected a positive --clip, got {self.clip}")
        if self.average is not None and not 0 < self.average < 1:
            raise InputError(f"expected --average in (0, 1), got {self.average}: 0.999 remembers about 1,000 steps")
        if not 0 <= self.lr_final <= 1:
            raise InputError(f"expected --lr-final in [0, 1], a fraction of the peak, got {self.lr_final}")
        if not 0 <= self.lr_min < math.inf:
            raise InputError(f"expected a non-negative --lr-min, got {self.lr_min}")
        if not 0 <= self.held_out < 1:
            raise InputError(f"expected --held-out in [0, 1), a share of the training data, got {self.held_out}")
        if not 0 <= self.seed < 2**63:
            raise InputError(f"expected --seed in [0, 2^63), got {self.seed}")
        if self.accumulate > self.batch:
            raise InputError(f"--accumulate {self.accumulate} exceeds --batch {self.batch}: a part needs a datum")

    @property
    def share_held_out(self) -> float:
        return 0.1 if self.patience is not None and self.held_out == 0 else self.held_out

    def total(self, epoch: int) -> int:
        """Steps of the whole run, for epochs of so many. InputError where it ends within its warm-up."""
        total = self.steps if self.steps is not None else self.epochs * epoch
        if self.lr_warmup > total:
            raise InputError(f"--lr-warmup {self.lr_warmup} exceeds the {total} steps: shorten it, or train for longer")
        return total

    def rate(self, step: int, peak: float, total: int) -> float:
        """A learning rate at a step: a warm-up, then a cosine down to lr_final * peak, or to lr_min above that."""
        final = min(1.0, max(self.lr_final, self.lr_min / peak))
        return warmup_cosine(step, peak, final, self.lr_warmup, total)
