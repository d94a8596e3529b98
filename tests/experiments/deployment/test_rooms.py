import os
import signal
import subprocess
import sys
import tempfile

from jensen.experiments.deployment.rooms import PREFIX, room

KILLED = """
import os, signal
from jensen.experiments.deployment.rooms import room
with room() as place:
    print(place, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_has_left_is_removed(tmp_path, monkeypatch):
    """What one that lives has, or one that has just begun, stays."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", KILLED], capture_output=True, env={**os.environ, "TMPDIR": str(tmp_path)}
    )
    assert done.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    young = tmp_path / f"{PREFIX}young"
    young.mkdir()
    with room() as living:
        (living / "a").mkdir()
        assert left.exists(), "it may have just begun"
        for each in (left, living):
            os.utime(each, (1, 1))
        with room() as another:
            assert {*tmp_path.iterdir()} == {young, living, another}
            assert (living / "a").is_dir()
    assert [*tmp_path.iterdir()] == [young]
