"""Train over settings and seeds: a table of means with their errors, that goes on where it was left.

Command  python -m jensen.experiments.sweep --over latent 2 8 --over lr 1e-3 3e-3 --seeds 3 -- vae --steps 500
"""

import sys

from jensen.experiments.run.command import command


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    with command("run it again to go on", "--k, --batch or the network"):
        from jensen.experiments.sweeps.command_line import parse, run

        run(parse(sys.argv[1:] if argv is None else argv))


if __name__ == "__main__":
    main()
