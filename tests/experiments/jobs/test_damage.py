"""Files and servers that hold no queue, or a damaged one."""

import os
import sqlite3
from contextlib import closing

import pytest

from jensen.experiments.jobs import Job, Place
from jensen.experiments.jobs.embedded import MARK
from jensen.experiments.run.errors import InputError
from tests.experiments.jobs.conftest import FORK, computing, rows, serving, work
from tests.experiments.process import until
from tests.experiments.ranks import free_port


@pytest.fixture
def path(tmp_path):
    """A queue's file, of 300 jobs."""
    path = tmp_path / "queue"
    with closing(Place(str(path)).make(work())) as queue:
        queue.put(rows(300))
    return path


def fault(path, make=None):
    with pytest.raises(InputError) as refused:
        Place(str(path)).make(make) if make else Place(str(path)).open()
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_files_that_are_no_queue(tmp_path):
    text, other = tmp_path / "text", tmp_path / "other"
    text.write_text("no database " * 100)
    sqlite3.connect(other).execute("CREATE TABLE theirs (value)").connection.close()
    for given in (None, work()):
        assert "file is not a database" in fault(text, given)
        assert "another program" in fault(other, given)
        assert "is a folder, and a queue is a file" in fault(tmp_path, given)
    with closing(sqlite3.connect(other)) as link:
        assert link.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]
    assert "cannot be used" in fault(tmp_path / "none" / "queue", work())


def test_a_file_of_which_a_part_is_missing(path):
    path.write_bytes(path.read_bytes()[:20_000])
    assert "cannot be used as a queue (" in fault(path)


def test_a_file_with_other_bytes(path):
    """In SQLite's own structure, and in a job's content, of which SQLite knows nothing."""
    content = path.read_bytes()
    own = rows(1)[0].content
    place = content.index(own) + len(own) - 1
    damaged = bytearray(content)
    damaged[place] ^= 1
    path.write_bytes(damaged)
    with closing(Place(str(path)).open()) as queue, pytest.raises(InputError, match=r"damaged \(in job-000000000\)"):
        queue.take(1)
    damaged = bytearray(content)
    damaged[8192:12288] = b"\xff" * 4096
    path.write_bytes(damaged)
    assert "cannot be used as a queue (" in fault(path)


def test_what_its_jobs_are_is_damaged(path):
    for value in ("", "{}", '{"schema": 9}', "[1]"):
        with closing(sqlite3.connect(path)) as link, link:
            link.execute("UPDATE work SET value = ?", (value,))
        assert "no sound queue" in fault(path)


def test_a_process_was_killed_while_it_made_the_file(tmp_path):
    """Nothing is in the file yet, or litequeue's table is not: it is made whole."""
    path = tmp_path / "queue"
    path.touch()
    assert "holds no queue" in fault(path) or "another program" in fault(path)
    Place(str(path)).make(work()).close()
    with closing(sqlite3.connect(path)) as link:
        assert link.execute("PRAGMA application_id").fetchone() == (MARK,)
        link.execute("DROP TABLE Queue")
    with closing(Place(str(path)).open()) as queue:
        assert queue.put([Job("a", b"")]) == []


def test_processes_that_make_one_file_at_once(tmp_path):
    place = Place(str(tmp_path / "queue"))

    def put(i):
        with closing(place.make(work())) as queue:
            queue.put([Job(f"{i}", b"")])
        os._exit(0)

    makers = [FORK.Process(target=put, args=(i,)) for i in range(6)]
    for each in makers:
        each.start()
    for each in makers:
        each.join(30)
    assert [each.exitcode for each in makers] == [0] * 6
    with closing(place.open()) as queue:
        assert queue.counts().waiting == 6


@pytest.mark.nats
def test_the_server_is_killed(tmp_path):
    """What it has taken on is there when it is started again, workers wait for that, and it keeps nothing for ever."""
    port = free_port()
    place = Place("queue", "nats", f"nats://127.0.0.1:{port}")
    with serving(port, tmp_path):
        queue = place.make(work(lease=1.0, room=200))
        assert queue.put(rows(200)) == []
        worker = computing(place)
        until(lambda: queue.counts().done > 20)
    with serving(port, tmp_path):
        worker.join(30)
        assert worker.exitcode == 0
        assert queue.counts() == (0, 0, 200, 0)
        queue.close()
        with closing(place.open()) as again:  # which has room for as many as before
            assert again.put([job._replace(id=f"again-{job.id}") for job in rows(200)]) == []


@pytest.mark.nats
def test_servers_that_keep_no_queues(server, tmp_path):
    with pytest.raises(InputError, match="does not serve the queue"):
        Place("queue", "nats", f"nats://127.0.0.1:{free_port()}").open()
    for name in ("a b", "", "a.b", "x" * 65):
        with pytest.raises(InputError, match="expected a queue's name"):
            Place(name, "nats", server).open()
    queue = Place("damaged", "nats", server).make(work())
    queue._run(lambda: queue._streams.state.put("work", b"{}"))
    queue.close()
    with pytest.raises(InputError, match="no sound queue"):
        Place("damaged", "nats", server).open()


@pytest.mark.nats
def test_more_bytes_than_the_server_takes(server):
    with (
        closing(Place("large", "nats", server).make(work())) as queue,
        pytest.raises(InputError, match="raise its max_payload"),
    ):
        queue.put([Job("large", bytes(2**20))])
