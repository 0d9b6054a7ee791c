"""The one file that imports nats: publish to JetStream, consume once with back-off, read from any sequence.

One stream, AURORA, holds every subject `aurora.>`. Only JetStream's acknowledgement counts as published. A consumer is
durable and shared by all replicas of its service, which makes it a work queue. This file knows no topic and no handler.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, DiscardPolicy, StorageType, StreamConfig
from nats.js.kv import KeyValue

from shared.contracts.events import DeadLetter
from shared.contracts.wire import encode
from shared.errors import UNAVAILABLE, AuroraError
from shared.log import get_logger
from shared.telemetry import EVENTS_CONSUMED

STREAM = "AURORA"
SUBJECTS = "aurora.>"
_DAY = 24 * 3600
_CONNECT_SECONDS = 30.0
_REPORT_SECONDS = 10.0
_BACKOFF_SECONDS = (0.2, 1.0, 5.0, 15.0, 60.0)
# What a killed consumer had fetched comes again after this; a handler is one transaction.
_ACK_WAIT_SECONDS = 15
_log = get_logger("bus")
_FAILURES = (nats.errors.Error, nats.js.errors.Error, OSError, TimeoutError)


@dataclass(frozen=True)
class Delivered:
    """One stored message: its place in the stream, its subject and its bytes."""

    sequence: int
    subject: str
    payload: bytes


class Discard(Exception):
    """A handler raises this for an event that no retry can help; the reason goes to the dead letters."""


class Bus:
    """A connection to NATS that reconnects for ever, and the AURORA stream on it.

    Until `open` has connected it, what would publish or ask raises AURORA-5030, and what reads or consumes waits.
    """

    def __init__(self, url: str, *, user: str | None, password: str | None, name: str) -> None:
        self._nats = Client()
        #: Also for shared.objects, on top of this.
        self.jetstream = self._js = self._nats.jetstream(timeout=5)
        self._connected = asyncio.Event()
        self._reported: dict[str, float] = {}
        self._brief: set[str] = set()
        self._url = url
        self._options: dict[str, Any] = {"name": name, "reconnect_time_wait": 0.25, "max_reconnect_attempts": -1}
        self._options |= {"user": user, "password": password} if user else {}

    @classmethod
    async def connect(cls, url: str, *, user: str | None, password: str | None, name: str) -> Bus:
        """Connects and makes the stream if it isn't there. Raises AURORA-5030 when no server answers in 30 s."""
        bus = cls(url, user=user, password=password, name=name)
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                await bus.open()
        except _FAILURES as error:
            await bus.close()
            raise _unavailable() from error
        return bus

    async def open(self) -> None:
        """Connects and makes the stream if it isn't there, however long that takes."""
        await self._nats.connect(self._url, connect_timeout=2, error_cb=self._report, **self._options)
        while not self._connected.is_set():
            try:
                await self._make_stream()
                self._connected.set()
            except _FAILURES as error:
                _log.warning("waiting for JetStream", reason=type(error).__name__)
                await asyncio.sleep(0.5)

    async def connected(self, seconds: float) -> bool:
        """Whether it is connected, now or within so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                await self._connected.wait()
        except TimeoutError:
            return False
        return True

    async def _report(self, error: Exception) -> None:
        """Each kind of fault once in a while: a server that is away is tried four times a second."""
        reason, now = type(error).__name__, time.monotonic()
        if now - self._reported.get(reason, -_REPORT_SECONDS) >= _REPORT_SECONDS:
            self._reported[reason] = now
            _log.warning("nats", reason=reason)

    def _require(self) -> None:
        if not self._connected.is_set():
            raise _unavailable()

    async def _make_stream(self) -> None:
        try:
            await self._js.stream_info(STREAM)
        except nats.js.errors.NotFoundError:
            await self._js.add_stream(
                StreamConfig(
                    name=STREAM,
                    subjects=[SUBJECTS],
                    storage=StorageType.FILE,
                    max_age=7 * _DAY,
                    max_bytes=1024**3,
                    discard=DiscardPolicy.OLD,
                    duplicate_window=600,
                )
            )

    async def publish(self, subject: str, payload: bytes, event_id: str) -> int:
        """The sequence under which JetStream stored it; the same id within 10 minutes is stored once.

        Raises AURORA-5030 when JetStream doesn't acknowledge.
        """
        self._require()
        try:
            ack = await self._js.publish(subject, payload, headers={"Nats-Msg-Id": event_id})
        except _FAILURES as error:
            raise _unavailable() from error
        return int(ack.seq)

    async def consume(
        self,
        durable: str,
        subjects: Sequence[str],
        handler: Callable[[Delivered], Awaitable[None]],
        *,
        max_deliver: int = 20,
    ) -> None:
        """Runs until cancelled. Acknowledges what `handler` finished; retries what raised; dead-letters the rest."""
        config = ConsumerConfig(
            durable_name=durable,
            filter_subjects=list(subjects),
            ack_policy=AckPolicy.EXPLICIT,
            deliver_policy=DeliverPolicy.ALL,
            ack_wait=_ACK_WAIT_SECONDS,
            max_deliver=-1,
            max_ack_pending=256,
        )
        await self._connected.wait()
        while True:
            try:
                await self._js.add_consumer(STREAM, config)
                subscription = await self._js.pull_subscribe_bind(durable, STREAM)
                await self._drain(subscription, durable, handler, max_deliver)
            except _FAILURES as error:
                _log.warning("consumer lost its server", consumer=durable, reason=type(error).__name__)
                await asyncio.sleep(0.5)

    async def _drain(
        self, subscription: Any, durable: str, handler: Callable[[Delivered], Awaitable[None]], max_deliver: int
    ) -> None:
        while True:
            try:
                messages = await subscription.fetch(8, timeout=5)
            except TimeoutError:
                continue
            for message in messages:
                await self._handle(message, durable, handler, max_deliver)

    async def _handle(
        self, message: Msg, durable: str, handler: Callable[[Delivered], Awaitable[None]], max_deliver: int
    ) -> None:
        deliveries = message.metadata.num_delivered
        try:
            await handler(_delivered(message))
        except Discard as refusal:
            await self._bury(message, durable, str(refusal))
        except Exception as error:  # noqa: BLE001 - whatever a handler raises, the message must be retried, not lost
            _log.warning("event not handled", consumer=durable, reason=repr(error), deliveries=deliveries)
            if deliveries >= max_deliver:
                await self._bury(message, durable, type(error).__name__)
                return
            EVENTS_CONSUMED.labels(durable, "retried").inc()
            await message.nak(delay=_BACKOFF_SECONDS[min(deliveries, len(_BACKOFF_SECONDS)) - 1])
        else:
            await message.ack_sync()
            EVENTS_CONSUMED.labels(durable, "handled").inc()

    async def _bury(self, message: Msg, durable: str, reason: str) -> None:
        letter = DeadLetter(
            consumer=durable,
            reason=reason,
            deliveries=message.metadata.num_delivered,
            subject=message.subject,
            sequence=message.metadata.sequence.stream,
            payload=message.data.decode("utf-8", "replace"),
        )
        await self.publish(f"aurora.dead-letter.{durable}", encode(letter), f"{durable}-{letter.sequence}")
        await message.term()
        EVENTS_CONSUMED.labels(durable, "dead-lettered").inc()
        _log.error("event dead-lettered", consumer=durable, reason=reason, sequence=letter.sequence)

    async def bounds(self) -> tuple[int, int]:
        """The oldest sequence that is still kept (the next one to come when nothing is), and the newest ever stored."""
        self._require()
        try:
            info = await self._js.stream_info(STREAM)
        except _FAILURES as error:
            raise _unavailable() from error
        return int(info.state.first_seq), int(info.state.last_seq)

    async def read(self, subjects: Sequence[str], *, since: int | None = None) -> AsyncGenerator[Delivered, None]:
        """What is stored after sequence `since` and then whatever comes; only what comes when it is None.

        Flow is pulled: a slow caller holds nothing back but itself. A server that restarts is waited for.
        """
        position = since
        await self._connected.wait()
        while True:
            subscription = None
            try:
                subscription = await self._js.pull_subscribe("", stream=STREAM, config=_reader(subjects, position))
                if position is None:
                    position = (await self._js.stream_info(STREAM)).state.last_seq
                async for message in _messages(subscription):
                    position = message.metadata.sequence.stream
                    yield _delivered(message)
            except _FAILURES as error:
                _log.info("reader lost its server", reason=type(error).__name__)
                await asyncio.sleep(0.5)
            finally:
                if subscription is not None and not self._nats.is_closed:
                    await subscription.unsubscribe()

    async def value(self, bucket: str, key: str) -> tuple[bytes, int]:
        """What is kept under the key and its revision; nothing and 0 where nothing is. Raises AURORA-5030."""
        self._require()
        try:
            entry = await (await self._bucket(bucket)).get(key)
        except nats.js.errors.KeyNotFoundError:  # deleted ones too
            return b"", 0
        except _FAILURES as error:
            raise _unavailable() from error
        return entry.value or b"", int(entry.revision or 0)

    async def replace(self, bucket: str, key: str, value: bytes, revision: int) -> bool:
        """Keeps the value under the key, if what is there is of that revision (0: nothing). Raises AURORA-5030."""
        self._require()
        try:
            await (await self._bucket(bucket)).update(key, value, last=revision)
        except nats.js.errors.KeyWrongLastSequenceError:
            return False
        except _FAILURES as error:
            raise _unavailable() from error
        return True

    async def watch(self, bucket: str, key: str) -> AsyncGenerator[bytes, None]:
        """What is kept under the key, now and whenever it changes. A server that restarts is waited for."""
        config = ConsumerConfig(
            filter_subjects=[f"$KV.{bucket}.{key}"],
            ack_policy=AckPolicy.NONE,
            deliver_policy=DeliverPolicy.LAST_PER_SUBJECT,
            inactive_threshold=60,
            mem_storage=True,
        )
        await self._connected.wait()
        while True:
            subscription = None
            try:
                await self._bucket(bucket)
                subscription = await self._js.pull_subscribe("", stream=f"KV_{bucket}", config=config)
                async for message in _messages(subscription, at_once=1):
                    if message.data:
                        yield message.data
            except _FAILURES as error:
                _log.info("watcher lost its server", reason=type(error).__name__)
                await asyncio.sleep(0.5)
            finally:
                if subscription is not None and not self._nats.is_closed:
                    await subscription.unsubscribe()

    async def keep_briefly(self, bucket: str, key: str, value: bytes, seconds: float) -> None:
        """Keeps the value in a bucket in memory, which forgets it after `seconds`; b"" takes it back. AURORA-5030."""
        self._require()
        try:
            if bucket not in self._brief:
                await self._js.create_key_value(bucket=bucket, history=1, ttl=seconds, storage=StorageType.MEMORY)
                self._brief.add(bucket)
            headers = None if value else {"KV-Operation": "DEL"}
            await self._js.publish(f"$KV.{bucket}.{key}", value, timeout=1, headers=headers)
        except _FAILURES as error:
            self._brief.discard(bucket)
            raise _unavailable() from error

    async def overhear(self, bucket: str) -> AsyncGenerator[tuple[str, bytes], None]:
        """Keys of such a bucket and their values as they are kept from now on, b"" when taken back."""
        await self._connected.wait()
        subscription = await self._nats.subscribe(f"$KV.{bucket}.>")
        try:
            async for message in subscription.messages:
                yield message.subject.removeprefix(f"$KV.{bucket}."), message.data
        finally:
            if not self._nats.is_closed:
                await subscription.unsubscribe()

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection, as far as this end knows."""
        return self._connected.is_set() and bool(self._nats.is_connected)

    async def answers(self, seconds: float) -> bool:
        """Whether the server answers within so many seconds."""
        try:
            # Not the client's flush(): a pong that comes after its time-out ends the client's reading for good.
            await self._nats.request("$JS.API.INFO", timeout=seconds)
        except _FAILURES:
            return False
        return True

    async def _bucket(self, name: str) -> KeyValue:
        try:
            return await self._js.key_value(name)
        except nats.js.errors.BucketNotFoundError:
            return await self._js.create_key_value(bucket=name, history=1, storage=StorageType.FILE)

    async def stored(self, subjects: Sequence[str], *, since: int, until: int) -> AsyncGenerator[Delivered, None]:
        """What is stored after sequence `since`, up to `until`; then it ends. A server that restarts is waited for."""
        position = since
        while position < until:
            subscription = None
            try:
                subscription = await self._js.pull_subscribe("", stream=STREAM, config=_reader(subjects, position))
                left = (await subscription.consumer_info()).num_pending
                while left:
                    for message in await subscription.fetch(100, timeout=5):
                        if message.metadata.sequence.stream > until:
                            return
                        position, left = message.metadata.sequence.stream, message.metadata.num_pending
                        yield _delivered(message)
                return
            except _FAILURES as error:
                _log.info("reader lost its server", reason=type(error).__name__)
                await asyncio.sleep(0.5)
            finally:
                if subscription is not None and not self._nats.is_closed:
                    await subscription.unsubscribe()

    async def ping(self) -> None:
        """Raises AURORA-5030 when the connection is down or JetStream doesn't answer."""
        self._require()
        if not self._nats.is_connected:
            raise _unavailable()
        await self.bounds()

    async def close(self) -> None:
        """Closes the connection; what was published is already acknowledged."""
        await self._nats.close()


async def _messages(subscription: Any, at_once: int = 100) -> AsyncIterator[Msg]:
    quiet = 0
    while quiet < 6:  # half a minute without a message: ask anew, the consumer may be gone with its server
        try:
            messages = await subscription.fetch(at_once, timeout=5)
        except TimeoutError:
            quiet += 1
            continue
        quiet = 0
        for message in messages:
            yield message


def _reader(subjects: Sequence[str], since: int | None) -> ConsumerConfig:
    return ConsumerConfig(
        filter_subjects=list(subjects),
        ack_policy=AckPolicy.NONE,
        deliver_policy=DeliverPolicy.NEW if since is None else DeliverPolicy.BY_START_SEQUENCE,
        opt_start_seq=None if since is None else since + 1,
        inactive_threshold=60,
        mem_storage=True,
    )


def _delivered(message: Msg) -> Delivered:
    return Delivered(message.metadata.sequence.stream, message.subject, message.data)


def _unavailable() -> AuroraError:
    return AuroraError(UNAVAILABLE, {"dependency": "nats"})
