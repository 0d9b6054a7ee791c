"""The tests inside a rule: events that it must and must not match, under `tests:` beside its Sigma.

    tests:
      match: [{...}, "a raw line"]
      no_match: ["another line"]

An event is a JSON object or the raw text of one event, read by the parsers of intake; text of several lines (audit
records) is one test, which matches when any of its events does. Pure: refuses to know who stores the rule.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import orjson

from services.siem.detections.engine.compiled import CompiledRule
from services.siem.detections.engine.document import invalid, line_of, load_document
from services.siem.detections.engine.engine import Engine
from services.siem.event import Event
from services.siem.logs.parsers import Item, parse_items

MAX_TESTS = 200
_NAMED = re.compile(r"\btests\b['\"]?\s*:")
_EXPECTED = {"match": True, "no_match": False}
#: A line without a year is read as of this day, so that a test says the same tomorrow.
_RECEIVED_AT = datetime(2026, 1, 1, tzinfo=UTC)


def check_tests(rule: CompiledRule, yaml_text: str) -> None:
    """Runs the tests of a rule that the engine can serve. Raises AURORA-4222 naming the first that fails."""
    if _NAMED.search(yaml_text) is None:
        # Most rules have none, and reading YAML is slow.
        return
    tests = load_document(yaml_text).get("tests")
    if tests is None:
        return
    if not isinstance(tests, dict) or not tests.keys() <= _EXPECTED.keys():
        raise _failed(yaml_text, "tests has the lists `match` and `no_match`, nothing else", ("tests",))
    lists = {name: tests.get(name) or [] for name in _EXPECTED}
    for name, events in lists.items():
        if not isinstance(events, list) or len(events) > MAX_TESTS:
            raise _failed(yaml_text, f"tests.{name} is a list of at most {MAX_TESTS} events", ("tests", name))
    if rule.condition is None:
        # It isn't served, and `problem` says why: there is nothing to hold its events against.
        return
    engine = Engine([rule])
    for name, events in lists.items():
        for number, event in enumerate(events):
            path = ("tests", name, str(number))
            parsed = _read(yaml_text, event, path)
            if any(engine.evaluate(item) for item in parsed) != _EXPECTED[name]:
                wrong = "matches" if name == "no_match" else "does not match"
                raise _failed(yaml_text, f"the rule {wrong} the event of tests.{name}[{number}]", path)


def _read(yaml_text: str, event: Any, path: tuple[str, ...]) -> list[Event]:
    items: list[Item]
    if isinstance(event, dict):
        # YAML has dates where JSON has text.
        items = [orjson.loads(orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS))]
    elif isinstance(event, str) and event.strip():
        items = [line for line in event.splitlines() if line.strip()]
    else:
        raise _failed(yaml_text, "an event is a JSON object or the text of one", path)
    results = parse_items(items, source="test", received_at=_RECEIVED_AT)
    events = [result for result in results if isinstance(result, Event)]
    if len(events) < len(results):
        raise _failed(yaml_text, "no parser takes this event", path)
    return events


def _failed(yaml_text: str, message: str, path: tuple[str, ...]) -> Exception:
    return invalid(message, line=line_of(yaml_text, path), path=".".join(path))
