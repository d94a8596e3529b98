"""How far each rank is, for the others to see: what names the one that a collective waits for in vain."""

import threading
from datetime import timedelta

from torch._C._distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous as meet

BEAT = 1.0  # s between two reports of a rank


class Pulse:
    """Reports this rank's count of collectives from a thread of its own, which a killed or stopped process has not."""

    def __init__(self, store: Store, rank: int, size: int):
        self.rank, self.size, self.count = rank, size, 0
        self.store = PrefixStore("run", store)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._report, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Before the store goes, for it writes a trace of every call that comes too late."""
        self._ended.set()
        self._thread.join(2 * BEAT)

    def behind(self) -> list[int]:
        """The ranks that have not come as far as this one, once all that live have reported."""
        self._ended.wait(2.5 * BEAT)
        counts = {rank: self._count(rank) for rank in range(self.size) if rank != self.rank}
        return [rank for rank, count in counts.items() if count < self.count]

    def _count(self, rank: int) -> int:
        """-1 for a rank that has not reported yet."""
        name = f"count {rank}"
        return int(self.store.get(name)) if self.store.check([name]) else -1

    def _report(self) -> None:
        try:
            while not self._ended.is_set():
                self.store.set(f"count {self.rank}", str(self.count))
                self._ended.wait(BEAT)
        except RuntimeError:
            return  # the store has ended, and its run with it


def rendezvous(restarts: int, patience: timedelta) -> tuple[Store, int, int]:
    """The store that torchrun's processes share, this one's rank, and their number.

    The store outlives a restart, and what it holds of ranks that have ended must not be read as of new ones.
    """
    store, rank, size = next(meet("env://", timeout=patience))
    return PrefixStore(f"start {restarts}", store), rank, size
