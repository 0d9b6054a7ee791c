"""The record of a tool call: bounded, content-addressed, the same for the same call on the same data; and the records
of a handoff that was answered before, in place of its tools.

Keys are sorted: a store of JSON keeps no order, and judgement must see the same whether a result is fresh or recorded.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec
import orjson

from shared.content import canonical, content_address
from shared.contracts.agents import NOT_RECORDED, Recorded
from shared.contracts.claims import Citation, Refusal

#: One result's JSON. The whole assessment must fit one frame of 1 MiB.
MAX_RESULT_BYTES = 16 * 1024
_MAX_TEXT = 2000
#: From here on a number is written with an exponent; up to there integers can be read.
_EXPONENT, _INTEGERS = 1e16, 2.0**63
_MAX_ITEMS = 40


def record(agent: str, tool: str, arguments: Any, result: Any, executed_at: datetime) -> Citation:
    """The citation of one tool call. A result that is too large is cut and says so under `truncated`."""
    plain = plain_json(arguments)
    bounded = bound(plain_json(result))
    return Citation(
        id=content_address(tool, plain, bounded),
        agent=agent,
        tool=tool,
        arguments=plain,
        result=bounded,
        executed_at=executed_at,
    )


def key_of(tool: str, arguments: Any) -> str:
    """What is the same for the same call. `arguments` are plain."""
    return f"{tool} {canonical(arguments).decode()}"


class Records:
    """The recorded calls of one agent's handoff, by tool and arguments; and the results that others brought, by id."""

    def __init__(self, recorded: Recorded, agent: str) -> None:
        own = [item for item in recorded.citations if item.agent == agent]
        self._citations = {key_of(item.tool, item.arguments): item for item in own}
        self._by_id = {item.id: item for item in recorded.citations}
        self._refusals = {key_of(item.tool, item.arguments): item for item in recorded.refusals}

    def outcome(self, tool: str, arguments: dict[str, Any]) -> Citation | Refusal:
        """What came of that call; a refusal that says so when it isn't among them."""
        key = key_of(tool, arguments)
        citation = self._citations.get(key)
        if citation is not None:
            return msgspec.structs.replace(citation, arguments=arguments, result=plain_json(citation.result))
        return self._refusals.get(key) or Refusal(tool=tool, arguments=arguments, reason=NOT_RECORDED)

    def brought(self, identifiers: Iterable[str]) -> list[Citation]:
        """Those of the recorded results, whichever agent's tools they are of."""
        found = (self._by_id[name] for name in identifiers if name in self._by_id)
        return [
            msgspec.structs.replace(item, arguments=plain_json(item.arguments), result=plain_json(item.result))
            for item in found
        ]


def plain_json(value: Any) -> Any:
    """Builtins of JSON with sorted keys, as a store of JSON gives them back: decoded text may hold U+0000, which it
    can't keep (U+2400 instead), and it writes whole numbers without an exponent."""
    return _storable(orjson.loads(canonical(value)))


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\x00", "\u2400")
    if isinstance(value, float) and (value == 0 or _EXPONENT <= abs(value) < _INTEGERS):
        return int(value) if value else 0.0
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, dict):
        return {_storable(key): _storable(item) for key, item in value.items()}
    return value


def bound(result: Any) -> Any:
    """The result itself when it fits, else with ever fewer items and shorter texts, and `truncated` set."""
    if len(orjson.dumps(result)) <= MAX_RESULT_BYTES:
        return result
    items, text = _MAX_ITEMS, _MAX_TEXT
    while items > 1:
        cut = {**_cut(result, items, text), "truncated": True}
        if len(orjson.dumps(cut)) <= MAX_RESULT_BYTES:
            return cut
        items, text = max(1, items // 2), max(80, text // 2)
    return {"truncated": True}


def _cut(value: Any, items: int, text: int) -> Any:
    if isinstance(value, str):
        return value if len(value) <= text else value[:text] + "…"
    if isinstance(value, list):
        return [_cut(item, items, text) for item in value[:items]]
    if isinstance(value, dict):
        return {key: _cut(item, items, text) for key, item in list(value.items())[: max(items, 30)]}
    return value
