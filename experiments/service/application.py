"""The service as an ASGI application: what is asked, by whom, whether there is room for it, and the reply.

Room is looked for before a body is read: under overload a refusal costs no parsing.
"""

import asyncio
import hmac
import time
from collections.abc import Callable, MutableMapping, Sequence
from math import ceil
from pathlib import Path
from typing import Any

import orjson

from jensen.experiments.run.errors import InputError, reason, shown
from jensen.experiments.run.files import Json
from jensen.experiments.service import bodies, openapi
from jensen.experiments.service.batching import Rows
from jensen.experiments.service.errors import Gone, Refused, bad
from jensen.experiments.service.exchange import Exchange, Receive, Reply, Send, refusal
from jensen.experiments.service.models import Model, Models
from jensen.experiments.service.observed import Log, Metrics
from jensen.experiments.service.rates import Rates
from jensen.experiments.service.settings import Limits

LEFT = 499  # the status, in logs and metrics, of a request whose client has gone


class Service:
    """POST /v1/MODEL/FUNCTION and /admin/swap; GET /healthz, /readyz, /metrics, /v1, /openapi.json and /docs."""

    def __init__(self, models: Models, limits: Limits, metrics: Metrics, log: Log, tokens: Sequence[str] = ()):
        """tokens: of clients, any of which a request must bring; none is asked for where there are none."""
        self.models, self.limits, self.metrics, self.log = models, limits, metrics, log
        self.active = 0  # requests that wait for a result
        self.draining = False
        self._tokens = tokens
        self._rates = Rates(limits.rate, limits.burst) if limits.rate else None
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
        place, error = ("", ""), None
        try:
            place, reply = await self._routed(exchange)
        except Refused as refused:
            reply, place, error = refusal(refused), self._place(exchange.path), refused.error
        except Gone:
            reply, place = Reply(b"", LEFT), self._place(exchange.path)
        except Exception as fault:  # a fault of the service's own: the client gets an answer, the log the reason
            error = f"{type(fault).__name__}: {fault}"
            self.log.write("fault", id=exchange.id, path=shown(exchange.path), error=error)
            reply, place = refusal(Refused(500, "the service failed", fix="report it with the id")), ("", "")
        status = reply.status
        if status != LEFT:
            try:
                await exchange.send(reply)
            except Gone:
                status = LEFT
        seconds = time.monotonic() - started
        self.metrics.replied(*place, status, seconds)
        self.log.write("request", id=exchange.id, client=exchange.client, method=exchange.method,
                       path=shown(exchange.path), status=status, digest=reply.headers.get("x-model-digest"),
                       error=error, ms=round(1000 * seconds, 2))  # fmt: skip

    async def _routed(self, exchange: Exchange) -> tuple[tuple[str, str], Reply]:
        """A place, for metrics, and the reply."""
        path = exchange.path
        get, post = path in self._pages, path == "/admin/swap" or path.startswith("/v1/")
        if not get and not post:
            raise Refused(404, f"there is no {shown(path)}", "path", "see /docs")
        methods = ("GET", "HEAD") if get else ("POST",)
        if exchange.method not in methods:
            error, allow = f"expected {methods[0]}, got {shown(exchange.method)}", {"allow": ", ".join(methods)}
            raise Refused(405, error, "method", f"send {methods[0]}", headers=allow)
        if get:
            return ("", path), self._pages[path]()
        self._check_token(exchange)
        self._check_rate(exchange)
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
        kind = bodies.media(exchange.headers.get("content-type", ""), exchange.headers.get("content-encoding", ""))
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
        if not self._tokens:
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

    def refused(self, status: int) -> None:
        """Counts a connection that ended before it had a request."""
        self.metrics.replied("", "", status, 0.0)
        self.log.write("refused", status=status)

    async def swap(self, name: str, folder: Path) -> dict[str, str]:
        """The new model's name and digest. Refused, 400, for a folder that is no sound export."""
        try:
            new = await self.models.swap(name, folder)
        except (InputError, OSError, ValueError) as error:
            raise bad("folder", reason(error), "export the run again, and send that folder") from None
        self.log.write("swap", model=name, digest=new.digest)
        return {"model": name, "digest": new.digest}

    def _check_token(self, exchange: Exchange) -> None:
        if not self._tokens:
            return
        scheme, _, given = exchange.headers.get("authorization", "").partition(" ")
        known = [hmac.compare_digest(given.encode(), each.encode()) for each in self._tokens]  # each, for equal times
        if scheme.lower() != "bearer" or not any(known):
            error, ask = "the token is none of this service's", {"www-authenticate": "Bearer"}
            raise Refused(401, error, "authorization", "send Bearer and a token", headers=ask)
        exchange.client = f"token {known.index(True) + 1}"

    def _check_rate(self, exchange: Exchange) -> None:
        if self._rates is None:
            return
        wait, headers = self._rates.take(exchange.client)
        exchange.also |= headers
        if wait:
            error = f"more than {self.limits.burst} requests at once and {self.limits.rate:g} a second after them"
            raise Refused(429, error, fix="send fewer", retry_after=ceil(wait))

    def _health(self) -> Reply:
        """Red when inference stalls: then the process is to be started again."""
        stalled = [each for model in self.models.values() for each in model.stalled]
        return _state(not stalled, stalled=stalled)

    def _ready(self) -> Reply:
        open_ = [name for name, model in self.models.items() if model.circuit_open]
        ready = not self.draining and not open_
        return _state(ready, draining=self.draining, open=open_)

    def _metrics(self) -> Reply:
        queues = {(name, each): b.rows for name, model in self.models.items() for each, b in model.batchers.items()}
        circuits = {name: model.circuit_open for name, model in self.models.items()}
        return Reply(self.metrics.text(self.active, queues, circuits), media="text/plain; version=0.0.4; charset=utf-8")

    def _list(self) -> Reply:
        each = {name: {"digest": m.digest, "functions": list(m.functions)} for name, m in self.models.items()}
        return Reply(orjson.dumps({"models": each}))


def _state(ok: bool, **values: Json) -> Reply:
    """200, or 503 with the reasons."""
    content = orjson.dumps({"ok": ok, **values})
    return Reply(content) if ok else Reply(content, 503, headers={"retry-after": "1"})
