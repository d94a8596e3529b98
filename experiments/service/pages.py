"""What the service says of itself to a GET: health, readiness, metrics, its models, and how they are asked."""

from collections.abc import Callable
from typing import Any

import orjson

from jensen.experiments.run.files import Json
from jensen.experiments.service import openapi
from jensen.experiments.service.exchange import Reply
from jensen.experiments.service.models import Model, Models
from jensen.experiments.service.observed import Metrics


class Pages:
    """By path. draining, active: whether the service closes, and the requests that wait for a result."""

    def __init__(self, models: Models, metrics: Metrics, rows: int, draining: Callable[[], bool],
                 active: Callable[[], int]):  # fmt: skip
        self._models, self._metrics, self._draining, self._active = models, metrics, draining, active
        self.by_path: dict[str, Callable[[], Reply]] = {
            "/healthz": self._health,
            "/readyz": self._ready,
            "/metrics": self._measured,
            "/v1": self._list,
            "/openapi.json": lambda: Reply(orjson.dumps(openapi.document(self._models, rows))),
            "/docs": lambda: Reply(openapi.page(self._models), media="text/html; charset=utf-8"),
        }

    def _health(self) -> Reply:
        """Red when inference stalls: then the process is to be started again."""
        stalled = [each for model in self._models.every for each in model.stalled]
        seats = [{"seat": seat.name, "id": seat.worker, "lost": seat.lost} for seat in self._models.engine.seats()]
        return _state(not stalled, stalled=stalled, workers=seats)

    def _ready(self) -> Reply:
        open_ = [str(model.version) for model in self._models.every if model.circuit_open]
        absent = not any(seat.worker for seat in self._models.engine.seats())
        ready = not self._draining() and not open_ and not absent
        return _state(ready, draining=self._draining(), open=open_)

    def _measured(self) -> Reply:
        models = self._models.every
        queues = {model.labels(each): queue.rows for model in models for each, queue in model.queues.items()}
        circuits = {model.labels("")[:2]: model.circuit_open for model in models}
        text = self._metrics.text(self._active(), queues, circuits, self._models.engine.seats())
        return Reply(text, media="text/plain; version=0.0.4; charset=utf-8")

    def _list(self) -> Reply:
        found = {}
        for name in self._models:
            versions = {
                model.version.number: _shown(model) for model in self._models.every if model.version.name == name
            }
            found[name] = {**_shown(self._models[name]), "versions": dict(sorted(versions.items()))}
        return Reply(orjson.dumps({"models": found}, option=orjson.OPT_NON_STR_KEYS))


def _shown(model: Model) -> dict[str, Any]:
    return {"version": model.version.number, "digest": model.digest, "functions": model.names}


def _state(ok: bool, **values: Json) -> Reply:
    """200, or 503 with the reasons."""
    content = orjson.dumps({"ok": ok, **values})
    return Reply(content) if ok else Reply(content, 503, headers={"retry-after": "1"})
