"""The command line of training: a kind of model or a recipe, then its options; or a run that goes on."""

from difflib import get_close_matches
from pathlib import Path

import tyro

from jensen.experiments.programs import KINDS
from jensen.experiments.recipes import RECIPES
from jensen.experiments.run import config, folder
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.session import Settings

PROGRAM = "python -m jensen.experiments.train"
ABOUT = """Train a model and report what it is worth on test data.

Options alone are those of a vae. `--resume FOLDER` goes on with a run, under the settings it was started with.
"""


def resumed(args: list[str]) -> tuple[Path | None, list[str]]:
    """The folder that --resume names, or None, and the other arguments."""
    for i, arg in enumerate(args):
        if arg == "--resume":
            if i + 1 == len(args):
                raise InputError("--resume needs the folder of a run")
            return Path(args[i + 1]), args[:i] + args[i + 2 :]
        if arg.startswith("--resume="):
            return Path(arg.removeprefix("--resume=")), args[:i] + args[i + 1 :]
    return None, args


def parse(args: list[str]) -> tuple[str, Settings]:
    """The kind of model and its settings, of `vae --latent 50` or a recipe's name."""
    help_asked = args[:1] in (["--help"], ["-h"])
    if not help_asked and (not args or args[0].startswith("-")):
        args = ["vae", *args]
    defaults = {name: cls() for name, cls in KINDS.items()} | {name: recipe() for name, recipe in RECIPES.items()}
    if help_asked:
        lines = {name: (recipe.__doc__ or "").splitlines()[0] for name, recipe in (KINDS | RECIPES).items()}
        described = {name: (lines[name], default) for name, default in defaults.items()}
        tyro.extras.overridable_config_cli(described, args=args, prog=PROGRAM, description=ABOUT)
    if args[0] not in defaults:
        near = get_close_matches(args[0], defaults, n=1)
        hint = f": the nearest is {near[0]}" if near else ""
        raise InputError(f"expected what to train, one of {', '.join(defaults)}, got {args[0]!r}{hint}")
    default = defaults[args[0]]
    settings = tyro.cli(type(default), args=args[1:], default=default, prog=f"{PROGRAM} {args[0]}")
    settings.check()
    return next(name for name, cls in KINDS.items() if type(settings) is cls), settings


def parse_again(path: Path, args: list[str]) -> Settings:
    """The settings of the run in a folder, which no other argument may contradict in what decides its bits."""
    saved = folder.read_config(path, tuple(KINDS.values()))
    if args and not args[0].startswith("-"):
        raise InputError(f"--resume knows what the run in {path} trains: leave out {args[0]}")
    settings = tyro.cli(type(saved), args=args, default=saved, prog=f"{PROGRAM} --resume FOLDER")
    settings.check()
    if settings.run.out is not None:
        raise InputError("--resume goes on in its own folder: leave out --out")
    if differences := config.differences(saved, settings):
        raise InputError(f"the run in {path} {differences}: leave that out, or start a new run")
    return settings
