"""Facts that an event's action names: what a step in an account's or a cloud's administration means, as data. Pure.

A book is a JSON file of facts. A fact holds of an event whose `event.action` or `event.code` is one of its `actions`,
when every pattern of `when` is found in its field, none of `unless` is, and the two fields of `differs` are there and
differ. `source` limits it to datasets that begin so.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import msgspec

from services.agents.toolkit.conditions import Conditions, shown, texts_in
from services.agents.toolkit.fencing import quote
from services.agents.toolkit.signs import Sign
from shared.contracts.investigations import Citation

_KEYS = ("event.action", "event.code")
#: What is left of a fact when the step was refused: the will was there, the effect was not.
_REFUSED = 0.6


class Fact(msgspec.Struct, frozen=True):
    """One fact. `weight` is 0..1; `show` names the fields that the claim quotes beside the account. What stands before
    a dot of `id` is the kind of sign: facts of one kind count once."""

    id: str
    source: str
    actions: tuple[str, ...]
    weight: float
    techniques: tuple[str, ...]
    text: str
    show: tuple[str, ...] = ()
    when: dict[str, str] = {}
    unless: dict[str, str] = {}
    differs: tuple[str, str] | None = None


class _File(msgspec.Struct):
    description: str
    facts: list[Fact]


class FactBook:
    """The facts of one file, read when they are first asked for."""

    def __init__(self, file: Path) -> None:
        self._file = file

    @cached_property
    def facts(self) -> tuple[Fact, ...]:
        """All facts, in the order of the file."""
        return tuple(msgspec.json.decode(self._file.read_bytes(), type=_File).facts)

    @cached_property
    def _by_id(self) -> dict[str, Fact]:
        return {fact.id: fact for fact in self.facts}

    @cached_property
    def _by_action(self) -> dict[str, list[tuple[Fact, Conditions]]]:
        found: dict[str, list[tuple[Fact, Conditions]]] = {}
        for fact in self.facts:
            for action in fact.actions:
                found.setdefault(action.lower(), []).append((fact, Conditions(fact.when, fact.unless)))
        return found

    @cached_property
    def fields(self) -> frozenset[str]:
        """The fields that any fact looks at or shows."""
        return frozenset(
            name for fact in self.facts for name in (*fact.when, *fact.unless, *fact.show, *(fact.differs or ()))
        )

    def facts_of(self, event: Mapping[str, Any]) -> list[Fact]:
        """The facts that hold of one event, which has `dataset` and `ecs`."""
        ecs, dataset = event["ecs"], str(event["dataset"])
        keys = dict.fromkeys(text.lower() for name in _KEYS for text in texts_of(ecs, name))
        return [
            fact
            for key in keys
            for fact, conditions in self._by_action.get(key, ())
            if dataset.startswith(fact.source) and conditions.hold(partial(texts_of, ecs))
            if fact.differs is None or _differ(ecs, *fact.differs)
        ]

    def signs_of(self, event: Mapping[str, Any], carrier: Citation) -> list[Sign]:
        """The facts of one event as signs; what was refused counts less. `facts` of the event, where it has them, are
        the ids of those that held of the whole event, of which this is a part."""
        held = self.facts_of(event) if "facts" not in event else [self._by_id[name] for name in event["facts"]]
        refused = "failure" in texts_of(event["ecs"], "event.outcome")
        return [
            Sign(
                fact.id.partition(".")[0],
                f"{fact.text}{' (refused)' if refused else ''}: {_shown(event['ecs'], fact.show)}",
                round(fact.weight * (_REFUSED if refused else 1.0), 4),
                fact.techniques,
                carrier,
            )
            for fact in held
        ]


def texts_of(ecs: Mapping[str, Any], name: str) -> list[str]:
    """The values of a field as texts."""
    return texts_in(ecs.get(name))


def _differ(ecs: Mapping[str, Any], one: str, other: str) -> bool:
    first, second = ({text.lower() for text in texts_of(ecs, name)} for name in (one, other))
    return bool(first and second) and first.isdisjoint(second)


def _shown(ecs: Mapping[str, Any], names: tuple[str, ...]) -> str:
    actor = texts_of(ecs, "user.name")
    by = f" by {quote(actor[0], 100)}" if actor else ""
    return (shown(partial(texts_of, ecs), names) + by).strip() or "by nobody named"
