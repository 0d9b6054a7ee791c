"""Whether the clock of an event's origin runs ahead: an event can't have happened after it was received.

An event from the past is only late, which says nothing about its clock; it isn't marked. Owns no clock.
"""

from datetime import datetime, timedelta

from services.siem.event import Event

#: Clocks that are kept by NTP stay far below it; what is above makes windows and timelines wrong.
TOLERATED = timedelta(minutes=5)
FIELD = "aurora.clock_skew_seconds"


def flag_skew(event: Event, received_at: datetime) -> None:
    """Put the whole seconds that an event lies after its receipt into FIELD, where they are over TOLERATED."""
    ahead = event.timestamp - received_at
    if ahead > TOLERATED:
        event.ecs[FIELD] = int(ahead.total_seconds())
