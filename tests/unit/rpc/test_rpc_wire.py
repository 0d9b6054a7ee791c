"""Messages and errors as JSON."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts.agents import AnalyzeThreat
from shared.contracts.constants import ERROR_CODES
from shared.errors import INTERNAL, MALFORMED_REQUEST, RATE_LIMITED, VALIDATION, AuroraError
from shared.rpc import wire

#: The ones the specification owns; every other code of ours keeps to the range DECISIONS gives it.
_STANDARD = {-32600, -32601, -32602, -32603}


@pytest.mark.parametrize("text", ["", " ", "{", "[1,]", '{"a":1}x', "nul", "NaN", "[" * 100_000, '"\\ud800"', "1e999"])
def test_what_is_not_json_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match="not JSON"):
        wire.decode(text)


@given(st.text())
def test_decoding_agrees_with_the_standard_library(text: str) -> None:
    try:
        expected = json.loads(text)
    except ValueError:
        return
    if expected == expected and abs(expected if isinstance(expected, int | float) else 0) < 1e308:
        assert wire.decode(text) == expected


def test_a_reply_has_a_result_or_an_error_and_never_both() -> None:
    good = json.loads(wire.success(None, None))
    bad = json.loads(wire.failure("x", wire.standard_error(wire.METHOD_NOT_FOUND)))
    assert good == {"jsonrpc": "2.0", "result": None, "id": None}
    assert bad == {"jsonrpc": "2.0", "error": {"code": -32601, "message": "Method not found"}, "id": "x"}


def test_an_exception_that_is_not_ours_becomes_internal_error_without_its_text() -> None:
    error = wire.wire_error(ValueError("swordfish"), "a_method")
    assert json.loads(wire.failure(1, error))["error"] == {"code": -32603, "message": "Internal error"}


def test_every_aurora_error_keeps_to_its_range_and_comes_back_as_it_was() -> None:
    for code in ERROR_CODES.values():
        assert code.rpc_code in _STANDARD or -32019 <= code.rpc_code <= -32010
        error = json.loads(wire.failure(1, wire.wire_error(AuroraError(code, {"a": 1}))))["error"]
        back = wire.error_from_wire(error["code"], error["message"], error.get("data"))
        assert back.code is code
        assert back.message == error["message"]
        assert back.detail == (None if code is INTERNAL else {"a": 1})


def test_the_time_to_wait_comes_back() -> None:
    sent = wire.failure(1, wire.wire_error(AuroraError(RATE_LIMITED, retry_after=2.5)))
    error = json.loads(sent)["error"]
    assert error["data"] == {"code": "AURORA-4290", "retry_after": 2.5}
    assert wire.error_from_wire(error["code"], error["message"], error["data"]).retry_after == 2.5


@pytest.mark.parametrize(
    ("code", "data", "expected"),
    [
        (-32700, None, MALFORMED_REQUEST),
        (-32600, {"code": 5}, MALFORMED_REQUEST),
        (-32602, "text", VALIDATION),
        (-32602, {"code": "OTHER-1"}, VALIDATION),
        (-32603, None, INTERNAL),
        (-1, None, INTERNAL),
    ],
)
def test_an_error_of_a_foreign_peer_is_read_by_its_json_rpc_code(code: int, data: Any, expected: object) -> None:
    assert wire.error_from_wire(code, "m" * 10_000, data).code is expected
    assert len(wire.error_from_wire(code, "m" * 10_000, data).message) <= 512


def test_a_params_error_names_the_path_within_the_params() -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert({"iocs": [{"type": "ip", "value": 5}]}, AnalyzeThreat)
    error = wire.params_error(caught.value)
    assert error.detail == [{"path": "params.iocs[0].value", "message": "Expected `str`, got `int`"}]
