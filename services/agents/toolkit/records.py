"""The record of a tool call: bounded, content-addressed, the same for the same call on the same data.

The id is `tr_` and the first 32 hex digits of the SHA-256 over the canonical JSON of tool, arguments and result: keys
sorted, no spaces (the shape of RFC 8785 for what tools return).
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any

import orjson

from shared.contracts.agents import tool_result_payload
from shared.contracts.investigations import Citation
from shared.contracts.wire import to_builtins

#: One result's JSON. The whole assessment must fit one frame of 1 MiB.
MAX_RESULT_BYTES = 16 * 1024
_MAX_TEXT = 2000
_MAX_ITEMS = 40


def record(agent: str, tool: str, arguments: Any, result: Any, executed_at: datetime) -> Citation:
    """The citation of one tool call. A result that is too large is cut and says so under `truncated`."""
    arguments_json = without_nul(to_builtins(arguments))
    bounded = bound(without_nul(to_builtins(result)))
    return Citation(
        id=content_address(tool, arguments_json, bounded),
        agent=agent,
        tool=tool,
        arguments=arguments_json,
        result=bounded,
        executed_at=executed_at,
    )


def content_address(tool: str, arguments: dict[str, Any], result: Any) -> str:
    """The id that anyone can compute again from what the citation shows."""
    canonical = orjson.dumps(tool_result_payload(tool, arguments, result), option=orjson.OPT_SORT_KEYS)
    return "tr_" + hashlib.sha256(canonical).hexdigest()[:32]


def without_nul(value: Any) -> Any:
    """The same data with U+0000 shown as U+2400: stores of JSON can't hold it, and decoded text may have it."""
    if isinstance(value, str):
        return value.replace("\x00", "\u2400")
    if isinstance(value, list):
        return [without_nul(item) for item in value]
    if isinstance(value, dict):
        return {without_nul(key): without_nul(item) for key, item in value.items()}
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
