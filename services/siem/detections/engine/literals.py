"""What must be there for a node to be true: the triggers the index is built from.

Owns the reasoning "this rule can't match unless one of these occurs". Refuses to know automata and events. A trigger
may fire too often, never too seldom: the matcher decides, the trigger only spares it work.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
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

    `how` is that of compiled.Text, or "present": the field is there at all (`text` is then empty). `test` is what the
    trigger stands for where that says more than the text: a wildcard pattern, a regular expression, a cased text.
    """

    field: str | None
    how: str
    text: str
    test: Node | None = None


Group = tuple[Trigger, ...]
"""Triggers of which at least one fires whenever the node is true."""

# So many groups of a rule are looked at: all of them must fire before it is tried.
GROUPS = 3
# Weights are guesses at how often a trigger fires, against a field that is merely present. Each character of a literal
# makes it rarer, the first few most; a literal that many rules share is a common one; what an ordinary command line or
# user name has in it is hardly better than presence.
_PRESENT_WEIGHT = 64.0
# A keyword has all values of an event joined and searched through, so it is the last resort.
_KEYWORD_WEIGHT = 1024.0
# An expression without any literal, tested once for each value.
_TESTED_WEIGHT = 16.0
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
    return next(iter(groups(node, shared)), None)


def groups(node: Node, shared: Counter[Trigger]) -> list[Group]:
    """Groups that all fire whenever the node is true, at most GROUPS, those that fire most seldom first."""
    match node:
        case AllOf():
            found = [group for item in node.items for group in groups(item, shared)]
        case AnyOf():
            found = _unions([groups(item, shared) for item in node.items])
        case _:
            group = _leaf_group(node)
            return [] if group is None else [group]
    return sorted(dict.fromkeys(found), key=lambda group: weight(group, shared))[:GROUPS]


def weight(group: Group, shared: Counter[Trigger]) -> float:
    """How often the group is expected to fire, in no unit; more than any other if it takes a keyword."""
    return sum(_trigger_weight(trigger) * max(1, shared[trigger]) for trigger in group)


def _trigger_weight(trigger: Trigger) -> float:
    if trigger.field is None:
        return _KEYWORD_WEIGHT
    if trigger.how == "present":
        return _PRESENT_WEIGHT if trigger.test is None else _TESTED_WEIGHT
    if trigger.text in _ORDINARY:
        return _ORDINARY_WEIGHT
    length = min(len(trigger.text) + _ANCHORED_BONUS[trigger.how], _USEFUL_CHARACTERS)
    steep = min(length, _STEEP_CHARACTERS)
    return float(_PRESENT_WEIGHT * 2.0 ** -(steep + (length - steep) / 2))


def _unions(branches: list[list[Group]]) -> list[Group]:
    """Of a disjunction: the best groups of all branches together are one, the second best of all another."""
    if not all(branches):
        return []
    unions = []
    for place in range(max(map(len, branches))):
        chosen = (branch[min(place, len(branch) - 1)] for branch in branches)
        unions.append(tuple(dict.fromkeys(trigger for group in chosen for trigger in group)))
    return unions


def _leaf_group(node: Node) -> Group | None:
    match node:
        case Text():
            # Folding is done character by character, so a cased literal's fold is in the folded text too.
            return tuple(_text_trigger(node.field, node.how, value.casefold()) for value in node.values)
        case Glob():
            pieces = [piece.casefold() for segment in node.segments for piece in segment]
            return (_text_trigger(node.field, "contains", max(pieces, key=len), node),)
        case Regex():
            required = required_literals(node.pattern)
            return (_text_trigger(node.field, "contains", max(required, key=len, default=""), node),)
        case Cidr() | Compare() | Exists() | FieldRef():
            return (Trigger(node.field, "present", ""),)
    return None  # Null and Not may be true of an event that has nothing of the rule in it


def _text_trigger(field: str | None, how: str, text: str, test: Node | None = None) -> Trigger:
    # An empty literal is in any text, so only the presence of the field remains.
    return Trigger(field, how, text, test) if text or how == "equals" else Trigger(field, "present", "", test)
