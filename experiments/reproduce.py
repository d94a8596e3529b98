"""The claims, each a script of its own under claims/: what they say, and their runs.

Command  python -m jensen.experiments.reproduce            lists them
         python -m jensen.experiments.reproduce NAME ...   runs one, with its own options
"""

import ast
import difflib
import importlib
import pkgutil
import sys
from pathlib import Path
from typing import NoReturn

from jensen.experiments import claims
from jensen.experiments.run.command import command
from jensen.experiments.run.errors import InputError


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    with command("run it again", "the claim's sizes"):
        name, *rest = (sys.argv[1:] if argv is None else argv) or [""]
        found = scripts()
        if not name or name in ("-h", "--help"):
            print("\n".join(f"{each:<24}{claim}" for each, claim in found.items()))
        elif name in found:
            importlib.import_module(f"{claims.__name__}.{name}").main(rest)
        else:
            near = difflib.get_close_matches(name, found, n=1)
            meant = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(found)}"
            raise InputError(f"expected a claim's name, got {name}: {meant}")


def launch(file: str) -> NoReturn:
    """A script's own command: this one, by the script's name."""
    main([Path(file).stem, *sys.argv[1:]])
    sys.exit()


def scripts() -> dict[str, str]:
    """The first line of each script's docstring, by name; a file without a command is none."""
    found = {}
    for module in pkgutil.iter_modules(claims.__path__):
        text = (Path(claims.__path__[0]) / f"{module.name}.py").read_text("utf-8")
        doc = ast.get_docstring(ast.parse(text)) or ""
        if "\nCommand  " in doc:
            found[module.name] = doc.splitlines()[0]
    return found


if __name__ == "__main__":
    main()
