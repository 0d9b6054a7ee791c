"""The door that clients of Splunk's HTTP Event Collector knock at: forwarders, appliances, logging libraries.

The shapes are Splunk's own (its REST API, "Input endpoints"), so bodies are read by the door itself, not by a struct.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from shared.contracts.constants import ANY_MEDIA_TYPE, SIEM_WRITE, Endpoint
from shared.errors import CLICKHOUSE_UNAVAILABLE, MALFORMED_REQUEST, PAYLOAD_TOO_LARGE, RATE_LIMITED

#: Bytes of a body, packed or not.
HEC_MAX_BODY = 32 * 1024 * 1024
_Name = Annotated[str, Meta(max_length=1024)]


class HecQuery(msgspec.Struct, kw_only=True):
    """What a request may say in its URL instead of in each event; `channel` stands for the header of that name."""

    channel: _Name | None = None
    host: _Name | None = None
    source: _Name | None = None
    sourcetype: _Name | None = None
    index: _Name | None = None
    time: _Name | None = None


class HecAnswer(msgspec.Struct, omit_defaults=True, rename={"ack_id": "ackId", "event": "invalid-event-number"}):
    """`code` is of Splunk's table, 0 for success; `ackId` goes with a channel, `invalid-event-number` counts from 0."""

    text: str
    code: int
    ack_id: int | None = None
    event: int | None = None


class HecAcks(msgspec.Struct):
    """Ids that the client was given on this channel."""

    acks: Annotated[list[int], Meta(max_length=100_000)]


class HecAckAnswer(msgspec.Struct):
    """Of each id whether its events are durable."""

    acks: dict[str, bool]


def _events(path: str, summary: str) -> Endpoint[HecQuery, bytes, HecAnswer]:
    return Endpoint(
        "POST",
        path,
        SIEM_WRITE,
        service="siem",
        summary=summary,
        query=HecQuery,
        body=bytes,
        returns=HecAnswer,
        errors=(MALFORMED_REQUEST, RATE_LIMITED, PAYLOAD_TOO_LARGE, CLICKHOUSE_UNAVAILABLE),
        tag="Doors for shippers",
        consumes=(ANY_MEDIA_TYPE,),
        max_body=HEC_MAX_BODY,
        timeout_seconds=120.0,
    )


def _health(path: str) -> Endpoint[None, None, HecAnswer]:
    return Endpoint(
        "GET",
        path,
        SIEM_WRITE,
        service="siem",
        summary="Whether events are taken, as Splunk tells it",
        returns=HecAnswer,
        errors=(RATE_LIMITED,),
        tag="Doors for shippers",
    )


HEC_COLLECTOR = _events("/services/collector", "Store events, as Splunk does")
HEC_EVENT = _events("/services/collector/event", "Store events, as Splunk does")
HEC_EVENT_1_0 = _events("/services/collector/event/1.0", "Store events, as Splunk does")
HEC_RAW = _events("/services/collector/raw", "Store lines, as Splunk does")
HEC_RAW_1_0 = _events("/services/collector/raw/1.0", "Store lines, as Splunk does")
HEC_HEALTH = _health("/services/collector/health")
HEC_HEALTH_1_0 = _health("/services/collector/health/1.0")
HEC_ACK = Endpoint(
    "POST",
    "/services/collector/ack",
    SIEM_WRITE,
    service="siem",
    summary="Which events are durable, as Splunk tells it",
    query=HecQuery,
    body=bytes,
    returns=HecAckAnswer,
    errors=(MALFORMED_REQUEST,),
    tag="Doors for shippers",
    consumes=(ANY_MEDIA_TYPE,),
)

#: Everything of this door: held back by the queue of intake, never counted.
SPLUNK: frozenset[Endpoint[Any, Any, Any]] = frozenset(
    value for value in tuple(globals().values()) if isinstance(value, Endpoint)
)
