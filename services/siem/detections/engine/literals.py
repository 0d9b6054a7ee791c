"""What must be there for a node to be true: the triggers the index is built from.

Owns the reasoning "this rule can't match unless one of these occurs". Refuses to know automata and events. A trigger
may fire too often, never too seldom: the matcher decides, the trigger only spares it work.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from services.siem.detections.engine.compiled import (
    AllOf,
    AnyOf,
    Cidr,
    Compare,
    Exists,
    FieldRef,
    Glob,
    Node,
    Regex,
    Text,
)
from services.siem.detections.engine.regex_literals import required_literals


class Trigger(NamedTuple):
    """One condition the index can see: `text` occurs in `field` in the manner of `how`.

    `how` is that of compiled.Text, or "present": the field is there at all (`text` is then empty).
    """

    field: str | None
    how: str
    text: str


Group = tuple[Trigger, ...]
"""Triggers of which at least one fires whenever the node is true."""

# Weights are guesses at how often a trigger fires, against a field that is merely present. Each character of a literal
# makes it rarer, the first few most; a literal that many rules share is a common one; what an ordinary command line or
# user name has in it is hardly better than presence.
_PRESENT_WEIGHT = 64.0
_STEEP_CHARACTERS = 8
_USEFUL_CHARACTERS = 16
_ANCHORED_BONUS = {"equals": 4, "startswith": 2, "endswith": 2, "contains": 0}
_ORDINARY_WEIGHT = 32.0
_ORDINARY = (
    r"c:\windows\system32\svchost.exe -k netsvcs c:\windows\explorer.exe c:\windows\system32\services.exe "
    r"c:\windows\system32\cmd.exe /c c:\windows\system32\conhost.exe 0xffffffff -forcev1 c:\program files\ "
    r"c:\users\ microsoft corporation microsoft windows nt authority\system true false success /usr/bin/ /bin/sh -c"
)


def literals(node: Node) -> Iterator[Trigger]:
    """Every trigger the node could be indexed by; their counts over a bucket tell the common from the rare."""
    match node:
        case AllOf() | AnyOf():
            for item in node.items:
                yield from literals(item)
        case _:
            yield from _leaf_group(node) or ()


def best_group(node: Node, shared: Counter[Trigger]) -> Group | None:
    """The group that is likely to fire most seldom, or None if the node may be true of any event at all."""
    match node:
        case AllOf():
            found = [group for item in node.items if (group := best_group(item, shared)) is not None]
            return min(found, key=lambda group: weight(group, shared), default=None)
        case AnyOf():
            return _union(best_group(item, shared) for item in node.items)
    return _leaf_group(node)


def weight(group: Group, shared: Counter[Trigger]) -> float:
    """How often the group is expected to fire, in no unit."""
    return sum(_trigger_weight(trigger) * max(1, shared[trigger]) for trigger in group)


def _trigger_weight(trigger: Trigger) -> float:
    if trigger.how == "present":
        return _PRESENT_WEIGHT
    if trigger.text in _ORDINARY:
        return _ORDINARY_WEIGHT
    length = min(len(trigger.text) + _ANCHORED_BONUS[trigger.how], _USEFUL_CHARACTERS)
    steep = min(length, _STEEP_CHARACTERS)
    return float(_PRESENT_WEIGHT * 2.0 ** -(steep + (length - steep) / 2))


def _union(found: Iterable[Group | None]) -> Group | None:
    union: dict[Trigger, None] = {}
    for group in found:
        if group is None:
            return None
        union.update(dict.fromkeys(group))
    return tuple(union)


def _leaf_group(node: Node) -> Group | None:
    match node:
        case Text():
            # Folding is done character by character, so a cased literal's fold is in the folded text too.
            return tuple(_text_trigger(node.field, node.how, value.casefold()) for value in node.values)
        case Glob():
            pieces = [piece.casefold() for segment in node.segments for piece in segment]
            return (_text_trigger(node.field, "contains", max(pieces, key=len)),)
        case Regex():
            required = required_literals(node.pattern)
            return (_text_trigger(node.field, "contains", max(required, key=len, default="")),)
        case Cidr() | Compare() | Exists() | FieldRef():
            return (Trigger(node.field, "present", ""),)
    return None  # Null and Not may be true of an event that has nothing of the rule in it


def _text_trigger(field: str | None, how: str, text: str) -> Trigger:
    # An empty literal is in any text, so only the presence of the field remains.
    return Trigger(field, how, text) if text or how == "equals" else Trigger(field, "present", "")
