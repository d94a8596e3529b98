"""The training loop: steps, schedules, checkpoints, interrupts. Resuming gives the bits of an uninterrupted run."""

import dataclasses
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from jensen.core import keys, trees
from jensen.core.models import Model
from jensen.core.trees import Params
from jensen.experiments import learned, runs
from jensen.experiments.command import InterruptError
from jensen.experiments.compilation import compiled
from jensen.experiments.data import TEST_KEY, binarise
from jensen.experiments.evaluation import ROWS, over_data
from jensen.experiments.nonfinite import NonFiniteError, explain
from jensen.experiments.objectives import terms, train_step
from jensen.experiments.schedules import warmup, warmup_cosine
from jensen.experiments.settings import InputError, Settings, check_types

SUMMARY = ("objective", "reconstruction", "kl", "gradient_norm")


@dataclasses.dataclass
class Progress:
    """Where a run stands, but for its tensors: everything here is JSON and goes into each checkpoint."""

    step: int = 0
    skipped: int = 0
    sums: list[float] = dataclasses.field(default_factory=lambda: [0.0] * len(SUMMARY))
    summed: int = 0
    best: float | None = None
    stale: int = 0
    stopped: bool = False


def fit(
    model: Model,
    train: Tensor,
    settings: Settings,
    folder: Path,
    report: Callable[[int, int, dict[str, Any]], None] = lambda step, total, row: None,
) -> tuple[Params, Progress]:
    """Trains on train (N, D), from the folder's last checkpoint where there is one; the fitted parameters.

    `report` is called about twice a second with the step, their total and the last row of metrics.
    NonFiniteError leaves parameters as they were; InterruptError follows SIGINT or SIGTERM.
    """
    train, held_out = hold_out(train, settings)
    per_epoch, total = steps(train, settings)
    init_key, order_key, step_key, learned_key = keys.split(keys.key(settings.seed, train.device), 4)
    mean = train.mean(0)
    params = {**model.init(init_key, mean), **learned.init(settings, learned_key, mean, model.latent)}
    optimizer = torch.optim.Adam(trees.leaves(params), lr=settings.lr, fused=True)
    progress = resume(folder, settings, params, optimizer)
    step_gradient, validate = train_step(model, settings), terms(model, settings)
    if settings.compile:
        torch.compiler.reset()  # the compiler allows one function few closures: a sweep in one process would run out
        step_gradient, validate = compiled(step_gradient), compiled(validate)
    metrics = runs.Metrics(folder, progress.step)
    leaves, row, spoken = trees.leaves(params), {}, 0.0
    epoch, order = -1, torch.empty(0)
    with interrupts() as caught:
        try:
            while progress.step < total and not progress.stopped:
                step = progress.step
                if step // per_epoch != epoch:
                    epoch = step // per_epoch
                    order = keys.permutation(keys.fold_in(order_key, epoch), len(train))
                start = step % per_epoch * settings.batch
                indices = order[start : start + settings.batch]
                batch = train.index_select(0, indices)
                kl_weight = torch.tensor(warmup(step, settings.kl_weight, settings.kl_warmup))
                gradient, summary = step_gradient(params, batch, step_key, torch.tensor(step), kl_weight)
                values = summary.tolist()
                lr = warmup_cosine(step, settings.lr, settings.lr_final, settings.lr_warmup, total)
                if all(map(math.isfinite, values)):
                    optimizer.param_groups[0]["lr"] = lr
                    for leaf, g in zip(leaves, trees.leaves(gradient), strict=True):
                        leaf.grad = g
                    optimizer.step()
                    progress.sums = [a + b for a, b in zip(progress.sums, values, strict=True)]
                    progress.summed += 1
                elif settings.on_nan == "raise":
                    where = explain(model, settings, params, batch, indices, step_key, step, kl_weight)
                    save(folder, settings, params, optimizer, progress)
                    raise NonFiniteError(f"{where}; parameters are unchanged; --on-nan skip leaves such steps out")
                else:
                    progress.skipped += 1
                progress.step += 1
                if held_out is not None and progress.step % per_epoch == 0:
                    check_held_out(validate, params, held_out, settings, progress, folder)
                ended = progress.step == total or progress.stopped
                if progress.step % settings.log_every == 0 or ended:
                    row = flush(progress, epoch, kl_weight.item(), lr)
                    metrics.append(row)
                if progress.step % settings.checkpoint_every == 0 or ended:
                    save(folder, settings, params, optimizer, progress)
                if time.monotonic() - spoken > 0.5:
                    spoken = time.monotonic()
                    report(progress.step, total, row)
                if caught:
                    save(folder, settings, params, optimizer, progress)
                    raise InterruptError(caught[0], f"stopped at step {progress.step} with a checkpoint saved")
        finally:
            metrics.close()
    report(progress.step, total, row)
    if progress.best is not None:
        best, _ = runs.load_checkpoint(folder / runs.BEST, settings)
        fill(params, trees.from_paths(best, params))
    return params, progress


