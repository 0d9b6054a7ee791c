"""The compiled form of a Sigma rule: a small, serialisable condition tree and what an alert needs of the rule.

Owns the node types, their msgpack form and the version that says when cached bytes are stale. Refuses to know YAML,
pySigma and how a node is evaluated.

Texts are casefolded when the rule is compiled (unless `cased`), fields are lower case; `field=None` is a keyword and
looks at every value of the event. A node with several values is true when any of them matches.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from shared.contracts.detections import Level

# Raised whenever compiling the same YAML would give other bytes: caches compare it before they decode. What depends on
# the lists of placeholders is compiled again when one changes.
COMPILER_VERSION = 2

How: TypeAlias = Literal["equals", "contains", "startswith", "endswith"]
Operator: TypeAlias = Literal["lt", "lte", "gt", "gte", "eq"]
TimePart: TypeAlias = Literal["minute", "hour", "day", "week", "month", "year"]


class AllOf(msgspec.Struct, frozen=True, tag="all"):
    """Every item matches."""

    items: tuple[Node, ...]


class AnyOf(msgspec.Struct, frozen=True, tag="any"):
    """At least one item matches."""

    items: tuple[Node, ...]


class Not(msgspec.Struct, frozen=True, tag="not"):
    """The item doesn't match."""

    item: Node


class Text(msgspec.Struct, frozen=True, tag="text"):
    """A value equals, contains, starts or ends with one of `values`."""

    field: str | None
    how: How
    values: tuple[str, ...]
    cased: bool = False


class Glob(msgspec.Struct, frozen=True, tag="glob"):
    """A value matches a wildcard pattern that no Text can say.

    `segments` are the parts between `*`; each segment is a tuple of the literal pieces between its `?`.
    """

    field: str | None
    segments: tuple[tuple[str, ...], ...]
    cased: bool = False


class Regex(msgspec.Struct, frozen=True, tag="re"):
    """An RE2 expression, flags inlined, is found somewhere in the original (not casefolded) value."""

    field: str | None
    pattern: str


class Cidr(msgspec.Struct, frozen=True, tag="cidr"):
    """A value is an address within one of `networks`."""

    field: str | None
    networks: tuple[str, ...]


class Compare(msgspec.Struct, frozen=True, tag="cmp"):
    """A value, read as a number (or, with `part`, that part of a timestamp), compares with `number`."""

    field: str
    operator: Operator
    number: int | float
    part: TimePart | None = None


class Null(msgspec.Struct, frozen=True, tag="null"):
    """The field is missing, null or an empty list."""

    field: str


class Exists(msgspec.Struct, frozen=True, tag="exists"):
    """The field is there, whatever its value."""

    field: str


class FieldRef(msgspec.Struct, frozen=True, tag="ref"):
    """A value equals (contains, starts, ends with) a value of the field `other`, ignoring case."""

    field: str
    other: str
    how: How


Node: TypeAlias = AllOf | AnyOf | Not | Text | Glob | Regex | Cidr | Compare | Null | Exists | FieldRef


CorrelationKind: TypeAlias = Literal[
    "event_count",
    "value_count",
    "temporal",
    "temporal_ordered",
    "value_sum",
    "value_avg",
    "value_percentile",
    "value_median",
]


class Bound(msgspec.Struct, frozen=True):
    """What is counted or computed over a window compares with `number`."""

    operator: Literal["lt", "lte", "gt", "gte", "eq", "neq"]
    number: int | float


class AllSeen(msgspec.Struct, frozen=True, tag="all"):
    """Every item holds of a window."""

    items: tuple[Formula, ...]


class AnySeen(msgspec.Struct, frozen=True, tag="any"):
    """At least one item holds of a window."""

    items: tuple[Formula, ...]


class NotSeen(msgspec.Struct, frozen=True, tag="not"):
    """The item doesn't hold of a window."""

    item: Formula


Formula: TypeAlias = AllSeen | AnySeen | NotSeen | str
"""An extended condition of a temporal correlation; a text is a reference: that rule matched within the window."""


class Correlation(msgspec.Struct, frozen=True, kw_only=True):
    """How matches of other rules are counted together (Sigma correlation rules specification).

    `rules` are references as written, each the id or the name of a rule. All of `bounds` hold of a window of `seconds`
    that fires; `formula` takes their place where there is one. `fields` is what the value kinds look at, `percentile`
    (0 to 100) is set for value_percentile. `aliases` are (alias, ((reference, field), ...)).
    """

    kind: CorrelationKind
    rules: tuple[str, ...]
    group_by: tuple[str, ...]
    seconds: int
    bounds: tuple[Bound, ...] = ()
    formula: Formula | None = None
    fields: tuple[str, ...] = ()
    percentile: int | None = None
    aliases: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()
    generate: bool = False


class Filter(msgspec.Struct, frozen=True):
    """What the rules it applies to demand beside their own condition. `rules` None are all of its log source."""

    rules: tuple[str, ...] | None
    condition: Node


class CompiledRule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule ready to be served: exactly one of `condition`, `correlation`, `filter` and `problem` is set.

    `condition` is that of a rule on single events; `problem` says why a valid rule can't be served. `name` is what
    correlations and filters may call it by. `mitre_techniques` are ATT&CK ids ("T1059.001") from the tags.
    """

    id: str
    title: str
    level: Level
    status: str
    description: str
    author: str
    product: str | None
    category: str | None
    service: str | None
    tags: tuple[str, ...]
    mitre_techniques: tuple[str, ...]
    condition: Node | None
    problem: str | None
    name: str | None = None
    correlation: Correlation | None = None
    filter: Filter | None = None


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(CompiledRule)


def encode(rule: CompiledRule) -> bytes:
    """MessagePack bytes of a rule, stable for one COMPILER_VERSION."""
    return _encoder.encode(rule)


def decode(data: bytes) -> CompiledRule:
    """The rule that `encode` wrote; raises msgspec.MsgspecError on other bytes."""
    return _decoder.decode(data)
