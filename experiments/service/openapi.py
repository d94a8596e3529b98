"""The service's OpenAPI document, whose schemas are those of the functions in service."""

from collections.abc import Iterator
from typing import Any

from jensen.experiments.deployment.manifest import Argument, Signature
from jensen.experiments.service.bodies import BINARY, COUNT, JSON, KEY, SEED, SEEDS
from jensen.experiments.service.models import Models

ERRORS = {
    400: "The body is not what the function takes", 401: "No token", 404: "No such model or function",
    408: "The body did not come", 413: "Too many bytes or rows", 415: "A type of body that is not read",
    422: "The result is no number", 429: "The queue is full", 500: "The model failed on these rows",
    503: "Too many requests, an open circuit, or a service that is closing", 504: "No result before the deadline",
}  # fmt: skip
WHOLE = {"type": "integer", "minimum": 0, "maximum": SEEDS - 1}
ERROR = {"type": "object", "properties": {name: {"type": "string"} for name in ("error", "field", "fix")}}


def document(models: Models, most: int) -> dict[str, Any]:
    """Of the models that are in service; a request has at most `most` rows."""
    paths: dict[str, Any] = {}
    for name, model in models.items():
        for each, function in model.functions.items():
            paths[f"/v1/{name}/{each}"] = {"post": _operation(name, each, function, most)}
    for path, about in (("healthz", "Whether inference goes on"), ("readyz", "Whether requests are taken"),
                        ("metrics", "Prometheus' metrics"), ("v1", "Models with their digests")):  # fmt: skip
        paths[f"/{path}"] = {"get": {"summary": about, "responses": {"200": {"description": about}}}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "jensen", "version": "1"},
        "paths": paths,
        "components": {"schemas": {"Error": ERROR}},
    }


def page(models: Models) -> bytes:
    """A page of the functions, which needs no other host."""
    return "".join(["<!doctype html><meta charset=utf-8><title>jensen</title>", *_lines(models)]).encode()


def _lines(models: Models) -> Iterator[str]:
    yield "<h1>Functions</h1><p><a href=/openapi.json>openapi.json</a></p>"
    for name, model in models.items():
        for each, function in model.functions.items():
            given, found = (", ".join(f"{a.name} {a.axes} {a.dtype}" for a in part)
                            for part in (function.inputs, function.outputs))  # fmt: skip
            yield f"<h2>POST /v1/{name}/{each}</h2><p>{function.about}</p><p>{given} &rarr; {found}</p>"


def _operation(name: str, function: str, signature: Signature, most: int) -> dict[str, Any]:
    data = [argument for argument in signature.inputs if argument.name != KEY]
    properties = {argument.name: _rows(argument, most) for argument in data}
    if len(data) < len(signature.inputs):
        properties |= {SEED: WHOLE} | ({} if data else {COUNT: {"type": "integer", "minimum": 1, "maximum": most}})
    required = [argument.name for argument in data]
    body = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    outputs = {"type": "object", "properties": {each.name: _rows(each, most) for each in signature.outputs}}
    head = {"model": {"type": "string"}, "digest": {"type": "string"}, SEED: WHOLE}
    result = {"type": "object", "properties": {**head, "outputs": outputs}}
    errors = {
        str(status): {"description": about, "content": {JSON: {"schema": {"$ref": "#/components/schemas/Error"}}}}
        for status, about in ERRORS.items()
    }
    return {
        "operationId": f"{name}_{function}",
        "summary": signature.about,
        "requestBody": {"required": True, "content": _content(body)},
        "responses": {"200": {"description": "One row for each", "content": _content(result)}, **errors},
    }


def _content(schema: dict[str, Any]) -> dict[str, Any]:
    return {JSON: {"schema": schema}, BINARY: {"schema": {"type": "string", "format": "binary"}}}


def _rows(argument: Argument, most: int) -> dict[str, Any]:
    whole = argument.whole or argument.dtype == "int64"
    schema: dict[str, Any] = {"type": "integer" if whole else "number"}
    bounds = {"minimum": argument.low, "maximum": argument.high}
    schema |= {name: bound for name, bound in bounds.items() if bound is not None}
    for size in reversed(argument.shape):
        schema = {"type": "array", "items": schema, "minItems": size, "maxItems": size}
    return {"type": "array", "items": schema, "minItems": 1, "maxItems": most, "description": argument.about}
