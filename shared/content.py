"""Content addresses: the one JSON of a value, and the id that is made of it.

Whoever holds a tool result can compute its id again: `tr_` and the first 32 hex digits of the SHA-256 over the
canonical JSON of tool, arguments and result (keys sorted, no spaces: the shape of RFC 8785 for what tools return).
"""

from __future__ import annotations

import hashlib
from typing import Any

import orjson

from shared.contracts.agents import tool_result_payload
from shared.contracts.claims import Refusal
from shared.contracts.fleet import ToolCall
from shared.contracts.wire import to_builtins


def canonical(value: Any) -> bytes:
    """The JSON of a contract or of plain data with sorted keys: equal values have equal bytes."""
    return orjson.dumps(to_builtins(value), option=orjson.OPT_SORT_KEYS)


def content_address(tool: str, arguments: dict[str, Any], result: Any) -> str:
    """The id of a tool result."""
    return _address(tool_result_payload(tool, arguments, result))


def refusal_address(refusal: Refusal) -> str:
    """The id of a tool call that brought no result, over tool, arguments and reason."""
    return _address({"tool": refusal.tool, "arguments": refusal.arguments, "refusal": refusal.reason})


def is_true(call: ToolCall) -> bool:
    """Whether a stored call is what its address says."""
    if call.status == "completed":
        return call.id == content_address(call.tool, call.arguments, call.result)
    return call.id == refusal_address(Refusal(tool=call.tool, arguments=call.arguments, reason=call.error or ""))


def _address(payload: dict[str, Any]) -> str:
    return "tr_" + hashlib.sha256(orjson.dumps(payload, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]
