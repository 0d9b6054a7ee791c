"""Facts and their events commit together: an event is a row of the fact's transaction, relayed to JetStream after it.

`Outbox.add` writes the row; `Outbox.relay` runs for ever and publishes in order, once (Nats-Msg-Id); `first_time`
makes a consumer's work happen once; `subscribe` decodes a topic's events for a handler.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID

import msgspec

from shared import telemetry
from shared.bus import Bus, Delivered, Discard
from shared.clock import new_id, utc_now
from shared.contracts.constants import Topic
from shared.contracts.events import CloudEvent
from shared.contracts.wire import decode, encode
from shared.errors import AuroraError
from shared.log import get_logger
from shared.postgres import Connection, Database

P = TypeVar("P")
_BATCH = 200
_POLL_SECONDS = 1.0
_LOCK = 0x4F555442  # "OUTB"
_log = get_logger("outbox")


class Outbox:
    """The events of one service."""

    def __init__(self, database: Database, bus: Bus, service: str) -> None:
        self._database = database
        self._bus = bus
        self._service = service
        self._written = asyncio.Event()

    async def add(self, connection: Connection, topic: Topic[P], data: P, *tokens: str) -> str:
        """Writes the event into the caller's transaction; its id. Call `wake` after the commit."""
        event_id = new_id()
        payload = event_bytes(topic, data, service=self._service, event_id=event_id)
        await connection.execute(
            "INSERT INTO outbox (event_id, subject, payload) VALUES ($1, $2, $3)",
            UUID(event_id),
            topic.subject(*tokens),
            payload,
        )
        self._written.set()
        return event_id

    def wake(self) -> None:
        """Tells the relay that a transaction with events has committed."""
        self._written.set()

    async def relay(self) -> None:
        """Runs until cancelled. Of several replicas one relays at a time; the others wait for its lock."""
        while True:
            self._written.clear()
            try:
                while await self._send_batch():
                    pass
            except AuroraError as error:
                _log.warning("outbox waits", reason=error.code.code, detail=error.detail)
                await asyncio.sleep(_POLL_SECONDS)
            try:
                async with asyncio.timeout(_POLL_SECONDS):
                    await self._written.wait()
            except TimeoutError:
                continue

    async def _send_batch(self) -> bool:
        """Publishes the oldest events; whether there may be more."""
        async with self._database.transaction() as connection:
            locked = await connection.fetchval(
                "SELECT pg_try_advisory_xact_lock($1, hashtext(current_schema()))", _LOCK
            )
            if not locked:
                return False
            rows = await connection.fetch(
                "SELECT seq, event_id, subject, payload FROM outbox ORDER BY seq LIMIT $1", _BATCH
            )
            telemetry.OUTBOX_PENDING.labels(self._service).set(len(rows))
            if not rows:
                return False
            await asyncio.gather(
                *(self._bus.publish(row["subject"], row["payload"], str(row["event_id"])) for row in rows)
            )
            await connection.execute("DELETE FROM outbox WHERE seq = ANY($1)", [row["seq"] for row in rows])
        for row in rows:
            telemetry.EVENTS_PUBLISHED.labels(row["subject"]).inc()
        return len(rows) == _BATCH


def event_bytes(topic: Topic[P], data: P, *, service: str, event_id: str) -> bytes:
    """A CloudEvent with the running task's trace and request ids."""
    ids = telemetry.headers()
    event = CloudEvent(
        id=event_id,
        source=f"/aurora/{service}",
        type=topic.name.replace(".*.", "."),
        time=utc_now(),
        data=msgspec.Raw(encode(data)),
        traceparent=ids.get(telemetry.TRACEPARENT_HEADER),
        requestid=ids.get(telemetry.REQUEST_ID_HEADER),
    )
    return encode(event)


async def first_time(connection: Connection, consumer: str, event: CloudEvent) -> bool:
    """Whether this consumer handles the event for the first time; remembered by the caller's transaction."""
    return bool(
        await connection.execute(
            "INSERT INTO inbox (consumer, event_id) VALUES ($1, $2) ON CONFLICT DO NOTHING", consumer, UUID(event.id)
        )
    )


async def subscribe(
    bus: Bus, durable: str, topic: Topic[P], handler: Callable[[CloudEvent, P], Awaitable[None]]
) -> None:
    """Runs until cancelled: each event of the topic to the handler, in the trace it came from.

    An event that isn't of the topic's shape is dead-lettered; so is one whose handler raises Discard.
    """

    async def handle(delivered: Delivered) -> None:
        try:
            event = decode(delivered.payload, CloudEvent)
            data = decode(bytes(event.data), topic.data)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Discard(f"not a {topic.name} event") from error
        carrier = {"traceparent": event.traceparent} if event.traceparent else {}
        with telemetry.span(f"consume {topic.name}", carrier, event.requestid or ""):
            await handler(event, data)

    await bus.consume(durable, [topic.name], handle)
