"""Serve finished runs of experiments.train over HTTP: their functions, batched, with bounds on all that waits.

Claim    a reply is that of the exported function, with the same bits alone or in a batch, under whatever load
Command  python -m jensen.experiments.serve RUN_OR_EXPORT_FOLDER [NAME=FOLDER]
"""

import sys

from jensen.experiments.run.command import command, installed


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    with command("start it again", "--batch or --queue"):
        with installed("serve"):
            from jensen.experiments.service.command_line import parse, run
        run(parse(sys.argv[1:] if argv is None else argv))


if __name__ == "__main__":
    main()
