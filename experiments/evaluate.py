"""Judge finished runs of experiments.train beyond their ELBO: bounds, evidence from two sides, weights, latent units.

Claim    a VAE's −ELBO says little by itself: of its distance to log p(x) more samples close a part that IWAE shows,
         annealing says what is left, k-hat whether the weights can be trusted, fits of q to single images whether the
         encoder or the family is to blame, and KL by dimension which latents work
Command  python -m jensen.experiments.evaluate RUN_FOLDER [MORE_RUN_FOLDERS]
         torchrun --standalone --nproc-per-node 4 -m jensen.experiments.evaluate RUN_FOLDER
"""

import sys

from jensen.experiments.run.command import command


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    with command("run it again", "--k, --images, --chains or --gap-images"):
        from jensen.experiments.report.command_line import parse, run

        run(parse(sys.argv[1:] if argv is None else argv))


if __name__ == "__main__":
    main()
