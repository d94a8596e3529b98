"""What the service tells of itself: Prometheus' metrics, and a line of JSON for each request."""

import logging
import sys
from datetime import UTC, datetime
from functools import cache
from typing import TextIO

import orjson
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from jensen.experiments.run.files import Json

SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10)
ROWS = (1, 2, 5, 10, 20, 50, 100, 200, 500)


class Metrics:
    """Counters of one service."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        requests = Counter("jensen_requests", "Replies", ("model", "function", "status"), registry=self.registry)
        seconds = Histogram("jensen_seconds", "From a request's headers to its reply", ("model", "function"),
                            registry=self.registry, buckets=SECONDS)  # fmt: skip
        batches = Histogram("jensen_batch_rows", "Rows of a batch, without its padding", ("model", "function"),
                            registry=self.registry, buckets=ROWS)  # fmt: skip
        self._requests, self._seconds = cache(requests.labels), cache(seconds.labels)  # to look them up is slow
        self._batches = cache(batches.labels)
        self._retries = Counter("jensen_batches_retried", "Batches computed again, for their worker was lost",
                                ("model", "function"), registry=self.registry)  # fmt: skip
        self._queue = Gauge("jensen_queue_rows", "Rows that wait", ("model", "function"), registry=self.registry)
        self._circuits = Gauge("jensen_circuit_open", "1 while the circuit is open", ("model",), registry=self.registry)
        self._active = Gauge("jensen_requests_active", "Requests under way", registry=self.registry)

    def replied(self, model: str, function: str, status: int, seconds: float) -> None:
        self._requests(model, function, str(status)).inc()
        self._seconds(model, function).observe(seconds)

    def batched(self, model: str, function: str, rows: int) -> None:
        self._batches(model, function).observe(rows)

    def retried(self, model: str, function: str) -> None:
        self._retries.labels(model, function).inc()

    def text(self, active: int, queues: dict[tuple[str, str], int], circuits: dict[str, bool]) -> bytes:
        """In Prometheus' format."""
        self._active.set(active)
        for names, rows in queues.items():
            self._queue.labels(*names).set(rows)
        for name, is_open in circuits.items():
            self._circuits.labels(name).set(is_open)
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
