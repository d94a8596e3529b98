"""Parameters in memory: of programs they are pages of the file, clean ones, that processes share."""

import re
import subprocess
import sys

import pytest

from jensen.core import keys
from jensen.experiments.deployment import Argument, writing
from jensen.experiments.deployment.functions import Functions, Rows
from jensen.experiments.deployment.writing import Forms
from tests.experiments.process import PATIENCE

SIZE = 2**21  # numbers, 8 MiB
MEASURED = """
import sys, torch
from jensen.experiments.deployment import load
twice = load(sys.argv[1])["twice"]
before = open("/proc/self/smaps").read()
twice(torch.zeros(1, 1))
print(before, "======", open("/proc/self/smaps").read())
"""


def twice(tree, x):
    return x + tree["w"].sum()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("mapped")
    (place / "config.json").write_text("{}")
    rows = Rows("x + sum w", twice, (Argument("x", "float32", (1,), ""),), (("y", ""),))
    tree = {"w": keys.uniform(keys.key(0), (SIZE,))}
    writing.write(place, "toy", Functions(tree, {"twice": rows}, {}), place / "export", Forms(False, False, False))
    return place / "export"


def pages(smaps, name):
    """KiB of each kind in the mappings of a file."""
    found = {}
    for part in re.split(r"\n(?=[0-9a-f]+-[0-9a-f]+ )", smaps):
        if name in part.partition("\n")[0]:
            for kind, size in re.findall(r"^(\w+): +(\d+) kB", part, re.MULTILINE):
                found[kind] = found.get(kind, 0) + int(size)
    return found


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="/proc/self/smaps is Linux's")
def test_parameters_are_clean_pages_of_the_file(folder):
    """None is there before it is used, all are after it, and none is a copy."""
    command = [sys.executable, "-W", "ignore", "-c", MEASURED, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    before, after = (pages(part, "params.safetensors") for part in done.stdout.split("======"))
    whole = SIZE * 4 // 1024
    assert whole <= after["Size"] < whole + 1024
    assert before["Rss"] < whole // 2
    assert after["Rss"] > whole * 0.9
    assert after["Private_Dirty"] == after["Shared_Dirty"] == after["Anonymous"] == 0
