"""The queue in NATS JetStream, for the processes of many machines.

Jobs are a work-queue stream of bounded length that refuses what it has no room for, read by one durable consumer whose
messages are acknowledged one by one. Buckets of keys and values hold tries, dead letters and results. The server counts
deliveries, which says nothing of a job in a batch, and drops a message after the last: tries are counted here.
"""

import asyncio
import json
import re
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

import nats
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DiscardPolicy, RawStreamMsg, RetentionPolicy, StreamConfig
from nats.js.errors import (
    APIError,
    BucketNotFoundError,
    KeyNotFoundError,
    KeyWrongLastSequenceError,
    NoKeysError,
    NoStreamResponseError,
    NotFoundError,
    ServiceUnavailableError,
)
from nats.js.kv import KeyValue

from jensen.experiments.jobs.contract import LOST, Counts, Job, Letter, Taken, Work, check_id, work_of
from jensen.experiments.jobs.link import Link
from jensen.experiments.run.errors import InputError, reason, shown

T = TypeVar("T")
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
WORK, CONSUMER, ID = "work", "workers", "Job-Id"
FULL = 10077  # JetStream's error of a stream that has no room
WINDOW = 3600.0  # s in which an id that is put twice is one job; later it is computed again, to no effect
POLL = 0.2  # s that a worker waits for jobs at the server
UNANSWERED = TimeoutError, NoRespondersError, NoStreamResponseError, ServiceUnavailableError
ANSWER, PATIENCE = 3.0, 30.0  # s until a request is sent again, and until none has had an answer
CHUNK = 64  # requests under way at once


class Stores(NamedTuple):
    """Buckets of a queue: what its jobs are and their tries; dead letters; results."""

    state: KeyValue
    dead: KeyValue
    results: KeyValue


