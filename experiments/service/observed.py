"""What the service tells of itself: Prometheus' metrics, and a line of JSON for each request."""

import logging
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import TextIO

import orjson
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from jensen.experiments.run.files import Json
from jensen.experiments.service.engines import Seat

SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10)
ROWS = (1, 2, 5, 10, 20, 50, 100, 200, 500)


PLACE = ("model", "version", "function")  # a page's path is a function of no model


class Metrics:
    """Counters of one service."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        requests = Counter("jensen_requests", "Replies", (*PLACE, "status"), registry=self.registry)
        seconds = Histogram("jensen_seconds", "From a request's headers to its reply", PLACE,
                            registry=self.registry, buckets=SECONDS)  # fmt: skip
        batches = Histogram("jensen_batch_rows", "Rows of a batch, without its padding", PLACE,
                            registry=self.registry, buckets=ROWS)  # fmt: skip
        self._requests, self._seconds = cache(requests.labels), cache(seconds.labels)  # to look them up is slow
        self._batches = cache(batches.labels)
        self._retries = Counter("jensen_batches_retried", "Batches computed again, for their worker was lost", PLACE,
                                registry=self.registry)  # fmt: skip
        self._queue = Gauge("jensen_queue_rows", "Rows that wait", PLACE, registry=self.registry)
        self._circuits = Gauge("jensen_circuit_open", "1 while the circuit is open", PLACE[:2], registry=self.registry)
        self._workers = Gauge("jensen_worker_up", "1 where a worker has its seat", ("seat",), registry=self.registry)
        self._lost = Gauge("jensen_workers_lost", "Workers that a seat has lost", ("seat",), registry=self.registry)
        self._active = Gauge("jensen_requests_active", "Requests under way", registry=self.registry)

    def replied(self, model: str, version: str, function: str, status: int, seconds: float) -> None:
        self._requests(model, version, function, str(status)).inc()
        self._seconds(model, version, function).observe(seconds)

    def batched(self, model: str, version: str, function: str, rows: int) -> None:
        self._batches(model, version, function).observe(rows)

    def retried(self, model: str, version: str, function: str) -> None:
        self._retries.labels(model, version, function).inc()

    def text(self, active: int, queues: Mapping[tuple[str, ...], int], circuits: Mapping[tuple[str, ...], bool],
             seats: Sequence[Seat]) -> bytes:  # fmt: skip
        """In Prometheus' format."""
        self._active.set(active)
        for gauge in (self._queue, self._circuits, self._workers, self._lost):
            gauge.clear()  # of models and seats that were there before
        for names, rows in queues.items():
            self._queue.labels(*names).set(rows)
        for names, is_open in circuits.items():
            self._circuits.labels(*names).set(is_open)
        for seat in seats:
            self._workers.labels(seat.name).set(seat.worker is not None)
            self._lost.labels(seat.name).set(seat.lost)
        return generate_latest(self.registry)


class Log:
    """Lines of JSON."""

    def __init__(self, stream: TextIO | None = None):
        self._stream = stream

    def write(self, event: str, **values: Json) -> None:
        line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **values}
        print(orjson.dumps(line, default=str).decode(), file=self._stream or sys.stderr, flush=True)


class Records(logging.Handler):
    """Takes what other libraries log, as lines of the same log."""

    def __init__(self, log: Log):
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        self._log.write("log", logger=record.name, level=record.levelname.lower(), message=self.format(record))
