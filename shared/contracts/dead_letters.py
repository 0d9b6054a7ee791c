"""Dead letters: items that intake didn't take, each with the reason, to be looked at and sent again."""

from __future__ import annotations

from datetime import datetime

import msgspec

from shared.contracts.common import Page, PageQuery
from shared.contracts.constants import SIEM_READ, SIEM_WRITE, Endpoint
from shared.contracts.logs import SourceName
from shared.errors import CLICKHOUSE_UNAVAILABLE, CONFLICT, NOT_FOUND, RATE_LIMITED, VALIDATION


class DeadLetterQuery(PageQuery, forbid_unknown_fields=True, kw_only=True):
    """`source` filters."""

    source: SourceName | None = None


class DeadLetter(msgspec.Struct, kw_only=True):
    """An item that was refused. `raw` is its text, cut to 64 KiB; bytes that aren't UTF-8 are shown as `\\xNN`.

    `size` is what it had in bytes; `replayable` is false when it was cut or nothing of it was kept.
    """

    id: str
    at: datetime
    source: str
    format: str | None
    receipt: str
    reason: str
    raw: str
    size: int
    replayable: bool


class Replayed(msgspec.Struct):
    """The item is stored now, under this id and receipt, and its dead letter is gone."""

    log_id: str
    receipt: str


LIST_DEAD_LETTERS = Endpoint(
    "GET",
    "/api/v1/siem/dead-letters",
    SIEM_READ,
    service="siem",
    summary="List items that intake refused",
    query=DeadLetterQuery,
    returns=Page[DeadLetter],
    errors=(VALIDATION,),
    tag="SIEM / Detection",
)
REPLAY_DEAD_LETTER = Endpoint(
    "POST",
    "/api/v1/siem/dead-letters/{dead_letter_id}/replay",
    SIEM_WRITE,
    service="siem",
    summary="Hand a refused item to intake again",
    returns=Replayed,
    errors=(NOT_FOUND, CONFLICT, VALIDATION, RATE_LIMITED, CLICKHOUSE_UNAVAILABLE),
    tag="SIEM / Detection",
)
