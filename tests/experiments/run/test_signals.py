"""Signals end a step first or raise at once, and are as they were afterwards; what is ignored stays so."""

import os
import signal
import threading

import pytest

from jensen.experiments.run.errors import InterruptError
from jensen.experiments.run.signals import STOPS, interrupts, raised

SAID = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated", signal.SIGHUP: "the terminal was closed"}


@pytest.fixture(autouse=True)
def usual():
    """What each signal raises here, whatever this process was started with."""

    def stop(signum, frame):
        raise InterruptError(signum, "usual")

    before = {signum: signal.signal(signum, stop) for signum in STOPS}
    yield stop
    assert all(signal.getsignal(signum) is stop for signum in STOPS)
    for signum, handler in before.items():
        signal.signal(signum, handler)


def send(*signums):
    for signum in signums:
        os.kill(os.getpid(), signum)


def test_they_are_the_three_that_end_a_process_politely():
    assert set(STOPS) == set(SAID)


@pytest.mark.parametrize("first", STOPS)
@pytest.mark.parametrize("second", STOPS)
def test_the_first_waits_and_the_second_is_as_usual(first, second):
    with interrupts() as caught:
        send(first)
        assert caught == [first]
        with pytest.raises(InterruptError, match="usual") as stopped:
            send(second)
    assert caught == [first]
    assert stopped.value.exit_code == 128 + second


@pytest.mark.parametrize("signum", STOPS)
def test_each_raises_with_its_exit_code(signum):
    with pytest.raises(InterruptError, match=SAID[signum]) as stopped, raised():
        os.kill(os.getpid(), signum)
    assert stopped.value.exit_code == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}[signum]


def test_the_second_is_raised_where_both_are_asked_for():
    with raised(), interrupts() as caught:
        send(signal.SIGTERM)
        assert caught == [signal.SIGTERM]
        with pytest.raises(InterruptError, match="terminated"):
            send(signal.SIGTERM)


@pytest.mark.parametrize("context", [interrupts, raised])
def test_what_is_ignored_stays_ignored(context, usual):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with context():
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, usual)


@pytest.mark.parametrize("context", [interrupts, raised])
def test_another_thread_takes_none(context, usual):
    found = []

    def work():
        with context():
            found.append([signal.getsignal(signum) for signum in STOPS])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [[usual] * len(STOPS)]


def test_they_are_restored_after_an_error(usual):
    with pytest.raises(KeyError), interrupts():
        {}["a bug"]
    assert all(signal.getsignal(signum) is usual for signum in STOPS)
