"""A queue of jobs, rows of an exported function, with workers: at least once, each result once, dead letters."""

from jensen.experiments.jobs.contract import Counts, Job, Letter, Queue, Taken, Work
from jensen.experiments.jobs.engines import Place
from jensen.experiments.jobs.producer import put_all
from jensen.experiments.jobs.worker import Worker

__all__ = ["Counts", "Job", "Letter", "Place", "Queue", "Taken", "Work", "Worker", "put_all"]
