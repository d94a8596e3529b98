"""Before torch compiles anything: one cache of compiled code, Triton's interpreter where there is no GPU, profiles."""

import gc
import os
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

# Shared by all workers and by every run, and by the processes that tests start; `make clean` removes it.
os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(Path(__file__).parent.parent / "build" / "inductor"))
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when Triton is first imported

gc.disable()  # until everything is collected: the trees of rewritten assertions are no garbage, and are many

quiet = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("suite", max_examples=60, deadline=None, derandomize=True, suppress_health_check=quiet)
settings.register_profile("laws", max_examples=2000, deadline=None, suppress_health_check=quiet)
settings.load_profile("suite")


@pytest.fixture(autouse=True, scope="module")
def fresh_compiler():
    """The compiler allows one function, such as a gradient's wrapper, few closures in a process."""
    if "torch._dynamo" in sys.modules:
        torch.compiler.reset()


def pytest_collection_modifyitems(items):
    """Slow proofs end by themselves, whatever else the machine does: an hour is for those that hang.

    Workers must collect the same names: one with the address of a function differs between processes.
    """
    for item in items:
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(3600))
    addressed = [item.nodeid for item in items if " at 0x" in item.nodeid]
    if addressed:
        raise pytest.UsageError(f"expected names of tests without addresses, got {addressed[0]}: give it an id")


def pytest_collection_finish():
    """What was imported stays: no search for garbage goes through it again."""
    gc.freeze()
    gc.enable()
