"""Train a model and report what it is worth on test data; each kind of model is a command with options of its own.

python -m jensen.experiments.train vae --data digits
python -m jensen.experiments.train --resume runs/FOLDER
"""

import sys

from jensen.experiments.run.command import command

PROGRAM = "python -m jensen.experiments.train"


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    with command("go on with --resume", "--k, --batch, --evidence-k or the network"):
        from jensen.experiments.run import session

        args = sys.argv[1:] if argv is None else argv
        path, rest = resumed(args)
        if path is None:
            session.start(*parse(rest))
        else:
            session.go_on(path, parse_again(path, rest))


def resumed(args: list[str]):
    """The folder that --resume names, or None, and the other arguments."""
    from pathlib import Path

    from jensen.experiments.run.errors import InputError

    for i, arg in enumerate(args):
        if arg == "--resume":
            if i + 1 == len(args):
                raise InputError("--resume needs the folder of a run")
            return Path(args[i + 1]), args[:i] + args[i + 2 :]
        if arg.startswith("--resume="):
            return Path(arg.removeprefix("--resume=")), args[:i] + args[i + 1 :]
    return None, args


def parse(args: list[str]):
    """(kind, settings) of `vae --latent 50` or a recipe's name; options alone are the vae's."""
    import tyro

    from jensen.experiments.programs import KINDS
    from jensen.experiments.recipes import RECIPES

    if not args or (args[0].startswith("-") and args[0] not in ("--help", "-h")):
        args = ["vae", *args]
    defaults = {name: cls() for name, cls in KINDS.items()} | {name: recipe() for name, recipe in RECIPES.items()}
    settings = tyro.extras.overridable_config_cli(
        {name: (_first_line(default), default) for name, default in defaults.items()}, args=args, prog=PROGRAM
    )
    settings.check()
    return next(name for name, cls in KINDS.items() if type(settings) is cls), settings


def _first_line(settings) -> str:
    return (type(settings).__doc__ or "").splitlines()[0]


def parse_again(path, args: list[str]):
    """The settings of the run in a folder, which no other argument may contradict in what decides its bits."""
    import tyro

    from jensen.experiments.programs import KINDS
    from jensen.experiments.run import config, folder
    from jensen.experiments.run.errors import InputError

    saved = folder.read_config(path, tuple(KINDS.values()))
    settings = tyro.cli(type(saved), args=args, default=saved, prog=f"{PROGRAM} --resume FOLDER")
    settings.check()
    if differences := config.differences(saved, settings):
        raise InputError(f"the run in {path} {differences}: leave that out, or start a new run")
    return settings


if __name__ == "__main__":
    main()
