"""Public calls under jaxtyping's import hook, which checks the shapes in their signatures by beartype.

    python -m tests.shapes             # all of them
    python -m tests.shapes flows

A hook is of modules that are imported after it, so that this is a process of its own.
"""

import inspect
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

from jaxtyping import install_import_hook

import jensen.core
import jensen.estimators

PARTS = (
    "latents", "series", "quantisers", "bounds", "distributions", "exponential", "flows", "networks", "classifiers",
    "sequences", "transport", "densities", "bayesian", "evidence", "diagnostics", "inference", "operations",
)  # fmt: skip
PROTOCOLS = "contracts"  # they speak of Self, which the hook cannot check in methods by themselves


def modules(package: ModuleType) -> Iterator[str]:
    """The names of a package's modules."""
    root = Path(next(iter(package.__path__)))
    for path in root.rglob("*.py"):
        if path.stem != "__init__" and path.parent.name != PROTOCOLS:
            yield ".".join((package.__name__, *path.relative_to(root).with_suffix("").parts))


def calls(part: ModuleType) -> Iterator[Callable[[], None]]:
    """The public functions of a part."""
    for name, call in inspect.getmembers(part, inspect.isfunction):
        if call.__module__ == part.__name__ and not name.startswith("_"):
            yield call


def refused(call: Callable[[], object]) -> str:
    """The name of the error that it raises."""
    try:
        call()
    except Exception as error:
        return type(error).__name__
    return "none"


with install_import_hook([*modules(jensen.core), *modules(jensen.estimators)], "beartype.beartype"):
    parts = [import_module(f"tests.shapes.{name}") for name in sys.argv[1:] or PARTS]
    from tests.shapes import wrong

for part in parts:
    for call in calls(part):
        call()
print("right shapes pass")
for name, call in wrong.CALLS.items():
    assert refused(call) == "TypeCheckError", name
print("wrong shapes raise")