class JetStream:
    """A queue at a server. A process forked from one that has opened it must open it itself."""

    def __init__(self, name: str, server: str, work: Work | None = None):
        """Makes the queue where work is given and it is not there. InputError for a server that cannot be reached."""
        if not NAME.fullmatch(name):
            raise InputError(f"expected a queue's name of letters, digits, '_' and '-', got {shown(name)}: rename it")
        self.name, self.server, self._link = name, server, Link()
        self._stream, self._subject = f"jensen-{name}-jobs", f"jensen.{name}.jobs"
        try:
            self._run(self._connected, 0)
            self.work = self._run(lambda: self._opened(work), 0)
        except BaseException:
            self.close()
            raise

    def put(self, jobs: Sequence[Job]) -> list[Job]:
        for job in jobs:
            check_id(job.id)
            self._check_size(job.id, job.content)
        for start in range(0, len(jobs), CHUNK):
            part = jobs[start : start + CHUNK]
            placed = self._run(lambda part=part: _together(self._placed(job, job.id) for job in part))
            if not all(placed):
                return [*(job for job, is_in in zip(part, placed, strict=True) if not is_in), *jobs[start + CHUNK :]]
        return []

    def take(self, most: int) -> list[Taken]:
        found = self._run(lambda: self._fetched(most))
        return [Taken(_job(each), each.metadata.num_delivered > 1, each) for each in found]

    def prolong(self, taken: Sequence[Taken]) -> None:
        self._run(lambda: _together(each.receipt.in_progress() for each in taken))

    def begin(self, taken: Taken) -> bool:
        return self._run(lambda: self._begun(taken))

    def done(self, taken: Taken, result: bytes) -> None:
        self._check_size(taken.job.id, result)
        self._run(lambda: self._stored(taken, result))

    def fail(self, taken: Taken, reason: str) -> None:
        self._run(lambda: self._failed(taken, reason))

    def give_back(self, taken: Sequence[Taken]) -> None:
        self._run(lambda: _together(each.receipt.nak() for each in taken))

    def counts(self) -> Counts:
        return self._run(self._counted)

    def dead(self) -> list[Letter]:
        return [Letter(id_, *json.loads(value.partition(b"\n")[0]))
                for id_, value in self._run(lambda: _values(self._stores.dead))]  # fmt: skip

    def revive(self, ids: Sequence[str]) -> None:
        self._run(lambda: self._revived(ids))

    def results(self) -> Iterator[tuple[str, bytes]]:
        yield from self._run(lambda: _values(self._stores.results))

    def close(self) -> None:
        with suppress(NatsError, AttributeError):
            self._link.run(self._client.close())
        self._link.close()

    async def _connected(self) -> None:
        faults: list[Exception] = []

        async def note(fault: Exception) -> None:
            faults.append(fault)

        asked = nats.connect(self.server, error_cb=note, connect_timeout=2, max_reconnect_attempts=-1)
        try:
            self._client = await asyncio.wait_for(asked, ANSWER)
        except TimeoutError as error:  # of which the client has noted the reason
            raise faults[-1] if faults else error from error

    async def _opened(self, work: Work | None) -> Work:
        js = self._client.jetstream(timeout=ANSWER)
        if work is not None:
            await self._made(js, work)
        try:
            self._stores = Stores(*[await js.key_value(f"jensen-{self.name}-{each}") for each in Stores._fields])
            found = work_of((await self._stores.state.get(WORK)).value or b"", f"{self.name} at {self.server}")
            self._jobs = await js.pull_subscribe_bind(CONSUMER, self._stream)
        except (BucketNotFoundError, KeyNotFoundError) as error:
            raise InputError(f"{self.server} has no queue {self.name}: put jobs into it first") from error
        if work is not None and found != work:
            raise InputError(f"{self.name} is a queue of other jobs or limits, {found}: choose another")
        self._js = js
        await self._mended()
        return found

    async def _made(self, js: JetStreamContext, work: Work) -> None:
        """Each part unless it is there; the one that says what the jobs are is the last."""
        with suppress(BucketNotFoundError, KeyNotFoundError):
            await (await js.key_value(f"jensen-{self.name}-state")).get(WORK)
            return
        await js.add_stream(StreamConfig(
            self._stream, subjects=[self._subject], retention=RetentionPolicy.WORK_QUEUE, max_msgs=work.room,
            discard=DiscardPolicy.NEW, duplicate_window=WINDOW,
        ))  # fmt: skip
        await js.add_consumer(self._stream, ConsumerConfig(
            durable_name=CONSUMER, ack_policy=AckPolicy.EXPLICIT, ack_wait=work.lease, max_deliver=-1,
            max_ack_pending=-1,
        ))  # fmt: skip
        buckets = [await js.create_key_value(bucket=f"jensen-{self.name}-{each}") for each in Stores._fields]
        with suppress(KeyWrongLastSequenceError):
            await buckets[0].create(WORK, work.text.encode())

    async def _fetched(self, most: int) -> list[Msg]:
        with suppress(TimeoutError):
            return await self._jobs.fetch(most, POLL)
        return []

    async def _placed(self, job: Job, once: str) -> bool:
        """False where there is no room."""
        try:
            headers = {"Nats-Msg-Id": once, ID: job.id}
            await self._js.publish(self._subject, job.content, headers=headers, stream=self._stream)
        except APIError as error:
            if error.err_code != FULL:
                raise
            return False
        return True

    async def _begun(self, taken: Taken) -> bool:
        tries, why = await self._tries(taken.job.id)
        if tries >= self.work.tries:
            await self._buried(taken, tries, why)
            return False
        await self._tried(taken.job.id, tries + 1, LOST)
        return True

    async def _stored(self, taken: Taken, result: bytes) -> None:
        with suppress(KeyWrongLastSequenceError):
            await self._stores.results.create(taken.job.id, result)
        await taken.receipt.ack_sync(timeout=ANSWER)

    async def _failed(self, taken: Taken, why: str) -> None:
        tries, _ = await self._tries(taken.job.id)
        if tries >= self.work.tries:
            await self._buried(taken, tries, why)
        else:
            await self._tried(taken.job.id, tries, why)
            await taken.receipt.nak(delay=self.work.pause(tries))

    async def _buried(self, taken: Taken, tries: int, why: str) -> None:
        head = json.dumps([tries, why]).encode()
        await self._stores.dead.put(taken.job.id, head + b"\n" + taken.job.content)
        await taken.receipt.term()

    async def _tries(self, id_: str) -> tuple[int, str]:
        try:
            return tuple(json.loads((await self._stores.state.get(f"tries.{id_}")).value or b""))
        except KeyNotFoundError:
            return 0, ""

    async def _tried(self, id_: str, tries: int, why: str) -> None:
        await self._stores.state.put(f"tries.{id_}", json.dumps([tries, why]).encode())

    async def _counted(self) -> Counts:
        """By the consumer: a server that was killed may still have messages that it has had acknowledgements of."""
        consumer = await self._jobs.consumer_info()
        done, dead = [(await each.status()).values for each in (self._stores.results, self._stores.dead)]
        return Counts(consumer.num_pending or 0, consumer.num_ack_pending or 0, done, dead)

    async def _mended(self) -> None:
        """Removes those messages, which nobody is handed any more and which take room; a job among them is put anew."""
        stream, consumer = await self._js.stream_info(self._stream), await self._jobs.consumer_info()
        floor = consumer.ack_floor.stream_seq if consumer.ack_floor else 0
        place = stream.state.first_seq
        with suppress(NotFoundError):
            while place <= floor:
                message = await self._js.get_msg(self._stream, place, self._subject, next=True)
                if message.seq is None or message.seq > floor:
                    return
                job = _job(message)
                if not await self._settled(job.id):
                    await self._placed(job, f"{job.id}:{message.seq}")
                with suppress(APIError):  # where another process has been here
                    await self._js.delete_msg(self._stream, message.seq)
                place = message.seq + 1

    async def _settled(self, id_: str) -> bool:
        """Whether it is done, or dead."""
        for bucket in (self._stores.results, self._stores.dead):
            with suppress(KeyNotFoundError):
                await bucket.get(id_)
                return True
        return False

    async def _revived(self, ids: Sequence[str]) -> None:
        for id_ in ids:
            try:
                letter = await self._stores.dead.get(id_)
            except NotFoundError as error:
                raise InputError(f"{shown(id_)} is no dead letter of {self.name}: see its status") from error
            _, _, content = (letter.value or b"").partition(b"\n")
            await self._tried(id_, 0, "")
            if not await self._placed(Job(id_, content), f"{id_}:{letter.revision}"):
                raise InputError(f"{self.name} has no room for {len(ids)} jobs: revive fewer, or start workers")
            bucket = f"jensen-{self.name}-dead"
            await self._js.purge_stream(f"KV_{bucket}", subject=f"$KV.{bucket}.{id_}")  # no marker, that would count

    def _check_size(self, id_: str, content: bytes) -> None:
        if len(content) + 2**12 > self._client.max_payload:  # with its headers
            most = f"{self._client.max_payload} bytes"
            raise InputError(f"{id_} has {len(content)} bytes and the server takes {most}: raise its max_payload")

    def _run(self, ask: Callable[[], Coroutine[Any, Any, T]], patience: float = PATIENCE) -> T:
        """Asked again where no answer comes, for the server may be starting anew: no state is the worse for it."""
        end = time.monotonic() + patience
        while True:
            try:
                return self._link.run(ask())
            except (NatsError, OSError, TimeoutError) as error:
                if not isinstance(error, UNANSWERED) or time.monotonic() > end:
                    said = f"{type(error).__name__}: {reason(error)}): start nats-server --jetstream, or mend that"
                    raise InputError(f"{self.server} does not serve the queue {self.name} ({said}") from error
                time.sleep(POLL)


def _job(message: Msg | RawStreamMsg) -> Job:
    return Job((message.headers or {}).get(ID, ""), message.data or b"")


async def _together(each: Any) -> list[Any]:
    return await asyncio.gather(*each)


async def _keys(bucket: KeyValue) -> list[str]:
    try:
        return sorted(await bucket.keys())
    except NoKeysError:
        return []


async def _values(bucket: KeyValue) -> list[tuple[str, bytes]]:
    names, found = await _keys(bucket), []
    for start in range(0, len(names), CHUNK):
        part = names[start : start + CHUNK]
        entries = await _together(bucket.get(name) for name in part)
        found += [(name, entry.value or b"") for name, entry in zip(part, entries, strict=True)]
    return found
