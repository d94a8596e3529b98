"""python -m tests.bench [--device cuda]: the tables of `make bench`."""

import argparse
import sys

from tests.bench import iwae, overhead, step, timing


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    device = parser.parse_args().device
    print(timing.machine(device))
    step.elbo(device)
    step.vae_step(device)
    iwae.step(device)
    if device == "cpu":
        iwae.evaluation()
        iwae.memory()
        overhead.overhead()
    sys.stdout.flush()


if __name__ == "__main__":
    main()
