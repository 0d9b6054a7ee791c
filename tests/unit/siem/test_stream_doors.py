"""The wire forms of Loki and OTLP: their labels and values, and that no body gets past them but as a refusal."""

from __future__ import annotations

from typing import Any

import cramjam
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.siem.doors import loki, otlp, streams
from shared.errors import MALFORMED_REQUEST, PAYLOAD_TOO_LARGE, AuroraError

NAMES = (
    "streams", "stream", "values", "labels", "entries", "ts", "line", "resourceLogs", "resource", "attributes", "key",
    "value", "scopeLogs", "scope", "name", "logRecords", "body", "timeUnixNano", "traceId", "severityText",
    "stringValue", "intValue", "kvlistValue", "arrayValue", "bytesValue",
)  # fmt: skip
SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(max_size=12)


def documents(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(children, max_size=4) | st.dictionaries(st.sampled_from(NAMES), children, max_size=4)


def refused_or_read(read: Any, body: bytes, media_type: str) -> None:
    try:
        delivery = read(body, media_type)
    except AuroraError as error:
        assert error.code in (MALFORMED_REQUEST, PAYLOAD_TOO_LARGE)  # noqa: PT017 - either is fine
    else:
        assert delivery.records >= 0


@given(st.recursive(SCALARS, documents, max_leaves=20))
def test_any_json_is_read_or_refused(document: Any) -> None:
    for body in (document, {"streams": document}, {"streams": [document]}, {"resourceLogs": [document]}):
        refused_or_read(loki.read_push, orjson.dumps(body), "application/json")
        refused_or_read(otlp.read_export, orjson.dumps(body), "application/json")
    record = {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": document, "attributes": document}]}]}]}
    refused_or_read(otlp.read_export, orjson.dumps(record), "application/json")
    entry = {"streams": [{"stream": {"job": document}, "values": [[document, document, document]]}]}
    refused_or_read(loki.read_push, orjson.dumps(entry), "application/json")


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    for data in (body, bytes(cramjam.snappy.compress_raw(body))):
        refused_or_read(loki.read_push, data, "application/x-protobuf")
        refused_or_read(otlp.read_export, data, "application/x-protobuf")
        refused_or_read(loki.read_push, data, "application/json")


def test_labels_are_read_as_loki_writes_them() -> None:
    assert loki.read_labels('{job="a", path="C:\\\\x", said="\\"hi\\"",}') == {
        "job": "a",
        "path": "C:\\x",
        "said": '"hi"',
    }
    assert loki.read_labels("{}") == {}
    for wrong in ("job", "{job}", '{job="a" oops}', "{job='a'}"):
        with pytest.raises(ValueError, match="label"):
            loki.read_labels(wrong)


def test_an_object_in_a_line_keeps_what_it_says_of_itself() -> None:
    fields = {"labels": {"job": "a"}, "host": {"name": "outer"}}
    item = streams.record_of('{"EventID": 1, "host": {"name": "inner"}}', "2026-03-01T12:00:00.000000Z", fields)
    assert item == {
        "EventID": 1,
        "host": {"name": "inner"},
        "labels": {"job": "a"},
        "@timestamp": "2026-03-01T12:00:00.000000Z",
    }
    assert "@timestamp" not in streams.record_of('{"time": 3}', "2026-03-01T12:00:00.000000Z", {})
    assert streams.record_of("a line", None, {"message": "a label"})["message"] == "a line"


def test_the_name_of_a_source_is_made_harmless() -> None:
    assert streams.source_name(None, "", "a\nb;c" + "x" * 200, default="d") == ("a-b-c" + "x" * 200)[:128]
    assert streams.source_name(3, "  ", default="loki") == "loki"


def test_records_and_sources_of_a_request_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MAX_RECORDS", 2)
    values = [["1", "x"]] * 3
    body = orjson.dumps({"streams": [{"stream": {}, "values": values}]})
    with pytest.raises(AuroraError) as refusal:
        loki.read_push(body, "application/json")
    assert refusal.value.code is PAYLOAD_TOO_LARGE


def test_values_of_otlp_become_plain() -> None:
    nested = {"kvlistValue": {"values": [{"key": "a", "value": {"arrayValue": {"values": [{"intValue": "7"}]}}}]}}
    assert otlp.plain_value(nested) == {"a": [7]}
    assert [otlp.plain_value({"bytesValue": text}) for text in ("aGk=", "//8=")] == ["hi", "//8="]
    deep: dict[str, Any] = {"stringValue": "x"}
    for _ in range(100):
        deep = {"arrayValue": {"values": [deep]}}
    with pytest.raises(ValueError, match="deep"):
        otlp.plain_value(deep)
