"""The service as an ASGI application: what is asked, by whom, whether there is room for it, and the reply.

Room is looked for before a body is read: under overload a refusal costs no parsing.
"""

import asyncio
import hmac
import time
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any

import orjson

from jensen.experiments.run.errors import InputError, reason, shown
from jensen.experiments.service import bodies, openapi
from jensen.experiments.service.batching import Rows
from jensen.experiments.service.errors import Gone, Refused, bad
from jensen.experiments.service.exchange import Exchange, Receive, Reply, Send, refusal
from jensen.experiments.service.models import Model, Models
from jensen.experiments.service.observed import Log, Metrics
from jensen.experiments.service.settings import Limits

LEFT = 499  # the status, in logs and metrics, of a request whose client has gone


class Service:
    """POST /v1/MODEL/FUNCTION and /admin/swap; GET /healthz, /readyz, /metrics, /v1, /openapi.json and /docs."""

    def __init__(self, models: Models, limits: Limits, metrics: Metrics, log: Log, token: str | None = None):
        self.models, self.limits, self.metrics, self.log = models, limits, metrics, log
        self.active = 0  # requests that wait for a result
        self.draining = False
        self._token = token
        self._pages: dict[str, Callable[[], Reply]] = {
            "/healthz": self._health,
            "/readyz": self._ready,
            "/metrics": self._metrics,
            "/v1": self._list,
            "/openapi.json": lambda: Reply(orjson.dumps(openapi.document(self.models, self.limits.rows))),
            "/docs": lambda: Reply(openapi.page(self.models), media="text/html; charset=utf-8"),
        }

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        started = time.monotonic()
        exchange = Exchange(scope, receive, send, self.limits.read)
        place = ("", "")
        try:
            place, reply = await self._routed(exchange)
        except Refused as refused:
            reply, place = refusal(refused), self._place(exchange.path)
        except Gone:
            reply, place = Reply(b"", LEFT), self._place(exchange.path)
        except Exception as error:  # a fault of the service's own: the client gets an answer, the log the reason
            self.log.write("fault", id=exchange.id, path=shown(exchange.path), error=f"{type(error).__name__}: {error}")
            reply, place = refusal(Refused(500, "the service failed", fix="report it with the id")), ("", "")
        status = reply.status
        if status != LEFT:
            try:
                await exchange.send(reply)
            except Gone:
                status = LEFT
        seconds = time.monotonic() - started
        self.metrics.replied(*place, status, seconds)
        self.log.write("request", id=exchange.id, method=exchange.method, path=shown(exchange.path), status=status,
                       digest=reply.headers.get("x-model-digest"), ms=round(1000 * seconds, 2))  # fmt: skip

    async def _routed(self, exchange: Exchange) -> tuple[tuple[str, str], Reply]:
        """A place, for metrics, and the reply."""
        path = exchange.path
        get, post = path in self._pages, path == "/admin/swap" or path.startswith("/v1/")
        if not get and not post:
            raise Refused(404, f"there is no {shown(path)}", "path", "see /docs")
        method = "GET" if get else "POST"
        if exchange.method != method:
            raise Refused(405, f"expected {method}, got {shown(exchange.method)}", "method", f"send {method}")
        if get:
            return ("", path), self._pages[path]()
        self._check_token(exchange)
        if path == "/admin/swap":
            return ("", path), await self._swapped(exchange)
        model, function = self._found(path)
        model.in_flight += 1
        self.active += 1
        try:
            return (model.name, function), await self._inferred(exchange, model, function)
        finally:
            self.active -= 1
            model.in_flight -= 1

    def _found(self, path: str) -> tuple[Model, str]:
        _, _, name, *rest = path.split("/")
        model, function = self.models[name], "/".join(rest)
        if function not in model.functions:
            error = f"{name} has no such function, but {', '.join(model.functions)}"
            raise Refused(404, error, "function", "send it to one of them")
        return model, function

    def _place(self, path: str) -> tuple[str, str]:
        """What metrics count a refusal under: only names that there are."""
        if path.startswith("/v1/"):
            try:
                model, function = self._found(path)
            except Refused:
                return "", ""
            return model.name, function
        return "", path if path in self._pages else ""

    async def _inferred(self, exchange: Exchange, model: Model, function: str) -> Reply:
        if self.draining:
            raise Refused(503, "the service is closing", fix="send it to another", retry_after=1)
        if self.active > self.limits.requests:
            raise Refused(503, f"{self.limits.requests} requests are under way", fix="send it later", retry_after=1)
        batcher, signature = model.batchers[function], model.functions[function]
        batcher.check_room()
        exchange.check_length(self.limits.body)
        kind = bodies.media(exchange.headers.get("content-type", ""))
        content = await exchange.body(self.limits.body)
        inputs, seed = bodies.given(content, kind, signature, self.limits.rows)
        outputs = await self._computed(exchange, model, function, inputs)
        named = dict(zip([each.name for each in signature.outputs], outputs, strict=True))
        accepted = exchange.headers.get("accept", "*/*")
        wanted = bodies.JSON if bodies.JSON in accepted else kind
        wanted = bodies.BINARY if any(each in accepted for each in bodies.BINARIES) else wanted
        found = bodies.reply(named, seed, wanted, model.name, model.digest)
        return Reply(found, media=wanted, headers={"x-model-digest": model.digest})

    async def _computed(self, exchange: Exchange, model: Model, function: str, inputs: Rows) -> Rows:
        """The outputs. Refused, 504, after the deadline, and Gone; the rows leave the queue then."""
        asked = model.batchers[function].submit(inputs)
        late = Refused(504, f"no result in {self.limits.deadline:g} s", fix="send fewer rows, or later")
        deadline = asyncio.get_running_loop().call_later(self.limits.deadline, asked.fail, late)
        gone = asyncio.ensure_future(exchange.gone())
        gone.add_done_callback(lambda _: asked.fail(Gone()))
        try:
            return await asked.found
        finally:
            deadline.cancel()
            gone.cancel()
            model.batchers[function].withdraw(asked)

    async def _swapped(self, exchange: Exchange) -> Reply:
        """Another export in a model's place: {"model": "vae", "folder": "..."}."""
        if self._token is None:
            raise Refused(403, "models are swapped with a token alone", "", "start the service with --token-file")
        try:
            asked = orjson.loads(await exchange.body(self.limits.body))
        except orjson.JSONDecodeError as error:
            raise bad("body", f"it is no JSON ({reason(error)})", "send strict JSON") from None
        for name in ("model", "folder"):
            if not isinstance(asked, dict) or not isinstance(asked.get(name), str):
                raise bad(name, "expected text", 'send {"model": "vae", "folder": "..."}')
        if asked["model"] not in self.models:
            raise Refused(404, f"there is no such model, but {', '.join(self.models)}", "model", "name one of them")
        return Reply(orjson.dumps(await self.swap(asked["model"], Path(asked["folder"]))))

    async def swap(self, name: str, folder: Path) -> dict[str, str]:
        """The new model's name and digest. Refused, 400, for a folder that is no sound export."""
        try:
            new = await self.models.swap(name, folder)
        except (InputError, OSError, ValueError) as error:
            raise bad("folder", reason(error), "export the run again, and send that folder") from None
        self.log.write("swap", model=name, digest=new.digest)
        return {"model": name, "digest": new.digest}

    def _check_token(self, exchange: Exchange) -> None:
        if self._token is None:
            return
        given = exchange.headers.get("authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), self._token.encode()):
            raise Refused(401, "the token is not that of this service", "authorization", "send Bearer and the token")

    def _health(self) -> Reply:
        """Red when inference stalls: then the process is to be started again."""
        stalled = [each for model in self.models.values() for each in model.stalled]
        return Reply(orjson.dumps({"ok": not stalled, "stalled": stalled}), 503 if stalled else 200)

    def _ready(self) -> Reply:
        open_ = [name for name, model in self.models.items() if model.circuit_open]
        ready = not self.draining and not open_
        return Reply(orjson.dumps({"ok": ready, "draining": self.draining, "open": open_}), 200 if ready else 503)

    def _metrics(self) -> Reply:
        queues = {(name, each): b.rows for name, model in self.models.items() for each, b in model.batchers.items()}
        circuits = {name: model.circuit_open for name, model in self.models.items()}
        return Reply(self.metrics.text(self.active, queues, circuits), media="text/plain; version=0.0.4; charset=utf-8")

    def _list(self) -> Reply:
        each = {name: {"digest": m.digest, "functions": list(m.functions)} for name, m in self.models.items()}
        return Reply(orjson.dumps({"models": each}))
