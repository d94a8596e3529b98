"""The service as an ASGI application: what is asked, by whom, whether there is room for it, and the reply.

Room is looked for before a body is read: under overload a refusal costs no parsing.
"""

import asyncio
import hmac
import time
from collections.abc import MutableMapping, Sequence
from math import ceil
from typing import Any

import orjson

from jensen.experiments.deployment.padding import Arrays
from jensen.experiments.run.errors import shown
from jensen.experiments.service import bodies, generate
from jensen.experiments.service.administration import Administration
from jensen.experiments.service.batching import Asked
from jensen.experiments.service.errors import Gone, Refused
from jensen.experiments.service.exchange import Exchange, Receive, Reply, Send, refusal
from jensen.experiments.service.generation import GENERATE
from jensen.experiments.service.json_process import SMALL, JsonReader
from jensen.experiments.service.models import Model, Models
from jensen.experiments.service.observed import Log, Metrics
from jensen.experiments.service.pages import Pages
from jensen.experiments.service.rates import Rates
from jensen.experiments.service.settings import Limits

Place = tuple[str, str, str]  # of metrics: a model, its version and a function, or a page
NOWHERE: Place = ("", "", "")
LEFT = 499  # the status, in logs and metrics, of a request whose client has gone


class Service:
    """POST /v1/MODEL/FUNCTION, /v1/MODEL/versions/NUMBER/FUNCTION and /admin/...; GET /healthz, /docs, ..."""

    def __init__(self, models: Models, limits: Limits, metrics: Metrics, log: Log, tokens: Sequence[str] = ()):
        """tokens: of clients, any of which a request must bring; none is asked for where there are none."""
        self.models, self.limits, self.metrics, self.log = models, limits, metrics, log
        self.active = 0  # requests that wait for a result
        self.draining = False
        self._tokens, self._json = tokens, JsonReader(limits.deadline)
        self._rates = Rates(limits.rate, limits.burst) if limits.rate else None
        self._pages = Pages(models, metrics, limits.rows, lambda: self.draining, lambda: self.active).by_path
        self.administration = Administration(models, log)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        started = time.monotonic()
        exchange = Exchange(scope, receive, send, self.limits.read)
        place, error = NOWHERE, None
        try:
            place, reply = await self._routed(exchange)
        except Refused as refused:
            reply, place, error = refusal(refused), self._place(exchange.path), refused.error
        except Gone:
            reply, place = Reply(b"", LEFT), self._place(exchange.path)
        except Exception as fault:  # a fault of the service's own: the client gets an answer, the log the reason
            error = f"{type(fault).__name__}: {fault}"
            self.log.write("fault", id=exchange.id, path=shown(exchange.path), error=error)
            reply, place = refusal(Refused(500, "the service failed", fix="report it with the id")), NOWHERE
        status = reply.status
        if status != LEFT and not exchange.begun:
            try:
                await exchange.send(reply)
            except Gone:
                status = LEFT
        seconds = time.monotonic() - started
        self.metrics.replied(*place, status, seconds)
        self.log.write("request", id=exchange.id, client=exchange.client, method=exchange.method,
                       path=shown(exchange.path), status=status, digest=reply.headers.get("x-model-digest"),
                       error=error, ms=round(1000 * seconds, 2))  # fmt: skip

    async def _routed(self, exchange: Exchange) -> tuple[Place, Reply]:
        path, admin = exchange.path, self.administration.by_path
        get, post = path in self._pages, path in admin or path.startswith("/v1/")
        if not get and not post:
            raise Refused(404, f"there is no {shown(path)}", "path", "see /docs")
        methods = ("GET", "HEAD") if get else ("POST",)
        if exchange.method not in methods:
            error, allow = f"expected {methods[0]}, got {shown(exchange.method)}", {"allow": ", ".join(methods)}
            raise Refused(405, error, "method", f"send {methods[0]}", headers=allow)
        if get:
            return _page(path), self._pages[path]()
        self._check_token(exchange)
        self._check_rate(exchange)
        if path in admin:
            if not self._tokens:
                fix = "start the service with --token-file"
                raise Refused(403, "models are put in and taken out with a token alone", "", fix)
            return _page(path), Reply(orjson.dumps(await admin[path](await exchange.body(SMALL))))
        model, function = self._found(path)
        model.in_flight += 1
        self.active += 1
        try:
            return model.labels(function), await self._inferred(exchange, model, function)
        finally:
            self.active -= 1
            model.in_flight -= 1

    def _found(self, path: str) -> tuple[Model, str]:
        _, _, name, *rest = path.split("/")
        if len(rest) == 3 and rest[0] == "versions":
            model, function = self.models.version(name, rest[1]), rest[2]
        else:
            model, function = self.models[name], "/".join(rest)
        if function not in model.names:
            error = f"{name} has no such function, but {', '.join(model.names)}"
            raise Refused(404, error, "function", "send it to one of them")
        return model, function

    def _place(self, path: str) -> Place:
        """What metrics count a refusal under: only names that there are."""
        if path.startswith("/v1/"):
            try:
                model, function = self._found(path)
            except Refused:
                return NOWHERE
            return model.labels(function)
        return _page(path) if path in self._pages else NOWHERE

    async def _inferred(self, exchange: Exchange, model: Model, function: str) -> Reply:
        if self.draining:
            raise Refused(503, "the service is closing", fix="send it to another", retry_after=1)
        if self.active > self.limits.requests:
            raise Refused(503, f"{self.limits.requests} requests are under way", fix="send it later", retry_after=1)
        if model.generator is not None and function == GENERATE:
            return await generate.answered(
                exchange, model.generator, self.limits, self._json, model.head, lambda: self.draining
            )
        batcher, signature = model.batchers[function], model.functions[function]
        batcher.check_room()
        exchange.check_length(self.limits.body)
        kind = bodies.media(exchange.headers.get("content-type", ""), exchange.headers.get("content-encoding", ""))
        content = await exchange.body(self.limits.body)
        values = await self._json.read(content) if kind == bodies.JSON else bodies.binary(content)
        inputs, seed = bodies.given(values, kind, signature, self.limits.rows)
        outputs = await self._computed(exchange, model, function, inputs)
        named = dict(zip([each.name for each in signature.outputs], outputs, strict=True))
        accepted = exchange.headers.get("accept", "*/*")
        wanted = bodies.JSON if bodies.JSON in accepted else kind
        wanted = bodies.BINARY if any(each in accepted for each in bodies.BINARIES) else wanted
        found = await bodies.reply(named, seed, wanted, model.head)
        headers = {"x-model-version": str(model.version.number), "x-model-digest": model.digest}
        return Reply(found, media=wanted, headers=headers)

    async def _computed(self, exchange: Exchange, model: Model, function: str, inputs: Arrays) -> Arrays:
        """The outputs. Refused, 504, after the deadline, and Gone; the rows leave the queue then."""
        batcher = model.batchers[function]
        asked = batcher.submit(inputs)
        deadline = asyncio.get_running_loop().call_later(self.limits.deadline, self._late, asked)
        try:
            with exchange.leaving(lambda: asked.fail(Gone())):
                return await asked.found
        finally:
            deadline.cancel()
            batcher.withdraw(asked)

    def _late(self, asked: Asked) -> None:
        asked.fail(Refused(504, f"no result in {self.limits.deadline:g} s", fix="send fewer rows, or later"))

    def close(self) -> None:
        """Ends what it has started."""
        self._json.close()

    def refused(self, status: int) -> None:
        """Counts a connection that ended before it had a request."""
        self.metrics.replied(*NOWHERE, status, 0.0)
        self.log.write("refused", status=status)

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


def _page(path: str) -> Place:
    return "", "", path
