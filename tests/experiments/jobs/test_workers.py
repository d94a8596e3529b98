"""Workers in processes of their own that are killed, hang, or meet jobs that cannot be computed."""

import os
import random
import signal
import time

import pytest
import safetensors.torch
import torch

from jensen.experiments.jobs import Worker, put_all
from jensen.experiments.jobs.batches import computed
from jensen.experiments.jobs.contract import LOST
from tests.experiments.jobs.conftest import DECODE, HANG, KILLER, NAN, POISON, SLOW, computing, rows, values
from tests.experiments.process import until
from tests.experiments.service.conftest import calls, function

KILLS = 15
PLAIN = function("decode", calls()["decode"])


def alone(jobs, batch=10):
    """Each job's result, of a batch of its own."""
    return {job.id: computed(PLAIN, [job.content], batch)[0] for job in jobs}


def ended(place, n=1, limit=60.0):
    """Starts workers, and others in the place of those that die, until one has found nothing left to do."""
    workers, lost = [computing(place, limit) for _ in range(n)], 0
    while workers:
        for each in workers:
            each.join(0.02)
        dead = [each for each in workers if each.exitcode]
        lost += len(dead)
        workers = [each for each in workers if each.exitcode is None] + [computing(place, limit) for _ in dead]
    return lost


def test_workers_killed_at_random(place, made):
    """1,000 jobs: each result once, with the bytes that it has alone, and none lost."""
    jobs, chance = rows(1000), random.Random(0)
    queue = made(tries=100, lease=0.3)
    put_all(queue, jobs)
    workers, killed = [computing(place) for _ in range(3)], 0
    while (now := queue.counts()).open:
        time.sleep(0.005)
        i = chance.randrange(len(workers))
        if killed < KILLS and now.done > killed * 50 and workers[i].exitcode is None:
            os.kill(workers[i].pid, signal.SIGKILL)
            killed += 1
            workers[i] = computing(place)
    for each in workers:
        each.join(20)
    assert killed > KILLS // 2
    assert queue.counts() == (0, 0, 1000, 0)
    found = list(queue.results())
    assert len(found) == 1000
    assert dict(found) == alone(jobs)


def test_poison(place, made):
    """A job that fails, and one whose result is NaN, are dead letters with their reasons; the others are done."""
    queue = made()
    queue.put(rows(12, i3=POISON, i7=NAN))
    Worker(queue, DECODE, wait=0).run()
    assert queue.counts() == (0, 0, 10, 2)
    assert [reason for *_, reason in queue.dead()] == ["ValueError: poison", "ValueError: mean is NaN or infinite"]


def test_a_job_that_kills_its_worker(place, made):
    """It dies with its batch once, then alone; no other job of its batch is given up."""
    queue = made(lease=0.2)
    queue.put(rows(12, i3=KILLER))
    assert ended(place) == 3
    assert queue.counts() == (0, 0, 11, 1)
    assert queue.dead() == [("job-000000003", 2, LOST)]


def test_a_job_that_hangs(place, made):
    """Its worker ends after the limit."""
    queue = made(lease=0.2, tries=1)
    queue.put(rows(4, i1=HANG))
    assert ended(place, limit=0.2) == 2
    assert queue.dead() == [("job-000000001", 1, LOST)]
    assert queue.counts().done == 3


def test_a_worker_that_is_stopped(place, made):
    """In the middle of a batch: its jobs go to another; when it goes on, what it has changes nothing."""
    queue, jobs = made(lease=0.3), rows(40, i5=SLOW)
    queue.put(jobs)
    stopped = computing(place)
    until(lambda: queue.counts().taken)
    os.kill(stopped.pid, signal.SIGSTOP)
    ended(place)
    assert queue.counts() == (0, 0, 40, 0)
    os.kill(stopped.pid, signal.SIGCONT)
    stopped.join(20)
    assert stopped.exitcode == 0
    assert queue.counts() == (0, 0, 40, 0)
    assert dict(queue.results()) == alone(jobs)


def test_an_interrupted_worker_gives_its_jobs_back(made):
    def interrupted(z):
        raise KeyboardInterrupt

    queue = made(lease=60.0)
    queue.put(rows(4))
    with pytest.raises(KeyboardInterrupt):
        Worker(queue, type(DECODE)("decode", DECODE.signature, "program", interrupted), wait=0).run()
    Worker(queue, DECODE, wait=0).run()
    assert queue.counts() == (0, 0, 4, 0)


def test_what_is_no_row_of_the_function(made):
    """A queue is written by others too."""
    queue = made(tries=1)
    good, bad, short = rows(3)
    queue.put([good, bad._replace(content=b"no file"), short._replace(content=good.content[:-4])])
    Worker(queue, DECODE, wait=0).run()
    assert queue.counts() == (0, 0, 1, 2)
    assert all("safetensors" in reason for *_, reason in queue.dead())


def test_values(made):
    """A row's, as the function has them without a queue."""
    queue, jobs = made(), rows(20)
    queue.put(jobs)
    Worker(queue, DECODE).run()
    found = values(queue)
    z = torch.cat([safetensors.torch.load(job.content)["z"] for job in jobs])
    assert torch.allclose(torch.cat([found[job.id] for job in jobs]), calls()["decode"](z), rtol=1e-6)
