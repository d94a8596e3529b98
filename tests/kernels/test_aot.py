"""Every kernel compiles for three architectures without a GPU, keeps within registers, and counts in 64 bits.

The rows of all three are stored beside this file; the suite compiles for the oldest of them, `make laws` for all. What
another version of Triton spills, which only costs time, is reported as a skipped test and is no failure.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kernels import aot

HERE = Path(__file__).parent
KERNELS = HERE.parents[1] / "kernels"
OLDEST = min(aot.ARCHITECTURES)
HOPPER = {(kernel.name, aot.sizes(kernel)) for kernel in aot.KERNELS if kernel.architectures == (90,)}


def parsed(text):
    """Triton's version, and the rows."""
    first, *rows = map(json.loads, text.splitlines())
    return first["triton"], rows


def compiled(*architectures):
    """What `python -m tests.kernels.aot` prints, which must run where the interpreter is off."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, "-W", "ignore", "-m", "tests.kernels.aot", *map(str, architectures)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, env=environment, cwd=KERNELS.parent)
    assert done.returncode == 0, done.stderr[-2000:]
    return parsed(done.stdout)


@pytest.fixture(scope="module")
def stored():
    return parsed((HERE / "resources.jsonl").read_text())


@pytest.fixture(scope="module")
def oldest():
    return compiled(OLDEST)


def check(rows):
    assert max(row["registers"] for row in rows) <= 255
    for row in rows:
        everywhere = (row["kernel"], row["tile"]) not in HOPPER
        assert row["shared"] <= (99 if everywhere else 227) * 1024  # of the smallest processor of its kind
    assert [row for row in rows if row["narrow"]] == []  # beyond 2^31 elements an int32 offset wraps


def check_spills(version, recorded, rows):
    spilled = [f"{row['kernel']} {row['tile']} at sm_{row['sm']}: {row['spilled']} B" for row in rows if row["spilled"]]
    if spilled and version != recorded:
        pytest.skip(f"Triton {version}, and not {recorded}, spills: {', '.join(spilled)}")
    assert spilled == []


def test_every_kernel_has_a_row_for_every_architecture(stored):
    launched = {
        f"{path.stem}.{line.split()[1].split('(')[0]}"
        for path in KERNELS.glob("*.py")
        for line in path.read_text().splitlines()
        if line.startswith(("def _forward", "def _backward"))
    }
    assert {kernel.name for kernel in aot.KERNELS} == launched
    names = [(kernel.name, architecture) for kernel in aot.KERNELS for architecture in kernel.architectures]
    assert [(row["kernel"], row["sm"]) for row in stored[1]] == names


def test_stored_rows_spill_nothing_and_fit(stored):
    check(stored[1])
    check_spills(stored[0], stored[0], stored[1])


def test_every_kernel_compiles_and_fits(oldest):
    check(oldest[1])


def test_no_kernel_spills(stored, oldest):
    check_spills(oldest[0], stored[0], oldest[1])


def test_stored_rows_are_those_of_the_kernels_today(stored, oldest):
    if stored[0] != oldest[0]:
        pytest.skip(f"stored by Triton {stored[0]}, here is {oldest[0]}")
    expected = [row for row in stored[1] if row["sm"] == OLDEST]
    assert oldest[1] == expected, "a kernel has changed: python -m tests.kernels.aot > tests/kernels/resources.jsonl"


@pytest.mark.slow
def test_every_kernel_compiles_for_every_architecture(stored):
    version, rows = compiled()
    check(rows)
    check_spills(version, stored[0], rows)
    assert version != stored[0] or rows == stored[1]


def test_a_narrow_product_of_sizes_is_caught():
    known = "%c64 = arith.constant 64 : i32\n%c = tt.splat %c64 : i32 -> tensor<8xi32>\n"
    wide = "%p = arith.muli %s, %n : i64"
    tile = "%p = arith.muli %pid, %c64 : i32\n%q = arith.muli %c, %row : tensor<8xi32>"
    assert aot.narrow_products(f"{known}{wide}\n{tile}") == []
    for sizes in ("%p = arith.muli %s, %n : i32", "%p = arith.muli %row, %d : tensor<8x1xi32>"):
        assert aot.narrow_products(f"{known}{tile}\n{sizes}") == [sizes]


def test_a_spill_or_a_narrow_offset_is_caught(stored):
    for fault in ({"registers": 256}, {"shared": 100 * 1024}, {"narrow": ["tt.addptr"]}):
        with pytest.raises(AssertionError):
            check([*stored[1], {**stored[1][0], **fault}])
    spilling = [*stored[1], {**stored[1][0], "spilled": 8}]
    with pytest.raises(AssertionError):
        check_spills(stored[0], stored[0], spilling)
    with pytest.raises(pytest.skip.Exception, match=r"spills: normal_log_prob._forward .* at sm_80: 8 B"):
        check_spills("0.0", stored[0], spilling)
