"""The envelope of every event: CloudEvents 1.0 in JSON, with the distributed tracing extension."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec


class CloudEvent(msgspec.Struct, kw_only=True):
    """`type` is the topic; `data` is decoded by the topic's struct. `requestid` ties it to the request it came from."""

    id: str
    source: str
    type: str
    time: datetime
    data: msgspec.Raw
    specversion: Literal["1.0"] = "1.0"
    datacontenttype: str = "application/json"
    traceparent: str | None = None
    requestid: str | None = None


class DeadLetter(msgspec.Struct, kw_only=True):
    """An event that a consumer gave up on: published on `aurora.dead-letter.<consumer>`."""

    consumer: str
    reason: str
    deliveries: int
    subject: str
    sequence: int
    payload: str
