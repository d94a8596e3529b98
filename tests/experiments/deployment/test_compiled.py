"""A package compiled for this machine: the same draws from Python, without this library, and from C."""

import ctypes
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from jensen.core import keys
from jensen.experiments.deployment import load
from jensen.experiments.deployment.manifest import read_manifest, write_manifest
from jensen.experiments.deployment.native import HEADER, LIBRARY
from jensen.experiments.programs.finished import of_latents
from jensen.experiments.report.images import prior_means
from jensen.experiments.run import files
from jensen.experiments.run.errors import InputError
from tests.experiments.process import PATIENCE

N = 7
PAGE = Path(__file__).parents[3] / "docs" / "export.md"
CYCLE = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "jensen.h"

static long resident(void) {
  long pages = 0, all;
  FILE *file = fopen("/proc/self/statm", "r");
  if (fscanf(file, "%ld %ld", &all, &pages) != 2) exit(9);
  fclose(file);
  return pages * sysconf(_SC_PAGESIZE);
}

int main(int argc, char **argv) {
  int64_t key[7 * 3];
  float x[7 * 64];
  jensen_function *sample = NULL;
  long settled = 0;
  int cycles = atoi(argv[3]), runs = atoi(argv[4]);
  for (int i = 0; i < 7; i++) key[3 * i] = 3, key[3 * i + 1] = 0, key[3 * i + 2] = i;
  for (int cycle = 0; cycle < cycles; cycle++) {
    if (jensen_create(argv[1], argv[2], 1, &sample)) return fprintf(stderr, "%s\n", jensen_error()), 1;
    for (int run = 0; run < runs; run++) {
      jensen_tensor in = {JENSEN_INT64, 2, {7, 3}, key, sizeof key}, out = {.data = x, .bytes = sizeof x};
      if (jensen_run(sample, &in, 1, &out, 1)) return fprintf(stderr, "%s\n", jensen_error()), 2;
      in.shape[1] = 2, in.bytes = 7 * 2 * 8;
      if (jensen_run(sample, &in, 1, &out, 1) != JENSEN_RUN) return 3;
      if (cycle == 0 && run == runs / 2) settled = resident();
    }
    if (cycles > 1 && cycle == cycles / 2) settled = resident();
    jensen_free(sample);
  }
  printf("{\"grown\": %ld, \"x\": [", resident() - settled);
  for (int i = 0; i < 7 * 64; i++) printf("%s%.9g", i ? ", " : "", x[i]);
  return puts("]}"), 0;
}
"""


def keys_of(seed, n):
    return keys.at(keys.key(seed), datum=torch.arange(n))


@pytest.fixture(scope="module")
def drawn(done):
    """What the library draws of seed 3."""
    found = of_latents(done)
    return prior_means(found.model, found.params, keys.key(3), N)


@pytest.fixture(scope="module")
def sample(compiled):
    return load(compiled, backend="aot")["sample"]


@pytest.fixture(scope="module")
def program(compiled, tmp_path_factory):
    """program(cycles, runs): what a C program, compiled by a C compiler, prints."""
    place = tmp_path_factory.mktemp("c")
    (place / "cycle.c").write_text(CYCLE)
    command = ["cc", "-std=c99", "-D_GNU_SOURCE", "-Wall", "-Werror", "-pedantic", f"-I{compiled}", "cycle.c"]
    command += ["-o", "cycle", f"-L{compiled}", f"-Wl,-rpath,{compiled}", "-ljensen"]
    subprocess.run(command, cwd=place, check=True, timeout=PATIENCE)

    def run(cycles, runs):
        args = [str(compiled / "sample.pt2"), files.digest(compiled / "sample.pt2"), str(cycles), str(runs)]
        done = subprocess.run([place / "cycle", *args], capture_output=True, text=True, timeout=1000)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


@pytest.mark.parametrize("n", [1, 7, 64])
def test_a_package_draws_what_the_program_draws(n, compiled, sample):
    slow = load(compiled, backend="program")["sample"]
    assert (sample.backend, slow.backend) == ("aot", "program")
    torch.testing.assert_close(sample(keys_of(3, n)), slow(keys_of(3, n)), rtol=2e-6, atol=2e-6)


def test_a_package_draws_what_the_library_draws(sample, drawn):
    torch.testing.assert_close(sample(keys_of(3, N)), drawn, rtol=2e-6, atol=2e-6)
    assert torch.equal(sample(keys_of(3, N)), sample(keys_of(3, N)))


def test_another_machines_package_gives_way_to_the_program(compiled, tmp_path):
    folder = shutil.copytree(compiled, tmp_path / "export")
    manifest = read_manifest(folder)
    write_manifest(folder, replace(manifest, machine=replace(manifest.machine, capability="ABACUS")))
    assert load(folder)["sample"].backend == "program"
    with pytest.raises(InputError, match=r"no package of sample for this machine \(it is of torch .*, ABACUS"):
        load(folder, backend="aot")


@pytest.fixture(scope="module")
def fragments(compiled, tmp_path_factory):
    """The page's python, and a place where its export/ is the compiled one."""
    place = tmp_path_factory.mktemp("page")
    (place / "export").symlink_to(compiled)
    every = re.findall(r"^```python fragment\n(.*?)^```\n", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    return place, [each for each in every if "prefill" not in each]  # which are of sequences, with a test of their own


def test_the_page_loads_an_export(fragments, drawn, monkeypatch):
    place, (ours, _) = fragments
    monkeypatch.chdir(place)
    found = {"torch": torch}
    exec(ours, found)
    torch.testing.assert_close(found["x"], drawn, rtol=2e-6, atol=2e-6)
    assert torch.equal(found["named"]["mean"], found["x"])


def test_the_page_loads_a_package_without_this_library(fragments, drawn):
    """In a process in which jensen cannot be imported; wrong inputs are refused there too."""
    place, (_, alone) = fragments
    code = f"""import sys
sys.modules["jensen"] = None
{alone}
try:
    sample(torch.zeros(3, {N}, dtype=torch.int64).T)
except RuntimeError:
    print("refused")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=place, capture_output=True, text=True, timeout=PATIENCE)
    total, refused = done.stdout.split()
    assert refused == "refused", done.stderr
    assert float(total) == pytest.approx(drawn.double().sum().item(), rel=1e-5)


def test_a_c_program_draws_the_same_without_growing(program, drawn):
    found = program(1, 1000)
    torch.testing.assert_close(torch.tensor(found["x"]).reshape(N, 64), drawn, rtol=2e-6, atol=2e-6)
    assert found["grown"] < 2**19


@pytest.mark.slow
def test_a_c_program_creates_and_frees_without_growing(program):
    """Each cycle unpacks and loads the package anew: a leak of its file would be 100 KiB in each of the last 200."""
    assert program(400, 2)["grown"] < 2**23


class Tensor(ctypes.Structure):
    _fields_ = [("dtype", ctypes.c_int32), ("rank", ctypes.c_int32), ("shape", ctypes.c_int64 * 8),
                ("data", ctypes.c_void_p), ("bytes", ctypes.c_size_t)]  # fmt: skip


def of(x):
    number = {torch.float32: 0, torch.float64: 1, torch.int64: 2}[x.dtype]
    return Tensor(number, x.ndim, (ctypes.c_int64 * 8)(*x.shape), x.data_ptr(), x.nbytes)


def test_ctypes_call_the_library_and_every_fault_is_a_code(compiled, drawn, tmp_path):
    library = ctypes.CDLL(str(compiled / LIBRARY))
    library.jensen_error.restype = ctypes.c_char_p
    library.jensen_free.argtypes = [ctypes.c_void_p]
    library.jensen_run.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_int]
    path, function = str(compiled / "sample.pt2").encode(), ctypes.c_void_p()

    def create(path, digest=None, runners=1):
        return library.jensen_create(path, digest, runners, ctypes.byref(function))

    def said():
        return library.jensen_error().decode()

    assert create(path, b"0" * 64) == 2
    assert said().endswith("its sha256 is another")
    assert not function
    assert create(b"nowhere.pt2") == 3
    assert "No such file" in said()
    broken = tmp_path / "broken.pt2"
    broken.write_bytes(b"no package")
    assert create(os.fsencode(broken)) == 3
    assert said()
    assert create(path, runners=0) == create(None) == 1
    assert create(path, files.digest(compiled / "sample.pt2").encode()) == 0
    key, x = keys_of(3, N), torch.zeros(N, 64)
    given, out = of(key), of(x)

    def run(given, out, outputs=1):
        return library.jensen_run(function, ctypes.byref(given), 1, ctypes.byref(out), outputs)

    assert run(given, out) == 0
    torch.testing.assert_close(x, drawn, rtol=2e-6, atol=2e-6)
    assert (out.dtype, out.rank, list(out.shape[:2])) == (0, 2, [N, 64])
    assert run(given, Tensor(0, 0, (ctypes.c_int64 * 8)(), x.data_ptr(), 4)) == 5
    assert said() == f"output 0 takes {4 * N * 64} bytes, got room for 4"
    assert run(of(key.double()), of(x)) == 4
    assert "unmatched dtype" in said()
    assert run(of(key[:, :2].contiguous()), of(x)) == 4
    given.bytes = 8
    assert run(given, of(x)) == 1
    assert said() == f"input 0: expected {8 * 3 * N} bytes for the shape, got 8"
    assert run(of(key), of(x), outputs=2) == 1
    given = of(key)
    given.dtype = 7
    assert run(given, of(x)) == 1
    assert library.jensen_run(None, None, 0, None, 0) == 1
    library.jensen_free(function)
    library.jensen_free(None)


def test_the_folder_has_what_c_programs_need(compiled):
    assert {HEADER, LIBRARY} <= set(load(compiled).manifest.files)
