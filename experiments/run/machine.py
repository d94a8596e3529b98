"""What a machine lacks, in words: memory, a compiler, room on a disk. It imports nothing heavy."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from jensen.experiments.run import files
from jensen.experiments.run.errors import reason

try:
    import resource
except ImportError:
    resource = None

CGROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")  # version 2, and 1
ACCELERATORS = ("/dev/nvidiactl", "/dev/kfd")
TOO_LARGE = (  # what torch's errors say of sizes that do not fit: few of them have a class of their own
    "can't allocate memory", "not enough memory", "out of memory", "Storage size calculation overflowed",
    "integer multiplication overflow", "int64_t without overflow", "int too big to convert",
)  # fmt: skip
NO_COMPILER = ("No working C++ compiler", "Failed to find C compiler")


@contextmanager
def bounded_memory() -> Iterator[None]:
    """What is larger than the machine's memory raises: the system kills a process that fills it, without a word.

    Where there is an accelerator nothing is bounded, for its driver maps more than it uses.
    """
    if resource is None or any(map(os.path.exists, ACCELERATORS)):
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with suppress(OSError, ValueError):  # where there is no such limit
        resource.setrlimit(resource.RLIMIT_DATA, (memory(), before[1]))
    try:
        yield
    finally:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_DATA, before)


def memory() -> int:
    """Bytes that this process can have at most: the machine's, or its container's."""
    bounds = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in CGROUPS:
        with suppress(OSError, ValueError):  # "max", where there is no bound
            bounds.append(int(Path(path).read_text()))
    return min(bounds)


def lacking(error: Exception, sizes: str) -> str | None:
    """One line on an error that the machine is the reason of, with the cure; None for one of the program's.

    `sizes` names the options that memory is spent on.
    """
    inner = getattr(error, "inner_exception", error)  # of the compiler's errors
    if isinstance(inner, OSError) and inner.filename is not None:
        cure = (
            "change its permissions" if inner.errno == errno.EACCES else files.CURES.get(inner.errno or 0, "mend that")
        )
        return f"{os.fsdecode(inner.filename)} cannot be used ({reason(inner)}): {cure}"
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("jensen"):
        return f"{error.name} is not installed: pip install 'jensen[experiments]'"
    if any(text in str(error) for text in NO_COMPILER):
        return "torch.compile needs a C++ compiler, and there is none: install g++ or clang, or pass --no-compile"
    if isinstance(inner, MemoryError) or any(text in str(error) for text in TOO_LARGE):
        return f"this does not fit in memory: lower {sizes}"
    return None
