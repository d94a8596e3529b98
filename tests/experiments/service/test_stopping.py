import asyncio
import os
import signal

import pytest
import uvloop

from jensen.experiments.run.errors import InterruptError
from jensen.experiments.run.signals import STOPS, raised
from jensen.experiments.service import stopping

plain = uvloop.run


def kill(signum):
    os.kill(os.getpid(), signum)


async def idle():
    await asyncio.sleep(20)


async def at_once():
    pass


async def in_a_thread():
    """Which is waited for, as the read of an export is."""
    kill(signal.SIGTERM)
    await asyncio.to_thread(sum, range(10))
    await asyncio.sleep(20)


def before(signum):
    def run(main):
        kill(signum)  # which the loop has no handler for yet
        return plain(main)

    return run


def after(main):
    try:
        return plain(main)
    finally:
        kill(signal.SIGTERM)  # which it has no handler for any more


@pytest.mark.parametrize("signum", STOPS)
def test_a_signal_before_the_loop_is_the_loops(signum, monkeypatch):
    monkeypatch.setattr(uvloop, "run", before(signum))
    with raised() as stopped, pytest.raises(InterruptError) as caught:
        stopping.run(idle)
    assert caught.value.exit_code == 128 + signum
    assert not stopped


def test_a_signal_while_it_starts_ends_it():
    with raised() as stopped, pytest.raises(InterruptError) as caught:
        stopping.run(in_a_thread)
    assert caught.value.exit_code == 128 + signal.SIGTERM
    assert not stopped


def test_a_signal_after_the_loop_is_pythons(monkeypatch):
    """As before it: handlers and blocked signals are what they were."""
    monkeypatch.setattr(uvloop, "run", after)
    with raised() as stopped, pytest.raises(InterruptError) as caught:
        stopping.run(at_once)
    assert stopped == [caught.value]
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()


def test_what_is_cancelled_by_itself_is_no_signal():
    async def cancelled():
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        stopping.run(cancelled)
