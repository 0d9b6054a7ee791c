"""What every parser shares: the context it gets, the limits it keeps, and the two forms an item can have.

A text parser takes one line and gives an Event, or None when the line isn't of its format. A document parser takes a
JSON object and its text. Owns no format; refuses to know which parser an item goes to (recognise.py does).
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from services.siem.event import Event

#: Bytes of one item, as received.
MAX_ITEM = 256 * 1024
#: Characters of one value in `Event.ecs`, `Event.message` and the views; the raw event is never cut.
MAX_VALUE = 64 * 1024
#: Fields of one event, in `Event.ecs` and in each view.
MAX_FIELDS = 2000
#: Characters of a field's name; a longer one, and what lies under it, is kept as one JSON text under its beginning.
MAX_NAME = 512
#: Levels of nesting that become dotted names; what lies deeper is kept as JSON text.
MAX_DEPTH = 20
#: Characters of a readable message that is built rather than received.
MAX_SUMMARY = 1024

Document: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Context:
    """What a parser may know beside the item: where it came from and when (aware UTC) it was received."""

    source: str
    received_at: datetime


@dataclass(slots=True)
class Rejected:
    """An item that isn't taken: its place in the request, from 0, a sentence for the sender, and what was received
    where that could not even be read."""

    index: int
    message: str
    raw: bytes = b""


TextParser: TypeAlias = Callable[[str, Context], Event | None]
DocumentParser: TypeAlias = Callable[[Document, str, Context], Event]
