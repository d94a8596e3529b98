"""Kill the workers of a service under load: what becomes of requests, and how soon there is another worker.

Claim    a worker that is killed with a request under way costs no reply: every one has the bytes that its seed has
Command  python -m jensen.experiments.crash [RUN_OR_EXPORT_FOLDER]
"""

import sys

from jensen.experiments.run.command import command, installed


def main(argv: list[str] | None = None) -> None:
    """The command line. Exit code 1 where a request had no reply, or one that is not its seed's."""
    with command("start it again", "--clients or --workers"):
        with installed("serve"):
            from jensen.experiments.crashes.command_line import parse, run
        if not run(parse(sys.argv[1:] if argv is None else argv)):
            sys.exit(1)


if __name__ == "__main__":
    main()
