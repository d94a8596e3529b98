"""The service's OpenAPI document, whose schemas are those of the functions in service."""

from collections.abc import Iterator
from typing import Any

from jensen.experiments.deployment.choosing import CHOICE
from jensen.experiments.deployment.manifest import Argument, Signature
from jensen.experiments.service.bodies import BINARY, COUNT, JSON, KEY, SEED, SEEDS
from jensen.experiments.service.generate import STREAMED
from jensen.experiments.service.generation import GENERATE, Generator
from jensen.experiments.service.models import Model, Models
from jensen.experiments.service.prompts import NAMES, PROMPT, TOKENS

ERRORS = {
    400: "The body is not what the function takes", 401: "No token", 403: "A service without tokens",
    404: "No such model or function", 405: "Another method", 408: "The body did not come",
    413: "Too many bytes or rows", 415: "A type of body that is not read", 422: "The result is no number",
    429: "The queue is full, or the client asks too often", 431: "Headers without an end",
    500: "The model failed on these rows", 504: "No result before the deadline",
    503: "Too many requests, an open circuit, or a service that is closing",
}  # fmt: skip
AGAIN = {"retry-after": {"description": "Seconds to wait", "schema": {"type": "integer", "minimum": 1}}}
PAGES = {
    "healthz": ("Whether inference goes on", "A batch runs for too long: start the process again"),
    "readyz": ("Whether requests are taken", "A circuit is open, or the service closes"),
    "metrics": ("Prometheus' metrics", None), "v1": ("Models with their digests", None),
    "openapi.json": ("This document", None), "docs": ("A page of the functions", None),
}  # fmt: skip
NAMED = {"model": {"type": "string"}, "version": {"type": "integer", "minimum": 1}}
ADMIN = {
    "swap": ("Another export in a model's place", {**NAMED, "folder": {"type": "string"}}, ["model", "folder"]),
    "retire": ("A version is taken out of service", NAMED, ["model", "version"]),
}
WHOLE = {"type": "integer", "minimum": 0, "maximum": SEEDS - 1}
HEAD = {"model": {"type": "string"}, "version": {"type": "integer"}, "digest": {"type": "string"}, SEED: WHOLE}
TEXT = "a text, in one reply or streamed"
ERROR = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in ("error", "field", "fix")},
    "required": ["error", "field", "fix"],
}


