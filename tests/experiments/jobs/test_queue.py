"""What a queue does, with either engine."""

import time

import pytest

from jensen.experiments.jobs import Counts, Job, put_all
from jensen.experiments.run.errors import InputError
from tests.experiments.jobs.conftest import rows, work
from tests.experiments.process import until


def test_from_put_to_result(made):
    queue, jobs = made(), rows(5)
    assert queue.put(jobs) == []
    assert queue.counts() == Counts(5, 0, 0, 0)
    taken = queue.take(3)
    assert [each.job for each in taken] == jobs[:3]
    assert not any(each.again for each in taken)
    assert queue.counts() == Counts(2, 3, 0, 0)
    for each in taken:
        queue.done(each, each.job.id.encode())
    assert queue.counts() == Counts(2, 0, 3, 0)
    assert list(queue.results()) == [(job.id, job.id.encode()) for job in jobs[:3]]


def test_a_job_put_twice_is_one(made):
    """While it waits, while it is taken, and once it is done."""
    queue, jobs = made(), rows(2)
    for _ in range(2):
        assert queue.put(jobs) == []
    assert queue.counts().waiting == 2
    first, second = queue.take(5)
    queue.done(first, b"result")
    assert queue.put(jobs) == []
    assert queue.counts() == Counts(0, 1, 1, 0)
    queue.done(second, b"result")
    assert queue.counts() == Counts(0, 0, 2, 0)


def test_a_second_result_changes_nothing(made):
    """A worker whose lease has run out comes back with its own."""
    queue = made(lease=0.2)
    queue.put(rows(1))
    (late,) = queue.take(1)
    time.sleep(0.3)
    (again,) = until_taken(queue, 1)
    assert again.again
    queue.done(again, b"first")
    queue.done(late, b"second")
    assert [content for _, content in queue.results()] == [b"first"]
    assert queue.counts() == Counts(0, 0, 1, 0)


def test_a_worker_without_its_lease_changes_nothing_of_anothers(made):
    queue = made(lease=0.6)
    queue.put(rows(1))
    (late,) = queue.take(1)
    (again,) = until_taken(queue, 1)
    queue.give_back([late])
    assert queue.take(1) == []
    assert not queue.begin(late)
    assert queue.begin(again)


def test_dead_letters_are_in_the_order_of_their_ids(made):
    queue, jobs = made(tries=1), rows(3)
    queue.put(jobs)
    for each in reversed(until_taken(queue, 3)):
        assert queue.begin(each)
        queue.fail(each, "bad")
    assert [letter.id for letter in queue.dead()] == sorted(job.id for job in jobs)


def test_leases(made):
    """One that is prolonged is kept, one that is given back is free at once."""
    queue = made(lease=0.4)
    queue.put(rows(3))
    kept, back = queue.take(1), queue.take(1)
    lost = queue.take(1)
    queue.give_back(back)
    assert [each.job for each in until_taken(queue, 1)] == [back[0].job]
    end = time.monotonic() + 0.6
    while time.monotonic() < end:
        queue.prolong(kept)
        time.sleep(0.1)
    found = [each.job.id for each in until_taken(queue, 2)]
    assert sorted(found) == sorted([back[0].job.id, lost[0].job.id])


def test_a_full_queue_pushes_back(made):
    """Jobs that are taken count; what is refused is put once there is room."""
    queue, jobs = made(room=10), rows(25)
    assert queue.put(jobs) == jobs[10:]
    assert queue.counts().waiting == 10
    taken = queue.take(4)
    assert queue.put(jobs[10:]) == jobs[10:]
    with pytest.raises(InputError, match="full, with 15 of 25 jobs"):
        put_all(queue, jobs, 0)
    for each in taken:
        queue.done(each, b"")
    assert len(queue.put(jobs[10:])) == 11


def test_tries_and_dead_letters(made):
    """Each failure of a job alone is a try; the last reason is kept; revived, it has all of its tries."""
    queue = made(tries=2)
    (job,) = rows(1)
    queue.put([job])
    for n in range(2):
        (taken,) = until_taken(queue, 1)
        assert queue.begin(taken)
        queue.fail(taken, f"reason {n}")
    assert queue.counts() == Counts(0, 0, 0, 1)
    assert queue.dead() == [(job.id, 2, "reason 1")]
    queue.revive([job.id])
    assert queue.counts() == Counts(1, 0, 0, 0)
    (taken,) = until_taken(queue, 1)
    assert queue.begin(taken)
    queue.fail(taken, "again")
    (taken,) = until_taken(queue, 1)
    queue.done(taken, b"")
    assert queue.counts() == Counts(0, 0, 1, 0)
    with pytest.raises(InputError, match="no dead letter"):
        queue.revive([job.id])


def test_tries_that_nobody_came_back_from(made):
    """A job whose workers all die has a reason too."""
    queue = made(tries=2, lease=0.2)
    queue.put(rows(1))
    for _ in range(2):
        (taken,) = until_taken(queue, 1)
        assert queue.begin(taken)
    (taken,) = until_taken(queue, 1)
    assert not queue.begin(taken)
    ((_, tries, reason),) = queue.dead()
    assert (tries, reason) == (2, "its worker died or hung while it computed it alone")


def test_it_is_opened_again(place, made):
    queue = made()
    queue.put(rows(3))
    other = place.open()
    assert other.work == work()
    assert other.counts().waiting == 3
    other.close()
    with pytest.raises(InputError, match="other jobs or limits"):
        place.make(work(tries=7))


def test_bad_jobs_and_limits(place, made):
    for bad in ("", "a b", "a/b", ".a", "a.", "x" * 129):
        with pytest.raises(InputError, match="expected a job's id"):
            made().put([Job(bad, b"")])
    for limits in ({"room": 0}, {"tries": 0}, {"lease": 0.0}, {"lease": float("nan")}, {"batch": 5000}):
        with pytest.raises(InputError, match=f"expected --{next(iter(limits))} from"):
            place.make(work(**limits))


def test_a_queue_that_is_not_there(place):
    with pytest.raises(InputError, match="no queue"):
        place.open()


def until_taken(queue, n):
    """Jobs, once there are as many."""
    taken = []

    def all_there():
        taken.extend(queue.take(n - len(taken)))
        return len(taken) == n

    until(all_there)
    return taken
