"""POST /v1/MODEL/generate: a text in one reply, or streamed as server-sent events or as lines of JSON.

    accept: text/event-stream       data: {"text": "th"}                        one event for each symbol that shows
    accept: application/jsonl       {"text": "th"}                              one line likewise
    accept: application/json        {"text": "the whole", "reason": "length", ...}

The last event or line says the reason of the end, and what the text is of.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import orjson

from jensen.experiments.service import prompts
from jensen.experiments.service.bodies import JSON
from jensen.experiments.service.errors import Gone, Refused
from jensen.experiments.service.exchange import Exchange, Reply
from jensen.experiments.service.generation import Generator
from jensen.experiments.service.json_process import JsonReader
from jensen.experiments.service.prompts import Prompt
from jensen.experiments.service.settings import Limits
from jensen.experiments.service.streams import CLOSING, FAILED, LENGTH, Stream

EVENTS, LINES = "text/event-stream", "application/jsonl"
STREAMED: dict[str, Callable[[bytes], bytes]] = {
    EVENTS: lambda line: b"data: " + line + b"\n\n",
    LINES: lambda line: line + b"\n",
    "application/x-ndjson": lambda line: line + b"\n",
}
ENDS = {
    "deadline": Refused(504, "the text was not done in time", prompts.TOKENS, "ask for fewer, or later"),
    CLOSING: Refused(503, "the service is closing", fix="send it to another", retry_after=1),
    FAILED: Refused(500, "the model failed", fix="send it again"),
}


async def answered(
    exchange: Exchange,
    generator: Generator,
    limits: Limits,
    json: JsonReader,
    about: Mapping[str, Any],
    closing: Callable[[], bool],
) -> Reply:
    """The reply, which has been sent where it was streamed. Refused; Gone.

    json: reads its body; about: what its last line says too; closing: whether the service is, which ends a stream at
    its next symbol.
    """
    generator.check_room()
    exchange.check_length(limits.body)
    kind = exchange.headers.get("content-type", JSON).partition(";")[0].strip().lower()
    if kind != JSON:
        raise Refused(415, f"got a body of another type than {JSON}", "content-type", f"send {JSON}")
    values = await json.read(await exchange.body(limits.body))
    prompt = prompts.read(values, generator.sequences, generator.alphabet, generator.longest, limits.tokens)
    accepted = exchange.headers.get("accept", "")
    media = next((each for each in STREAMED if each in accepted), None)
    stream = generator.submit(prompt, limits.tokens + 1 if media is None else limits.buffer)
    try:
        with exchange.leaving(lambda: stream.end("gone")):
            await _begun(stream, limits.deadline)
            if media is not None and stream.reason not in ENDS:
                lines = _lines(stream, {**about, prompts.SEED: prompt.seed}, STREAMED[media], closing)
                reply = Reply(b"", media=media, headers=_headers(about))
                await exchange.stream(reply, lines)
                return reply
            text = "".join([part async for part in stream.parts()])
            return Reply(_whole(text, stream, about, prompt), headers=_headers(about))
    finally:
        stream.end("gone")


async def _begun(stream: Stream, seconds: float) -> None:
    """Refused, 504, where nothing of it is there in time; what has failed by then has a status."""
    try:
        async with asyncio.timeout(seconds):
            await stream.begun()
    except TimeoutError:
        raise Refused(504, f"no text in {seconds:g} s", fix="send it later") from None
    _check(stream)


def _check(stream: Stream) -> None:
    """Refused or Gone, for what did not come to its end."""
    if stream.reason == "gone":
        raise Gone
    if stream.reason in ENDS:
        raise stream.error or ENDS[stream.reason]


async def _lines(
    stream: Stream, about: Mapping[str, Any], framed: Callable[[bytes], bytes], closing: Callable[[], bool]
) -> AsyncIterator[bytes]:
    async for text in stream.parts():
        yield framed(orjson.dumps({"text": text}))
        if closing():
            stream.end(CLOSING)
    end = {"reason": stream.reason, "symbols": stream.symbols, **about}
    refused = stream.error or ENDS.get(str(stream.reason))
    yield framed(orjson.dumps(end if refused is None else {**end, **refused.content}))


def _whole(text: str, stream: Stream, about: Mapping[str, Any], prompt: Prompt) -> bytes:
    _check(stream)
    assert stream.reason == LENGTH
    end = {"reason": stream.reason, "symbols": stream.symbols}
    return orjson.dumps({**about, prompts.SEED: prompt.seed, "text": text, **end})


def _headers(about: Mapping[str, Any]) -> dict[str, str]:
    return {f"x-model-{name}": str(about[name]) for name in ("version", "digest")}
