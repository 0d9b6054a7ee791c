"""The grammar of a search: tokens to a tree, bounded in size and depth. Refuses to know columns and SQL.

    any      := all ("or" all)*
    all      := one (["and"] one)*                 adjacent terms must all match
    one      := "not" one | "(" any ")" | field ":" (value | "(" any ")") | field compare value | value
    compare  := "<" | "<=" | ">" | ">="

`and`, `or` and `not` are read in any case. Inside `field:( )` stand values only.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import TypeVar, cast

from services.siem.logs.query.lexer import Kind, Token, Unreadable, refused, tokens
from services.siem.logs.query.nodes import And, Bound, Node, Not, Operator, Or, Range, Term

T = TypeVar("T")
MAX_TERMS = 64
MAX_DEPTH = 16
#: Each may begin anywhere in a text, and the engine looks at its clock only between blocks of texts.
MAX_WILDCARDS = 32
#: The event's own time and its arrival: compared with times only.
TIME_FIELDS = frozenset({"@timestamp", "timestamp", "event.ingested", "ingested_at"})
_NUMBER = re.compile(r"[+-]?[0-9]{1,30}(?:\.[0-9]{1,30})?")


def parse(text: str) -> Node:
    """The tree of a search. Raises AURORA-4220 naming the character that can't be read, and what stands there."""
    try:
        return _Parser(text).whole()
    except Unreadable as why:
        raise refused(text, why) from why


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = tokens(text)
        self._next = next(self._tokens)
        self._terms = 0
        self._wildcards = 0

    def whole(self) -> Node:
        if self._at("end"):
            return And(())
        node = self._any(None, 0)
        if not self._at("end"):
            raise Unreadable(self._next.place, "this parenthesis was never opened")
        return node

    def _at(self, *kinds: Kind) -> bool:
        return self._next.kind in kinds

    def _take(self) -> Token:
        token = self._next
        self._next = next(self._tokens, token)
        return token

    def _any(self, field: str | None, depth: int) -> Node:
        parts = [self._all(field, depth)]
        while self._at("or"):
            self._take()
            parts.append(self._all(field, depth))
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _all(self, field: str | None, depth: int) -> Node:
        parts = [self._one(field, depth)]
        while not self._at("or", ")", "end"):
            if self._at("and"):
                self._take()
            parts.append(self._one(field, depth))
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _one(self, field: str | None, depth: int) -> Node:
        token = self._take()
        if depth > MAX_DEPTH:
            raise Unreadable(token.place, f"at most {MAX_DEPTH} levels of parentheses and NOT")
        if token.kind == "not":
            return Not(self._one(field, depth + 1))
        if token.kind == "(":
            return self._group(token, field, depth)
        if token.kind == "value":
            return self._term(field, token)
        if token.kind in ("field", "compare"):
            if field is not None:
                raise Unreadable(token.place, f"only values stand in {field}:( ); quotes keep a colon in a value")
            return self._valued(token, depth)
        raise Unreadable(token.place, "a term is missing here; quotes make a word of and, or, not")

    def _group(self, opened: Token, field: str | None, depth: int) -> Node:
        node = self._any(field, depth + 1)
        if not self._at(")"):
            raise Unreadable(opened.place, "this parenthesis isn't closed")
        self._take()
        return node

    def _valued(self, named: Token, depth: int) -> Node:
        token = self._take()
        if named.kind == "field" and token.kind == "(":
            return self._group(token, named.text, depth)
        if token.kind != "value":
            raise Unreadable(named.place, f"the field {named.text} needs a value")
        if named.kind == "field":
            return self._term(named.text, token)
        self._count(token)
        return Range(named.text, cast("Operator", named.operator), _bound(named.text, token))

    def _term(self, field: str | None, token: Token) -> Term:
        self._count(token)
        return Term(field, token.pieces)

    def _count(self, token: Token) -> None:
        self._terms += 1
        if self._terms > MAX_TERMS:
            raise Unreadable(token.place, f"at most {MAX_TERMS} terms")
        self._wildcards += max(0, len(token.pieces) - 1)
        if self._wildcards > MAX_WILDCARDS:
            raise Unreadable(token.place, f"at most {MAX_WILDCARDS} wildcards")


def _bound(field: str, token: Token) -> Bound:
    """What a range compares with. Raises Unreadable for what has no order here."""
    text = "*".join(token.pieces)
    if field not in TIME_FIELDS:
        if _NUMBER.fullmatch(text) is not None:
            return float(text)
        address = _read(ip_address, text)
        if address is not None:
            return address
    moment = _read(datetime.fromisoformat, text)
    if moment is not None:
        return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    kinds = "a time" if field in TIME_FIELDS else "a number, a time or an address"
    raise Unreadable(token.place, f"{field} is compared with {kinds}, as 2026-03-01 or 2026-03-01T12:00:00Z")


def _read(read: Callable[[str], T], text: str) -> T | None:
    try:
        return read(text)
    except ValueError:
        return None
