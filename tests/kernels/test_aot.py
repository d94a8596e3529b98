"""Every kernel compiles for three architectures without a GPU, keeps within registers, and counts in 64 bits."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kernels import aot

KERNELS = Path(__file__).parents[2] / "kernels"


@pytest.fixture(scope="module")
def table():
    """The rows of `python -m tests.kernels.aot`, which must run where the interpreter is off."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, "-W", "ignore", "-m", "tests.kernels.aot"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, env=environment, cwd=KERNELS.parent)
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_every_kernel_is_compiled_for_every_architecture(table):
    launched = {
        f"{path.stem}.{line.split()[1].split('(')[0]}"
        for path in KERNELS.glob("*.py")
        for line in path.read_text().splitlines()
        if line.startswith(("def _forward", "def _backward"))
    }
    assert {row["kernel"] for row in table} == launched
    assert len(table) == len(aot.KERNELS) * len(aot.ARCHITECTURES)


def test_nothing_spills(table):
    assert [row for row in table if row["spilled"]] == []
    assert max(row["registers"] for row in table) <= 255


def test_shared_memory_fits_the_smallest_architecture(table):
    assert max(row["shared"] for row in table) <= 99 * 1024


def test_offsets_are_64_bit(table):
    """Beyond 2^31 elements an int32 offset wraps; no tile of pointers is moved by one."""
    assert [row for row in table if row["narrow"]] == []
