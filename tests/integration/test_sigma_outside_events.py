"""Index against no index on a stream nobody here wrote: OTRF's recordings under all of SigmaHQ's rules."""

from __future__ import annotations

from collections import Counter

from services.siem.detections.engine import Engine
from tests.outside_rules import compiled_rules, recorded_events

#: Every how many-th event is evaluated: without the index, all 61,000 would take minutes.
STEP = 25


def test_recorded_attacks_raise_the_same_rules_with_and_without_the_index() -> None:
    indexed, plain = (Engine(compiled_rules(), index=index) for index in (True, False))
    events, raised = 0, Counter[str]()
    for event in recorded_events(STEP):
        found = indexed.evaluate(event)
        assert found == plain.evaluate(event)
        events += 1
        raised.update(found)
    assert events > 2_000
    assert len(raised) > 10, "a day of attacks raises more than this"
