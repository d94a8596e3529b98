"""What carries trials out: this process, one after another, or Ray's workers, each trial in a process of its own."""

import os
from collections.abc import Callable, Iterator

from jensen.experiments.run.errors import InputError
from jensen.experiments.sweeps.plan import Trial
from jensen.experiments.sweeps.trials import Ended, carried_out

TRIES = 2  # of a trial whose worker is lost


def in_process(trials: list[Trial]) -> Iterator[Ended]:
    """As they end, in their order."""
    yield from map(carried_out, trials)


def by_ray(trials: list[Trial]) -> Iterator[Ended]:
    """As they end, as many at once as there are CPUs; a trial whose worker dies twice has failed, and no other."""
    try:
        import ray  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError as error:
        raise InputError("--engine ray needs Ray: pip install 'jensen[sweep]', or leave it out") from error
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray.init(include_dashboard=False, log_to_driver=False, configure_logging=False)
    try:
        work = ray.remote(num_cpus=1, max_retries=TRIES - 1)(carried_out)
        running = {work.remote(trial): trial for trial in trials}
        while running:
            (done,), _ = ray.wait([*running])
            trial = running.pop(done)
            try:
                yield ray.get(done)
            except ray.exceptions.RayError as error:
                yield Ended(trial, {}, f"its worker was lost {TRIES} times ({type(error).__name__})")
    finally:
        ray.shutdown()


ENGINES: dict[str, Callable[[list[Trial]], Iterator[Ended]]] = {"process": in_process, "ray": by_ray}
