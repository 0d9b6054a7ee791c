"""The HTTP edge of the doors that unmodified shippers knock at: each answers as the product it stands in for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from aiohttp import web

from services.siem.doors import elasticsearch, loki, otlp, splunk
from services.siem.doors.service import Acks
from services.siem.doors.streams import Delivery, Intake, Outcome
from shared.contracts.doors_elasticsearch import (
    ES_BULK_POST,
    ES_BULK_PUT,
    ES_CAT_HEALTH,
    ES_CLUSTER_HEALTH,
    ES_CREATE_POST,
    ES_CREATE_PUT,
    ES_GET_COMPONENT_TEMPLATE,
    ES_GET_DATA_STREAM,
    ES_GET_INDEX_TEMPLATE,
    ES_GET_PIPELINE,
    ES_GET_POLICY,
    ES_GET_TEMPLATE,
    ES_HAS_COMPONENT_TEMPLATE,
    ES_HAS_INDEX_TEMPLATE,
    ES_HAS_TEMPLATE,
    ES_INDEX_BULK_POST,
    ES_INDEX_BULK_PUT,
    ES_INDEX_DOCUMENT,
    ES_INFO,
    ES_LICENSE,
    ES_PING,
    ES_PUT_COMPONENT_TEMPLATE,
    ES_PUT_DATA_STREAM,
    ES_PUT_DOCUMENT,
    ES_PUT_INDEX_TEMPLATE,
    ES_PUT_PIPELINE,
    ES_PUT_POLICY,
    ES_PUT_TEMPLATE,
    ES_XPACK,
    Acknowledged,
)
from shared.contracts.doors_loki import LOKI_PUSH
from shared.contracts.doors_otlp import OTLP_LOGS
from shared.contracts.doors_splunk import (
    HEC_ACK,
    HEC_COLLECTOR,
    HEC_EVENT,
    HEC_EVENT_1_0,
    HEC_HEALTH,
    HEC_HEALTH_1_0,
    HEC_RAW,
    HEC_RAW_1_0,
    HecAckAnswer,
    HecAnswer,
    HecQuery,
)
from shared.errors import MALFORMED_REQUEST, NOT_FOUND, AuroraError
from shared.http import Call, Route, bind, json_response

P = TypeVar("P")
T = TypeVar("T")

#: Reading as much takes some milliseconds, as long as the loop may be busy.
_INLINE_BYTES = 32 * 1024
_MAX_PROBLEMS = 5


def stream_routes(intake: Intake) -> list[Route]:
    """The doors of Loki and OpenTelemetry."""
    read = _Reader()

    async def push(call: Call[None, bytes]) -> None:
        outcome = await (await read(loki.read_push, call.body, call.request.content_type)).store(intake)
        if outcome.rejected:  # as Loki does: the others are stored, and no client sends a 400 again
            raise AuroraError(MALFORMED_REQUEST, message=_told(outcome))

    async def export(call: Call[None, bytes]) -> web.Response:
        media_type = call.request.content_type
        outcome = await (await read(otlp.read_export, call.body, media_type)).store(intake)
        return web.Response(body=otlp.answer(outcome, media_type), content_type=media_type)

    return [bind(LOKI_PUSH, push), bind(OTLP_LOGS, export)]


class _Reader:
    """Reads bodies; large ones in a thread and one at a time, since each may take some hundred megabytes."""

    def __init__(self) -> None:
        self._one_at_a_time = asyncio.Lock()

    async def __call__(self, read: Callable[[bytes, P], T], body: bytes, about: P) -> T:
        if len(body) <= _INLINE_BYTES:
            return read(body, about)
        async with self._one_at_a_time:
            return await asyncio.to_thread(read, body, about)


def _told(outcome: Outcome) -> str:
    entries = "1 entry" if outcome.rejected == 1 else f"{outcome.rejected} entries"
    verb = "was" if outcome.rejected == 1 else "were"
    problems = "; ".join(outcome.problems[:_MAX_PROBLEMS])
    return f"{entries} of {outcome.accepted + outcome.rejected} {verb} rejected: {problems}"


def elasticsearch_routes(intake: Intake) -> list[Route]:
    """The door of Elasticsearch."""
    reader = _Reader()

    async def bulk(call: Call[None, bytes]) -> web.Response:
        actions = await reader(elasticsearch.read_bulk, call.body, call.path.get("index"))
        return elasticsearch.answer(await actions.store(intake))

    async def document(call: Call[None, bytes]) -> web.Response:
        one = elasticsearch.one_document(call.body, call.path["index"], call.path.get("id"))
        await one.store(intake)
        action = one.actions[0]
        if action.error_type:
            raise AuroraError(MALFORMED_REQUEST, message=action.reason)
        return elasticsearch.answer(action.told(), action.status)

    async def ping(_call: Call[None, None]) -> web.Response:
        return web.Response(headers=elasticsearch.PRODUCT)

    async def cat_health(_call: Call[None, None]) -> web.Response:
        return web.Response(text=elasticsearch.cat_health(), headers=elasticsearch.PRODUCT)

    async def unset(_call: Call[None, None]) -> web.Response:
        raise AuroraError(NOT_FOUND)

    async def acknowledge(_call: Call[None, bytes]) -> web.Response:
        return elasticsearch.answer(Acknowledged())

    return [
        bind(ES_BULK_POST, bulk),
        bind(ES_BULK_PUT, bulk),
        bind(ES_INDEX_BULK_POST, bulk),
        bind(ES_INDEX_BULK_PUT, bulk),
        bind(ES_INDEX_DOCUMENT, document),
        bind(ES_PUT_DOCUMENT, document),
        bind(ES_CREATE_POST, document),
        bind(ES_CREATE_PUT, document),
        bind(ES_PING, ping),
        bind(ES_INFO, _told_always(elasticsearch.INFO)),
        bind(ES_LICENSE, _told_always(elasticsearch.LICENSE)),
        bind(ES_XPACK, _told_always(elasticsearch.XPACK)),
        bind(ES_CLUSTER_HEALTH, _told_always(elasticsearch.HEALTH)),
        bind(ES_CAT_HEALTH, cat_health),
        bind(ES_GET_INDEX_TEMPLATE, unset),
        bind(ES_HAS_INDEX_TEMPLATE, unset),
        bind(ES_PUT_INDEX_TEMPLATE, acknowledge),
        bind(ES_GET_TEMPLATE, unset),
        bind(ES_HAS_TEMPLATE, unset),
        bind(ES_PUT_TEMPLATE, acknowledge),
        bind(ES_GET_COMPONENT_TEMPLATE, unset),
        bind(ES_HAS_COMPONENT_TEMPLATE, unset),
        bind(ES_PUT_COMPONENT_TEMPLATE, acknowledge),
        bind(ES_GET_POLICY, unset),
        bind(ES_PUT_POLICY, acknowledge),
        bind(ES_GET_PIPELINE, unset),
        bind(ES_PUT_PIPELINE, acknowledge),
        bind(ES_GET_DATA_STREAM, unset),
        bind(ES_PUT_DATA_STREAM, acknowledge),
    ]


def _told_always(value: dict[str, Any]) -> Callable[[Call[None, None]], Awaitable[web.Response]]:
    async def tell(_call: Call[None, None]) -> web.Response:
        return elasticsearch.answer(value)

    return tell


def splunk_routes(intake: Intake, acks: Acks) -> list[Route]:
    """The door of Splunk's HTTP Event Collector."""
    reader = _Reader()

    async def take(call: Call[HecQuery, bytes], read: Callable[[bytes, HecQuery], Delivery]) -> web.Response:
        try:
            delivery = await reader(read, call.body, call.query)
        except splunk.RefusedError as refusal:
            return _refused(refusal.answer)
        outcome = await delivery.store(intake)
        if outcome.rejected:  # the others are stored, and no client sends a 400 again
            return _refused(HecAnswer(_told(outcome), 6))
        channel = _channel(call)
        if channel is None:
            return json_response(splunk.SUCCESS)
        return json_response(HecAnswer("Success", 0, await acks.durable(call.principal.id, channel)))

    async def events(call: Call[HecQuery, bytes]) -> web.Response:
        return await take(call, splunk.read_events)

    async def lines(call: Call[HecQuery, bytes]) -> web.Response:
        return await take(call, splunk.read_raw)

    async def health(_call: Call[None, None]) -> HecAnswer:
        return splunk.HEALTHY

    async def ack(call: Call[HecQuery, bytes]) -> HecAckAnswer | web.Response:
        channel = _channel(call)
        if channel is None:
            return _refused(splunk.NO_CHANNEL)
        return HecAckAnswer(await acks.asked(call.principal.id, channel, splunk.read_acks(call.body)))

    return [
        bind(HEC_COLLECTOR, events),
        bind(HEC_EVENT, events),
        bind(HEC_EVENT_1_0, events),
        bind(HEC_RAW, lines),
        bind(HEC_RAW_1_0, lines),
        bind(HEC_HEALTH, health),
        bind(HEC_HEALTH_1_0, health),
        bind(HEC_ACK, ack),
    ]


def _channel(call: Call[HecQuery, bytes]) -> str | None:
    return call.request.headers.get(splunk.CHANNEL_HEADER) or call.query.channel or None


def _refused(answer: HecAnswer) -> web.Response:
    return json_response(answer, 400)
