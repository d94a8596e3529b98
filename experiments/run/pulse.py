"""How far each rank is, for the others to see: what names the one that a collective waits for in vain."""

import threading
import time
from datetime import timedelta
from typing import NamedTuple

from torch._C._distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous as meet

BEAT = 1.0  # s between two reports of a rank
STILL = 15  # of them that a rank which does not report has missed
LEFT = 2**62  # the count of a rank that has found another lost: it is not lost itself
POLL = 0.05  # s between two looks at what others report; sooner at first


class Told(NamedTuple):
    """What a rank has last reported: how many meetings it has come to, and how often it has reported."""

    meetings: int = -1
    beats: int = -1


class Pulse:
    """Reports this rank's count of meetings from a thread of its own, which a killed or stopped process has not."""

    def __init__(self, store: Store, rank: int, size: int):
        self.rank, self.others = rank, [other for other in range(size) if other != rank]
        self.count, self._beats = 0, 0
        self.store = PrefixStore("run", store)
        self._telling, self._ended = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._report, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Before the store goes, for it writes a trace of every call that comes too late."""
        self._ended.set()
        self._thread.join(2 * BEAT)

    def late(self, patience: timedelta) -> list[int]:
        """The ranks that have not come as far as this one in that time, or will not, for they have ceased to report."""
        self._tell()
        began = time.monotonic()
        heard = dict.fromkeys(self.others, (Told(), began))
        while True:
            now = time.monotonic()
            for rank, (before, _) in heard.items():
                told = self._told(rank)
                if told != before:
                    heard[rank] = told, now
            behind = [rank for rank, (told, _) in heard.items() if told.meetings < self.count]
            silent = [rank for rank in behind if now - heard[rank][1] > STILL * BEAT]
            if silent or (behind and now - began > patience.total_seconds()):
                self._leave()
                time.sleep(2.5 * BEAT)  # for the others find the same, and the store may be this process's
                return silent or behind
            if not behind:
                return []
            time.sleep(min(POLL, 0.001 + 0.1 * (now - began)))

    def lost(self) -> list[int]:
        """The ranks that have not come as far as this one, or that do not report any more."""
        before = {rank: self._told(rank) for rank in self.others}
        time.sleep(2.5 * BEAT)
        now = {rank: self._told(rank) for rank in self.others}
        found = [rank for rank in self.others if now[rank].meetings < self.count or now[rank] == before[rank]]
        found = [rank for rank in found if now[rank].meetings != LEFT]
        self._leave()
        return found

    def _leave(self) -> None:
        self.count = LEFT
        self._tell()

    def _told(self, rank: int) -> Told:
        name = f"rank {rank}"
        return Told(*map(int, self.store.get(name).split())) if self.store.check([name]) else Told()

    def _tell(self) -> None:
        with self._telling:
            self._beats += 1
            self.store.set(f"rank {self.rank}", f"{self.count} {self._beats}")

    def _report(self) -> None:
        try:
            while not self._ended.is_set():
                self._tell()
                self._ended.wait(BEAT)
        except RuntimeError:
            return  # the store has ended, and its run with it


def rendezvous(restarts: int, patience: timedelta) -> tuple[Store, int, int]:
    """The store that torchrun's processes share, this one's rank, and their number.

    The store outlives a restart, and what it holds of ranks that have ended must not be read as of new ones.
    """
    store, rank, size = next(meet("env://", timeout=patience))
    return PrefixStore(f"start {restarts}", store), rank, size
