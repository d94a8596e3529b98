"""The shapes in public signatures are what the functions take and give: checked at run time by beartype."""

import subprocess
import sys
from pathlib import Path


def test_signatures_hold_at_run_time():
    command = [sys.executable, "-m", "tests.shapes"]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=220)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split("\n")[:2] == ["right shapes pass", "wrong shapes raise"]
