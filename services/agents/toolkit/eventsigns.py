"""What a single event says of intent, whatever its source: conditions on its fields as data. Pure.

The facts are knowledge/events.json. A fact holds when every pattern of `when` is found in its field, none of `unless`
is, and the two program names of `differs` are different ones.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from services.agents.toolkit.behaviours import behaviours_in
from services.agents.toolkit.conditions import Conditions, shown, texts_in
from services.agents.toolkit.fencing import quote
from services.agents.toolkit.signs import Sign
from shared.contracts.investigations import Citation

_FILE = Path(__file__).parent / "knowledge" / "events.json"
#: What is kept of an event beside the fields that made it interesting.
_CONTEXT = (
    "event.action", "event.code", "event.type", "event.category", "event.outcome", "process.name", "process.executable",
    "process.command_line", "process.pid", "user.name", "file.path", "registry.path", "registry.data.strings",
    "destination.ip", "destination.port", "source.ip", "dns.question.name", "service.name",
    "powershell.file.script_block_text", "winlog.event_data.TargetImage", "winlog.event_data.GrantedAccess",
)  # fmt: skip

_RUN = ("process.command_line", "powershell.file.script_block_text")


class Fact(msgspec.Struct, frozen=True):
    """One fact. `weight` is 0..1; `show` names the fields that the claim quotes."""

    id: str
    when: dict[str, str]
    weight: float
    techniques: tuple[str, ...]
    text: str
    show: tuple[str, ...]
    unless: dict[str, str] = {}
    differs: tuple[str, str] | None = None


class _Knowledge(msgspec.Struct):
    description: str
    facts: list[Fact]


#: A fact, its place in the file, and its conditions.
_Compiled = tuple[int, Fact, Conditions]
#: Fields that most events have: a fact is looked up by another of its fields where it has one.
_COMMON = ("message", "event.category", "event.type", "event.action", "event.outcome", "process.executable")
#: A pattern that is whole words and nothing else: facts are looked up by them, which spares most patterns.
_WORDS = re.compile(r"\^(?:\(([\w -]+(?:\|[\w -]+)*)\)|([\w -]+))\$")
_LOOKED_UP = ("event.code", "event.action", "auditd.type", "auditd.syscall", "event.category", "event.type")


@lru_cache(maxsize=1)
def known() -> tuple[Fact, ...]:
    """All facts, in the order of the file."""
    return tuple(msgspec.json.decode(_FILE.read_bytes(), type=_Knowledge).facts)


@lru_cache(maxsize=1)
def _lookup() -> tuple[dict[tuple[str, str], list[_Compiled]], dict[str, list[_Compiled]]]:
    """The facts by a field and its value where they name some, the others by a field that they look at."""
    by_value: dict[tuple[str, str], list[_Compiled]] = {}
    by_field: dict[str, list[_Compiled]] = {}
    for place, fact in enumerate(known()):
        compiled = (place, fact, Conditions(fact.when, fact.unless))
        named = ((name, _WORDS.fullmatch(fact.when[name])) for name in _LOOKED_UP if name in fact.when)
        field, words = next(((name, match) for name, match in named if match), (None, None))
        if field is not None and words is not None:
            for word in (words[1] or words[2]).split("|"):
                by_value.setdefault((field, word.casefold()), []).append(compiled)
        else:
            by_field.setdefault(min(fact.when, key=lambda name: name in _COMMON), []).append(compiled)
    return by_value, by_field


def texts_of(event: Mapping[str, Any], name: str) -> list[str]:
    """The values of a field as texts; `message` is the event's own line."""
    return texts_in(event["message"] if name == "message" else event["ecs"].get(name))


def facts_of(event: Mapping[str, Any]) -> list[Fact]:
    """The facts that hold of one compact event."""
    by_value, by_field = _lookup()
    found = [item for name in ("message", *event["ecs"]) for item in by_field.get(name, ())]
    for name in _LOOKED_UP:
        for text in texts_of(event, name):
            found += by_value.get((name, text.casefold()), ())
    texts = partial(texts_of, event)
    candidates = {place: (fact, conditions) for place, fact, conditions in found}
    return [
        fact
        for _, (fact, conditions) in sorted(candidates.items())
        if conditions.hold(texts) and (fact.differs is None or _differ(event, *fact.differs))
    ]


def _differ(event: Mapping[str, Any], first: str, second: str) -> bool:
    names = [{_stem(text) for text in texts_of(event, name)} for name in (first, second)]
    return bool(names[0] and names[1]) and names[0].isdisjoint(names[1])


def _stem(name: str) -> str:
    return name.lower().replace("\\", "/").rpartition("/")[2].removesuffix(".mui").removesuffix(".exe")


def event_signs(event: Mapping[str, Any], carrier: Citation) -> list[Sign]:
    """The facts of one event as signs."""
    return [
        Sign(
            fact.id,
            f"{fact.text}: {shown(partial(texts_of, event), fact.show) or quote(event['message'])}",
            fact.weight,
            fact.techniques,
            carrier,
        )
        for fact in facts_of(event)
    ]


class Relevant(NamedTuple):
    """The fields of an event worth keeping, and whether they speak of intent."""

    fields: dict[str, Any]
    telling: bool


def relevant(event: Mapping[str, Any]) -> Relevant | None:
    """What to keep of an event that started something or speaks of intent; None for any other."""
    facts = facts_of(event)
    telling = bool(facts) or any(behaviours_in(text) for name in _RUN for text in texts_of(event, name))
    started = "start" in texts_of(event, "event.type") and "process" in texts_of(event, "event.category")
    if not (telling or started):
        return None
    names = {*_CONTEXT, *(name for fact in facts for name in (*fact.when, *fact.unless, *(fact.differs or ())))}
    return Relevant({name: value for name, value in event["ecs"].items() if name in names}, telling)
