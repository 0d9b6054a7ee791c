"""The one file that imports nats: publish to JetStream, consume once with back-off, read from any sequence.

One stream, AURORA, holds every subject `aurora.>`. Only JetStream's acknowledgement counts as published. A consumer is
durable and shared by all replicas of its service, which makes it a work queue. This file knows no topic and no handler.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import nats
import nats.errors
import nats.js.errors
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, DiscardPolicy, StorageType, StreamConfig

from shared.contracts.events import DeadLetter
from shared.contracts.wire import encode
from shared.errors import UNAVAILABLE, AuroraError
from shared.log import get_logger
from shared.telemetry import EVENTS_CONSUMED

STREAM = "AURORA"
SUBJECTS = "aurora.>"
_DAY = 24 * 3600
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
    """A connection to NATS that reconnects for ever, and the AURORA stream on it."""

    def __init__(self, client: Any) -> None:
        self._nats = client
        self._js = client.jetstream(timeout=5)

    @classmethod
    async def connect(cls, url: str, *, user: str | None, password: str | None, name: str) -> Bus:
        """Connects and makes the stream if it isn't there. Raises AURORA-5030 when no server answers in 30 s."""
        options: dict[str, Any] = {"user": user, "password": password} if user else {}
        try:
            async with asyncio.timeout(30):
                client = await nats.connect(
                    url,
                    name=name,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=0.25,
                    connect_timeout=2,
                    error_cb=_report,
                    **options,
                )
                bus = cls(client)
                await bus._make_stream()
        except _FAILURES as error:
            raise AuroraError(UNAVAILABLE, {"dependency": "nats"}) from error
        return bus

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
        try:
            ack = await self._js.publish(subject, payload, headers={"Nats-Msg-Id": event_id})
        except _FAILURES as error:
            raise AuroraError(UNAVAILABLE, {"dependency": "nats"}) from error
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
        try:
            info = await self._js.stream_info(STREAM)
        except _FAILURES as error:
            raise AuroraError(UNAVAILABLE, {"dependency": "nats"}) from error
        return int(info.state.first_seq), int(info.state.last_seq)

    async def read(self, subjects: Sequence[str], *, since: int | None = None) -> AsyncGenerator[Delivered, None]:
        """What is stored after sequence `since` and then whatever comes; only what comes when it is None.

        Flow is pulled: a slow caller holds nothing back but itself. A server that restarts is waited for.
        """
        position = since
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

    async def ping(self) -> None:
        """Raises AURORA-5030 when the connection is down or JetStream doesn't answer."""
        if not self._nats.is_connected:
            raise AuroraError(UNAVAILABLE, {"dependency": "nats"})
        await self.bounds()

    async def close(self) -> None:
        """Closes the connection; what was published is already acknowledged."""
        await self._nats.close()


async def _messages(subscription: Any) -> AsyncIterator[Msg]:
    quiet = 0
    while quiet < 6:  # half a minute without a message: ask anew, the consumer may be gone with its server
        try:
            messages = await subscription.fetch(100, timeout=5)
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


async def _report(error: Exception) -> None:
    _log.warning("nats", reason=type(error).__name__)
