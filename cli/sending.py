"""One batch of logs to intake, until it is durable: waits when the stack is busy or away, and names what was refused.

A batch is sent under an Idempotency-Key, so that a lost answer costs no duplicate; only when the stack can't say what
became of the first attempt is it sent anew, since an event stored twice is better than one that is lost.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from typing import Any

from cli.session import Session
from shared.clock import new_id
from shared.contracts.constants import Endpoint
from shared.contracts.logs import INGEST_LOGS, IngestProblem, IngestQuery, IngestReceipt
from shared.errors import CONFLICT, VALIDATION, AuroraError

#: How long one batch is tried, in seconds.
PATIENCE_SECONDS = 120.0
#: How long to wait for the outcome of an attempt whose answer was lost.
_UNKNOWN_SECONDS = 10.0
_FIRST_WAIT_SECONDS = 0.25
_LONGEST_WAIT_SECONDS = 5.0
_ITEM = re.compile(r"body\[(\d+)\]")


async def send(
    session: Session,
    body: bytes,
    content_type: str,
    query: IngestQuery,
    *,
    endpoint: Endpoint[Any, bytes, IngestReceipt] = INGEST_LOGS,
    key: str | None = None,
    patience: float = PATIENCE_SECONDS,
    waiting: Callable[[AuroraError], None] = lambda _: None,
) -> IngestReceipt:
    """The receipt; one with `accepted` 0 when every item was refused. `waiting` is told why a retry is due.

    `endpoint` takes the body and the query. `key` is the Idempotency-Key of a delivery that may have been tried before.

    Raises the last AuroraError when `patience` (seconds) is over, and at once one that no retry can help.
    """
    deadline = time.monotonic() + patience
    wait = _FIRST_WAIT_SECONDS
    key, key_since = key or new_id(), time.monotonic()
    while True:
        headers = {"Content-Type": content_type, "Idempotency-Key": key}
        try:
            return await session.call(endpoint, query=query, body=body, headers=headers)
        except AuroraError as error:
            refused = _all_refused(error)
            if refused is not None:
                return refused
            unknown = error.code is CONFLICT and error.retry_after is not None
            if not (error.code.retryable or unknown) or time.monotonic() > deadline:
                raise
            waiting(error)
            if unknown and time.monotonic() - key_since > _UNKNOWN_SECONDS:
                key, key_since = new_id(), time.monotonic()
            await asyncio.sleep(error.retry_after or wait)
            wait = min(wait * 2, _LONGEST_WAIT_SECONDS)


def _all_refused(error: AuroraError) -> IngestReceipt | None:
    """The refusal of each item, when that is what a 422 says."""
    if error.code is not VALIDATION or not isinstance(error.detail, list):
        return None
    found = [(_ITEM.fullmatch(str(entry.get("path"))), str(entry.get("message"))) for entry in error.detail]
    problems = [IngestProblem(int(match[1]), message) for match, message in found if match]
    return IngestReceipt(0, len(problems), problems, "") if problems else None
