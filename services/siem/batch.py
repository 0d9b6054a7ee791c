"""What the logs feature hands to detection: a batch of stored events, until what follows from it is committed.

A batch is a durable row (siem.batches) beside the events in ClickHouse, so that a crash between storing an event and
raising its alert loses nothing: whoever starts next finds the row and reads the events again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from services.siem.event import Event
from services.siem.match import Found

#: Under way or done; None: whoever evaluated it is gone, and the events must be read again.
Evaluation: TypeAlias = "asyncio.Future[Found | None]"


@dataclass(slots=True)
class StoredEvent:
    """A parsed event with the id it is stored under.

    `trace` has the ids of the request that brought it (telemetry.headers), empty once it was read again.
    """

    log_id: str
    ingested_at: datetime
    source: str
    event: Event
    trace: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Batch:
    """Events that were written to ClickHouse together. `seq` orders batches, `size` is how many events it has.

    `evaluations` are those of its parts, in the order received. `attempts` counts how often it was given back.
    """

    seq: int
    size: int
    evaluations: list[Evaluation]
    attempts: int = 0
