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

# Raised whenever compiling the same YAML would give other bytes: caches compare it before they decode.
COMPILER_VERSION = 1

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


class CompiledRule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule ready to be served. `condition` is null exactly when `problem` says why it can't be.

    `mitre_techniques` are ATT&CK ids ("T1059.001") from the tags.
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


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(CompiledRule)


def encode(rule: CompiledRule) -> bytes:
    """MessagePack bytes of a rule, stable for one COMPILER_VERSION."""
    return _encoder.encode(rule)


def decode(data: bytes) -> CompiledRule:
    """The rule that `encode` wrote; raises msgspec.MsgspecError on other bytes."""
    return _decoder.decode(data)
