"""What the parser tests share: one time of receipt, and one item parsed."""

from datetime import UTC, datetime

from services.siem.event import Event, View
from services.siem.logs.parsers import Item, Rejected, parse_items

RECEIVED = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


def events(*items: Item, source: str = "test", form: str | None = None) -> list[Event]:
    """The events of items that are all taken."""
    results = parse_items(items, source=source, received_at=RECEIVED, format=form)
    taken = [result for result in results if isinstance(result, Event)]
    assert len(taken) == len(items), results
    return taken


def event(item: Item, source: str = "test", form: str | None = None) -> Event:
    """The event of one item."""
    return events(item, source=source, form=form)[0]


def rejection(item: Item) -> str:
    """Why one item is rejected."""
    (result,) = parse_items([item], source="test", received_at=RECEIVED)
    assert isinstance(result, Rejected)
    return result.message


def view(found: Event, category: str | None) -> View:
    """The event's view of one Sigma category."""
    (wanted,) = [each for each in found.views if each.category == category]
    return wanted
