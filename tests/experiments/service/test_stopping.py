import asyncio
import os
import signal
import threading

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


def test_a_signal_after_the_loop_ends_it_too(monkeypatch):
    monkeypatch.setattr(uvloop, "run", after)
    with raised() as stopped, pytest.raises(InterruptError) as caught:
        stopping.run(at_once)
    assert caught.value.exit_code == 128 + signal.SIGTERM
    assert not stopped


@pytest.mark.parametrize("when", [before(signal.SIGTERM), plain, after])
def test_threads_that_block_no_signal_change_nothing(when, monkeypatch):
    """Such as torch's, which take a signal that the main thread blocks."""
    monkeypatch.setattr(uvloop, "run", when)
    done = threading.Event()
    others = [threading.Thread(target=done.wait) for _ in range(4)]
    for thread in others:
        thread.start()
    try:
        with raised() as stopped, pytest.raises(InterruptError):
            stopping.run(in_a_thread if when is plain else at_once)
    finally:
        done.set()
        for thread in others:
            thread.join()
    assert not stopped


def test_signals_that_are_ignored_stay_so():
    """As nohup asks for."""
    served = []

    async def hung_up():
        kill(signal.SIGHUP)
        await asyncio.sleep(0.01)
        served.append(True)

    usual = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with raised() as stopped:
            stopping.run(hung_up)
    finally:
        signal.signal(signal.SIGHUP, usual)
    assert served
    assert not stopped


def test_handlers_are_what_they_were():
    usual = [signal.getsignal(signum) for signum in STOPS]
    stopping.run(at_once)
    assert [signal.getsignal(signum) for signum in STOPS] == usual


def test_what_is_cancelled_by_itself_is_no_signal():
    async def cancelled():
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        stopping.run(cancelled)
