"""Train a model and report what it is worth on test data; each kind of model is a command with options of its own.

Claim    a VAE beats the independent-pixel model on held-out digits by a wide margin, and its bound is near log p(x)
Command  python -m jensen.experiments.train vae --data digits
         python -m jensen.experiments.train --resume RUN_FOLDER
"""

import sys

from jensen.experiments.run.command import command


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    with command("go on with --resume", "--k, --batch, --evidence-k or the network"):
        from jensen.experiments.programs.command_line import parse, parse_again, resumed
        from jensen.experiments.run import session

        path, args = resumed(sys.argv[1:] if argv is None else argv)
        if path is None:
            session.start(*parse(args))
        else:
            session.go_on(path, parse_again(path, args))


if __name__ == "__main__":
    main()
