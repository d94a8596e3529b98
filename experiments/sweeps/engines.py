"""What carries trials out: this process, one after another, or Ray's workers, each trial in a process of its own."""

from collections.abc import Callable, Generator
from concurrent.futures import as_completed

from jensen.experiments.run.cluster import cluster
from jensen.experiments.sweeps.plan import Trial
from jensen.experiments.sweeps.trials import Ended, carried_out

RAY = "ray"
TRIES = 2  # of a trial whose worker is lost


def in_process(trials: list[Trial]) -> Generator[Ended]:
    """As they end, in their order."""
    yield from map(carried_out, trials)


def by_ray(trials: list[Trial]) -> Generator[Ended]:
    """As they end, as many at once as there are CPUs, with a thread each.

    A trial whose worker dies goes on in another, from its last checkpoint; one that loses both has failed, alone.
    """
    with cluster(f"--engine {RAY}", task_oom_retries=TRIES - 1) as ray:
        work = ray.remote(num_cpus=1, max_retries=TRIES - 1)(carried_out)
        running = {work.remote(trial).future(): trial for trial in trials}
        for done in as_completed(running):
            try:
                yield done.result()
            except ray.exceptions.RayError as error:
                yield Ended(running[done], {}, f"its worker was lost {TRIES} times ({type(error).__name__})")


ENGINES: dict[str, Callable[[list[Trial]], Generator[Ended]]] = {"process": in_process, RAY: by_ray}