def fill(params: Params, values: Params) -> None:
    """Copies values into params, whose tensors stay the same."""
    trees.map(lambda leaf, value: leaf.copy_(value), params, values)


def hold_out(train: Tensor, settings: Settings) -> tuple[Tensor, Tensor | None]:
    """The training data, and its last tenth apart where the run stops early; that part's pixels are drawn once.

    InputError where what is left makes no batch.
    """
    size = len(train) if settings.patience is None else len(train) - max(1, len(train) // 10)
    if size < settings.batch:
        raise InputError(f"--batch {settings.batch} exceeds the {size} training data: pass at most that many")
    if settings.patience is None:
        return train, None
    rest = train[size:]
    if settings.effective_pixels == "dynamic":
        rest = binarise(keys.key(TEST_KEY, train.device), rest)
    return train[:size], rest


def steps(train: Tensor, settings: Settings) -> tuple[int, int]:
    """How many an epoch and the whole run have. InputError where the run ends within its warm-up."""
    per_epoch = len(train) // settings.batch
    total = settings.steps if settings.steps is not None else settings.epochs * per_epoch
    if settings.lr_warmup > total:
        raise InputError(f"--lr-warmup {settings.lr_warmup} exceeds the {total} steps: shorten it, or train for longer")
    return per_epoch, total


def check_held_out(
    validate: Callable[..., Any], params: Params, x: Tensor, settings: Settings, progress: Progress, folder: Path
) -> None:
    """Keeps the parameters of the best held-out bound so far, and stops the run when it has grown stale."""
    assert settings.patience is not None
    with torch.no_grad():
        weight, size = torch.tensor(1.0), max(1, ROWS // settings.k)
        (bounds,) = over_data(
            lambda x, key: validate(params, x, key, weight)[:1], x, keys.key(TEST_KEY, x.device), size
        )
    bound = bounds.mean().item()
    if progress.best is None or bound > progress.best:
        progress.best, progress.stale = bound, 0
        runs.save_checkpoint(folder / runs.BEST, trees.paths(params), {"step": progress.step}, settings)
    else:
        progress.stale += 1
        progress.stopped = progress.stale >= settings.patience


def flush(progress: Progress, epoch: int, kl_weight: float, lr: float) -> dict[str, Any]:
    """The mean of the steps since the last row; None where all were skipped."""
    means = [total / progress.summed if progress.summed else None for total in progress.sums]
    progress.sums, progress.summed = [0.0] * len(SUMMARY), 0
    return {
        "step": progress.step,
        "epoch": epoch,
        **dict(zip(SUMMARY, means, strict=True)),
        "kl_weight": kl_weight,
        "lr": lr,
        "skipped": progress.skipped,
    }


def save(
    folder: Path, settings: Settings, params: Params, optimizer: torch.optim.Optimizer, progress: Progress
) -> None:
    tensors = {f"params.{path}": leaf for path, leaf in trees.paths(params).items()}
    for path, leaf in trees.paths(params).items():
        tensors |= {f"adam.{path}.{name}": t for name, t in optimizer.state.get(leaf, {}).items()}
    runs.save_checkpoint(folder / runs.LAST, tensors, dataclasses.asdict(progress), settings)


def resume(folder: Path, settings: Settings, params: Params, optimizer: torch.optim.Optimizer) -> Progress:
    """Fills params and the optimizer from the folder's last checkpoint; a fresh Progress where there is none."""
    if not (folder / runs.LAST).exists():
        return Progress()
    path, cure = folder / runs.LAST, "remove it to start over"
    tensors, state = runs.load_checkpoint(path, settings, cure)
    stored = {name.removeprefix("params."): t for name, t in tensors.items() if name.startswith("params.")}
    try:
        check_types(Progress, state)
        progress = Progress(**state)
        fill(params, trees.from_paths(stored, params))
        for name, leaf in trees.paths(params).items():
            if progress.step > progress.skipped:
                moments = {moment: tensors[f"adam.{name}.{moment}"] for moment in ("step", "exp_avg", "exp_avg_sq")}
                optimizer.state[leaf] = {moment: t.to(leaf.device) for moment, t in moments.items()}
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(f"{path} does not hold this run's state ({error}): {cure}") from error
    runs.check_finite(path, params, cure)
    return progress


@contextmanager
def interrupts() -> Iterator[list[int]]:
    """A list that SIGINT and SIGTERM append to, so that a step in flight ends first; a second one is as usual."""
    caught: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield caught
        return

    def catch(signum: int, frame: Any) -> None:
        caught.append(signum)
        signal.signal(signum, previous[signum])

    previous = {int(signum): signal.signal(signum, catch) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for signum, handler in previous.items():
            with suppress(ValueError):
                signal.signal(signum, handler)
