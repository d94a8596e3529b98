"""What a NATS server keeps of a queue: a stream, its consumer and three buckets of keys and values.

Jobs are a work-queue stream of bounded length that refuses what it has no room for, read by one durable consumer whose
messages are acknowledged one by one. The buckets hold tries, dead letters and results. The server counts deliveries,
which says nothing of a job in a batch, and drops a message after the last: tries are counted here.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DiscardPolicy, RawStreamMsg, RetentionPolicy, StreamConfig
from nats.js.errors import (
    APIError,
    BucketNotFoundError,
    KeyNotFoundError,
    KeyWrongLastSequenceError,
    NoKeysError,
    NotFoundError,
)
from nats.js.kv import KeyValue

from jensen.experiments.jobs.contract import LOST, Counts, Job, Taken, Work, work_of
from jensen.experiments.run.errors import InputError, shown

T = TypeVar("T")
WORK, CONSUMER, ID = "work", "workers", "Job-Id"
FULL = 10077  # JetStream's error of a stream that has no room
WINDOW = 3600.0  # s in which an id that is put twice is one job; later it is computed again, to no effect
POLL = 0.2  # s that a worker waits for jobs at the server
CHUNK = 64  # requests under way at once
BUCKETS = "state", "dead", "results"


@dataclass
class Lease:
    """A delivery of a job, and when others may have it: the server would take a late word of it for one of theirs."""

    message: Msg
    end: float

    @property
    def runs(self) -> bool:
        return time.monotonic() < self.end


@dataclass(frozen=True)
class Streams:
    """Of one queue, which `opened` finds."""

    name: str
    work: Work
    js: JetStreamContext
    jobs: JetStreamContext.PullSubscription
    state: KeyValue  # what the jobs are, and their tries
    dead: KeyValue
    results: KeyValue

    @property
    def stream(self) -> str:
        return _stream(self.name)

    @property
    def subject(self) -> str:
        return _subject(self.name)

    async def fetched(self, most: int) -> list[Taken]:
        with suppress(TimeoutError):
            found, end = await self.jobs.fetch(most, POLL), time.monotonic() + self.work.lease
            return [Taken(job_of(each), each.metadata.num_delivered > 1, Lease(each, end)) for each in found]
        return []

    async def prolonged(self, taken: Sequence[Taken]) -> None:
        running = [each.receipt for each in taken if each.receipt.runs]
        await together(lease.message.in_progress() for lease in running)
        for lease in running:
            lease.end = time.monotonic() + self.work.lease

    async def given_back(self, taken: Sequence[Taken]) -> None:
        await together(each.receipt.message.nak() for each in taken if each.receipt.runs)

    async def placed(self, job: Job, once: str) -> bool:
        """False where there is no room."""
        try:
            headers = {"Nats-Msg-Id": once, ID: job.id}
            await self.js.publish(self.subject, job.content, headers=headers, stream=self.stream)
        except APIError as error:
            if error.err_code != FULL:
                raise
            return False
        return True

    async def begun(self, taken: Taken) -> bool:
        if not taken.receipt.runs:
            return False
        tries, why = await self._tries(taken.job.id)
        if tries >= self.work.tries:
            await self._buried(taken, tries, why)
            return False
        await self._tried(taken.job.id, tries + 1, LOST)
        return True

    async def stored(self, taken: Taken, result: bytes, patience: float) -> None:
        with suppress(KeyWrongLastSequenceError):
            await self.results.create(taken.job.id, result)
        await taken.receipt.message.ack_sync(timeout=patience)

    async def failed(self, taken: Taken, why: str) -> None:
        if not taken.receipt.runs:
            return
        tries, _ = await self._tries(taken.job.id)
        if tries >= self.work.tries:
            await self._buried(taken, tries, why)
        else:
            await self._tried(taken.job.id, tries, why)
            await taken.receipt.message.nak(delay=self.work.pause(tries))

    async def counted(self) -> Counts:
        """By the consumer: a server that was killed may still have messages that it has had acknowledgements of."""
        consumer = await self.jobs.consumer_info()
        done, dead = [(await each.status()).values for each in (self.results, self.dead)]
        return Counts(consumer.num_pending or 0, consumer.num_ack_pending or 0, done, dead)

    async def mended(self) -> None:
        """Removes those messages, which nobody is handed any more and which take room; a job among them is put anew."""
        stream, consumer = await self.js.stream_info(self.stream), await self.jobs.consumer_info()
        floor = consumer.ack_floor.stream_seq if consumer.ack_floor else 0
        place = stream.state.first_seq
        with suppress(NotFoundError):
            while place <= floor:
                message = await self.js.get_msg(self.stream, place, self.subject, next=True)
                if message.seq is None or message.seq > floor:
                    return
                job = job_of(message)
                if not await self._settled(job.id):
                    await self.placed(job, f"{job.id}:{message.seq}")
                with suppress(APIError):  # where another process has been here
                    await self.js.delete_msg(self.stream, message.seq)
                place = message.seq + 1

    async def revived(self, ids: Sequence[str]) -> None:
        for id_ in ids:
            try:
                letter = await self.dead.get(id_)
            except NotFoundError as error:
                raise InputError(f"{shown(id_)} is no dead letter of {self.name}: see its status") from error
            _, _, content = (letter.value or b"").partition(b"\n")
            await self._tried(id_, 0, "")
            if not await self.placed(Job(id_, content), f"{id_}:{letter.revision}"):
                raise InputError(f"{self.name} has no room for {len(ids)} jobs: revive fewer, or start workers")
            bucket = _bucket(self.name, "dead")
            await self.js.purge_stream(f"KV_{bucket}", subject=f"$KV.{bucket}.{id_}")  # no marker, that would count

    async def _settled(self, id_: str) -> bool:
        """Whether it is done, or dead."""
        for bucket in (self.results, self.dead):
            with suppress(KeyNotFoundError):
                await bucket.get(id_)
                return True
        return False

    async def _buried(self, taken: Taken, tries: int, why: str) -> None:
        head = json.dumps([tries, why]).encode()
        await self.dead.put(taken.job.id, head + b"\n" + taken.job.content)
        await taken.receipt.message.term()

    async def _tries(self, id_: str) -> tuple[int, str]:
        try:
            return tuple(json.loads((await self.state.get(f"tries.{id_}")).value or b""))
        except KeyNotFoundError:
            return 0, ""

    async def _tried(self, id_: str, tries: int, why: str) -> None:
        await self.state.put(f"tries.{id_}", json.dumps([tries, why]).encode())


async def opened(js: JetStreamContext, name: str, place: str, work: Work | None) -> Streams:
    """Made where work is given and they are not there. InputError where there are none, or of other work."""
    if work is not None:
        await _made(js, name, work)
    try:
        state, dead, results = [await js.key_value(_bucket(name, each)) for each in BUCKETS]
        found = work_of((await state.get(WORK)).value or b"", f"{name} at {place}")
        jobs = await js.pull_subscribe_bind(CONSUMER, _stream(name))
    except (BucketNotFoundError, KeyNotFoundError) as error:
        raise InputError(f"{place} has no queue {name}: put jobs into it first") from error
    if work is not None and found != work:
        raise InputError(f"{name} is a queue of other jobs or limits, {found}: choose another")
    return Streams(name, found, js, jobs, state, dead, results)


async def _made(js: JetStreamContext, name: str, work: Work) -> None:
    """Each part unless it is there; the one that says what the jobs are is the last."""
    with suppress(BucketNotFoundError, KeyNotFoundError):
        await (await js.key_value(_bucket(name, "state"))).get(WORK)
        return
    await js.add_stream(StreamConfig(
        _stream(name), subjects=[_subject(name)], retention=RetentionPolicy.WORK_QUEUE, max_msgs=work.room,
        discard=DiscardPolicy.NEW, duplicate_window=WINDOW,
    ))  # fmt: skip
    await js.add_consumer(_stream(name), ConsumerConfig(
        durable_name=CONSUMER, ack_policy=AckPolicy.EXPLICIT, ack_wait=work.lease, max_deliver=-1,
        max_ack_pending=-1,
    ))  # fmt: skip
    state, *_ = [await js.create_key_value(bucket=_bucket(name, each)) for each in BUCKETS]
    with suppress(KeyWrongLastSequenceError):
        await state.create(WORK, work.text.encode())


def job_of(message: Msg | RawStreamMsg) -> Job:
    return Job((message.headers or {}).get(ID, ""), message.data or b"")


async def together(each: Iterable[Awaitable[T]]) -> list[T]:
    return await asyncio.gather(*each)


async def values(bucket: KeyValue) -> list[tuple[str, bytes]]:
    """By key."""
    try:
        names = sorted(await bucket.keys())
    except NoKeysError:
        return []
    found = []
    for start in range(0, len(names), CHUNK):
        part = names[start : start + CHUNK]
        entries = await together(bucket.get(name) for name in part)
        found += [(name, entry.value or b"") for name, entry in zip(part, entries, strict=True)]
    return found


def _stream(name: str) -> str:
    return f"jensen-{name}-jobs"


def _subject(name: str) -> str:
    return f"jensen.{name}.jobs"


def _bucket(name: str, kind: str) -> str:
    return f"jensen-{name}-{kind}"
