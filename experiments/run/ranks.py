"""The processes of one run: each has all the data and its part of every batch, and after each sum the same bits.

    with joined("cpu") as ranks:         # those that torchrun started, or this process alone
        total = ranks.sum(own)           # a tree of each rank's, in one collective

A rank that does not come to a sum within PATIENCE ends the run, with an error that names it. Where ranks may come at
very different times, because some have compiled or written files, they `meet` first, and wait for all that live.
"""

import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import reduce

import torch
import torch.distributed as dist
from torch import Tensor

from jensen.core import trees
from jensen.core.trees import Tree
from jensen.experiments.run.errors import LostRankError, reason
from jensen.experiments.run.pulse import POLL, Pulse, rendezvous

PATIENCE = timedelta(seconds=15)  # with a sum; torchrun gives the others 30 s more to end, a minute in all
WAIT = timedelta(minutes=30)  # where ranks meet


class Ranks:
    """This process among those of its run."""

    def __init__(self, rank: int = 0, size: int = 1, restarts: int = 0, pulse: Pulse | None = None):
        self.rank, self.size, self.restarts, self._pulse = rank, size, restarts, pulse
        self.caught: Sequence[int] = ()  # signals that this process has had
        self.group: dist.ProcessGroup | None = None
        if size > 1:
            group = dist.new_group(timeout=PATIENCE)
            assert isinstance(group, dist.ProcessGroup)
            self.group = group
        self._signalled = False

    @property
    def first(self) -> bool:
        """Whether this process writes the files and speaks."""
        return self.rank == 0

    def part(self, n: int) -> tuple[int, int]:
        """Where this rank's part of n data begins and ends; parts differ by one datum at most, and may be empty."""
        return n * self.rank // self.size, n * (self.rank + 1) // self.size

    def sum(self, tree: Tree) -> Tree:
        """The ranks' trees added up, in float32 at least; whole numbers are this rank's."""
        if self.size == 1:
            return tree
        leaves = [t for t in trees.leaves(tree) if t.is_floating_point()]
        wide = widest(leaves)
        flag = torch.tensor([float(bool(self.caught))], dtype=wide, device=leaves[0].device if leaves else None)
        flat = torch.cat([t.reshape(-1).to(wide) for t in leaves] + [flag])
        self.met(lambda: dist.all_reduce(flat, group=self.group))
        *parts, flag = flat.split([t.numel() for t in leaves] + [1])
        self._signalled = bool(flag.item())
        sums = iter(parts)
        return trees.map(lambda t: next(sums).reshape(t.shape).to(t.dtype) if t.is_floating_point() else t, tree)

    def gather(self, tree: Tree, n: int) -> Tree:
        """All n rows of leaves of which each rank has those of its `part`, in their order and with their bits."""
        leaves = trees.leaves(tree)
        if self.size == 1 or not leaves:
            return tree
        rows = torch.cat([_as_bytes(t) for t in leaves], 1)
        lengths = [n * (rank + 1) // self.size - n * rank // self.size for rank in range(self.size)]
        padded = rows.new_zeros(max(lengths), rows.shape[1])
        padded[: len(rows)] = rows
        each = [torch.empty_like(padded) for _ in lengths]
        self.met(lambda: dist.all_gather(each, padded, group=self.group))
        whole = torch.cat([own[:length] for own, length in zip(each, lengths, strict=True)])
        parts = iter(whole.split([_as_bytes(t).shape[1] for t in leaves], 1))
        return trees.map(lambda t: _from_bytes(next(parts), t.dtype).reshape(n, *t.shape[1:]), tree)

    @property
    def stopping(self) -> bool:
        """Whether any rank had had a signal at the last sum: the same at every rank."""
        return self._signalled if self.size > 1 else bool(self.caught)

    def same(self, tree: Tree) -> None:
        """Fills every rank's tensors with the first one's."""
        self.meet()
        for leaf in trees.leaves(tree) if self.size > 1 else ():
            self.met(lambda leaf=leaf: dist.broadcast(leaf, 0, group=self.group))

    def text(self, of_first: Callable[[], str]) -> str:
        """What the first rank's function gives."""
        if self._pulse is None:
            return of_first()
        if self.first:
            self._pulse.store.set("text", of_first())
        while not self._pulse.store.check(["text"]):  # as `get` waits, but for a signal
            time.sleep(POLL)
        return self._pulse.store.get("text").decode()

    def meet(self, patience: timedelta = WAIT) -> None:
        """Waits until all ranks have come here. LostRankError for one that has ended, is stopped, or takes too long."""
        if self._pulse is None:
            return
        self._pulse.count += 1
        try:
            late = self._pulse.late(patience)
        except RuntimeError as error:  # the store has ended
            raise LostRankError(f"rank {self.rank} waits in vain for others ({reason(error)})") from error
        if late:
            raise LostRankError(f"rank {self.rank} waits in vain for rank {named(late)} (it does not come)")

    def met(self, collective: Callable[[], object]) -> None:
        """LostRankError where it fails: gloo says that a connection was closed, or that it has waited in vain."""
        assert self._pulse is not None
        self._pulse.count += 1
        try:
            collective()
        except RuntimeError as error:
            who = named(self._pulse.lost())
            raise LostRankError(f"rank {self.rank} waits in vain for rank {who} ({reason(error)})") from error


def named(ranks: Sequence[int]) -> str:
    return " and ".join(map(str, ranks)) or "another"


def widest(leaves: Iterable[Tensor], least: torch.dtype = torch.float32) -> torch.dtype:
    """A type that has the numbers of all."""
    return reduce(torch.promote_types, (t.dtype for t in leaves), least)


def _as_bytes(t: Tensor) -> Tensor:
    """(rows, bytes of a row)."""
    return t.reshape(len(t), math.prod(t.shape[1:])).contiguous().view(torch.uint8)


def _from_bytes(rows: Tensor, dtype: torch.dtype) -> Tensor:
    """The numbers of all rows, one after another; of a copy, which begins where numbers may."""
    return rows.clone(memory_format=torch.contiguous_format).flatten().view(dtype)


@contextmanager
def joined(device: str) -> Iterator[Ranks]:
    """The ranks that torchrun started, or this process alone."""
    if "TORCHELASTIC_RUN_ID" not in os.environ or int(os.environ["WORLD_SIZE"]) == 1:
        yield Ranks()
        return
    restarts = int(os.environ["TORCHELASTIC_RESTART_COUNT"])
    store, rank, size = rendezvous(restarts, WAIT)
    backend = "nccl" if device.startswith("cuda") else "gloo"
    if backend == "nccl":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))  # "cuda" is then a device of its own
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=WAIT)
    pulse = Pulse(store, rank, size)
    try:
        yield Ranks(rank, size, restarts, pulse)
    finally:
        pulse.end()
        with suppress(RuntimeError):  # of a run that a rank has left
            dist.destroy_process_group()
