"""The C library: jensen.h and jensen.cpp, which load AOTInductor packages with libtorch, compiled for this machine."""

import shutil
import subprocess
from pathlib import Path

from torch.utils import cpp_extension

from jensen.experiments.run import files
from jensen.experiments.run.errors import InputError, reason

SOURCES = Path(__file__).parent
HEADER, SOURCE, LIBRARY = "jensen.h", "jensen.cpp", "libjensen.so"


def build(out: Path) -> None:
    """Writes libjensen.so and its header to a folder. InputError where there is no C++ compiler, or it fails.

    The library finds libtorch where this Python has it; LD_LIBRARY_PATH leads it to another of the same version.
    """
    compiler = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        raise InputError("--c-library needs a C++ compiler, and there is none: install g++ or clang, or leave it out")
    partial = files.temporary(out / LIBRARY)
    command = [compiler, "-std=c++20", "-O1", "-fPIC", "-shared", str(SOURCES / SOURCE), "-o", str(partial)]
    command += [f"-I{path}" for path in cpp_extension.include_paths()]
    for path in cpp_extension.library_paths():
        command += [f"-L{path}", f"-Wl,-rpath,{path}"]
    done = subprocess.run([*command, "-ltorch_cpu", "-lc10"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(f"{SOURCE} does not compile ({reason(RuntimeError(done.stderr))}): leave --c-library out")
    partial.replace(out / LIBRARY)
    shutil.copyfile(SOURCES / HEADER, out / HEADER)