def document(models: Models, most: int) -> dict[str, Any]:
    """Of the models that are in service; a request has at most `most` rows."""
    paths: dict[str, Any] = {}
    for path, function in _paths(models):
        paths[path] = {"post": _operation(path, function, most)}
    for path, writer in _writers(models):
        paths[path] = {"post": _written(path, writer)}
    for path, (about, red) in PAGES.items():
        unready = {"503": {"description": red, "headers": AGAIN}} if red else {}
        paths[f"/{path}"] = {"get": {"summary": about, "responses": {"200": {"description": about}, **unready}}}
    for path, (about, given, required) in ADMIN.items():
        body = {"type": "object", "properties": given, "required": required}
        found = {"type": "object", "properties": {**NAMED, "digest": {"type": "string"}}}
        paths[f"/admin/{path}"] = {"post": _posted(f"admin/{path}", about, _json(body), about, _json(found))}
    return {
        "openapi": "3.1.0",
        "info": {"title": "jensen", "version": "1"},
        "paths": paths,
        "components": {"schemas": {"Error": ERROR}, "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    }


def _paths(models: Models) -> Iterator[tuple[str, Signature]]:
    for head, model in _heads(models).items():
        for name, function in model.functions.items():
            yield f"{head}/{name}", function


def _heads(models: Models) -> dict[str, Model]:
    """The newest of each name without its number, and every version with it."""
    heads = {f"/v1/{name}": model for name, model in models.items()}
    return heads | {f"/v1/{model.version.name}/versions/{model.version.number}": model for model in models.every}


def _writers(models: Models) -> Iterator[tuple[str, Generator]]:
    """Likewise, of those that draw text."""
    for head, model in _heads(models).items():
        if model.generator is not None:
            yield f"{head}/{GENERATE}", model.generator


def page(models: Models) -> bytes:
    """A page of the functions, which needs no other host."""
    return "".join(["<!doctype html><meta charset=utf-8><title>jensen</title>", *_lines(models)]).encode()


def _lines(models: Models) -> Iterator[str]:
    yield "<h1>Functions</h1><p><a href=/openapi.json>openapi.json</a></p>"
    for path, function in _paths(models):
        given, found = (", ".join(f"{a.name} {a.axes} {a.dtype}" for a in part)
                        for part in (function.inputs, function.outputs))  # fmt: skip
        yield f"<h2>POST {path}</h2><p>{function.about}</p><p>{given} &rarr; {found}</p>"
    for path, _ in _writers(models):
        yield f"<h2>POST {path}</h2><p>{TEXT}</p><p>{', '.join(NAMES)} &rarr; text</p>"


def _operation(path: str, signature: Signature, most: int) -> dict[str, Any]:
    data = [argument for argument in signature.inputs if argument.name != KEY]
    properties = {argument.name: _rows(argument, most) for argument in data}
    if len(data) < len(signature.inputs):
        properties |= {SEED: WHOLE} | ({} if data else {COUNT: {"type": "integer", "minimum": 1, "maximum": most}})
    required = [argument.name for argument in data]
    body = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    found = {each.name: _rows(each, most) for each in signature.outputs}
    outputs = {"type": "object", "properties": found, "required": list(found)}
    result = {"type": "object", "properties": {**HEAD, "outputs": outputs}, "required": [*NAMED, "digest", "outputs"]}
    return _posted(path, signature.about, _content(body), "One row for each", _content(result))


def _written(path: str, writer: Generator) -> dict[str, Any]:
    chosen = {each.name: _number(each) for each in CHOICE}
    text = {"type": "string", "description": f"of at most {writer.longest} {writer.alphabet.unit}"}
    properties = {PROMPT: text, TOKENS: {"type": "integer", "minimum": 1}, SEED: WHOLE, **chosen}
    body = {"type": "object", "properties": properties, "additionalProperties": False}
    ends = {"text": {"type": "string"}, "reason": {"type": "string"}, "symbols": {"type": "integer"}}
    whole = _json({"type": "object", "properties": {**HEAD, **ends}})
    streamed = {media: {"schema": {"type": "string"}} for media in STREAMED}
    return _posted(path, TEXT, _json(body), "The text, or its parts as they come", whole | streamed)


def _posted(path: str, about: str, body: dict[str, Any], found: str, content: dict[str, Any]) -> dict[str, Any]:
    refused = _json({"$ref": "#/components/schemas/Error"})
    errors: dict[str, Any] = {str(status): {"description": why, "content": refused} for status, why in ERRORS.items()}
    for status in ("429", "503"):
        errors[status]["headers"] = AGAIN
    return {
        "operationId": path.removeprefix("/v1/").replace("/", "_"),
        "summary": about,
        "requestBody": {"required": True, "content": body},
        "responses": {"200": {"description": found, "content": content}, **errors},
        "security": [{}, {"token": []}],  # none where the service has none
    }


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {JSON: {"schema": schema}}


def _content(schema: dict[str, Any]) -> dict[str, Any]:
    return {**_json(schema), BINARY: {"schema": {"type": "string", "format": "binary"}}}


def _number(argument: Argument) -> dict[str, Any]:
    whole = argument.whole or argument.dtype == "int64"
    schema: dict[str, Any] = {"type": "integer" if whole else "number", "description": argument.about}
    bounds = {"minimum": argument.low, "maximum": argument.high}
    return schema | {name: bound for name, bound in bounds.items() if bound is not None}


def _rows(argument: Argument, most: int) -> dict[str, Any]:
    schema = {name: value for name, value in _number(argument).items() if name != "description"}
    for size in reversed(argument.shape):
        schema = {"type": "array", "items": schema, "minItems": size, "maxItems": size}
    return {"type": "array", "items": schema, "minItems": 1, "maxItems": most, "description": argument.about}
