"""OTLP/HTTP logs: what an exporter posts, as protobuf or JSON, and the answer in the encoding of the request.

A record keeps its resource's and its own attributes under their names (OpenTelemetry's and ECS agree on most); its
source is `service.name`. Owns the mapping; refuses to know what a body means (the parsers do).
"""

from __future__ import annotations

import base64
from binascii import Error as Base64Error
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsPartialSuccess,
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)

from services.siem.bounds import check_json, check_protobuf
from services.siem.doors.streams import Delivery, Outcome, moment, record_of, source_name
from shared.errors import MALFORMED_REQUEST, AuroraError

PROTOBUF = "application/x-protobuf"
#: Levels of a body or an attribute that become fields; JSON itself can't be nested deeper than orjson reads.
_MAX_DEPTH = 64
_MAX_PROBLEMS = 10
_TRACE_IDS = {"traceId": "trace.id", "spanId": "span.id"}


def read_export(body: bytes, media_type: str) -> Delivery:
    """The records of an export. Raises AURORA-4000 for a body that isn't one, 4130 for too many records."""
    delivery = Delivery()
    try:
        for source, item in _records(_request(body, media_type), packed=media_type == PROTOBUF):
            delivery.add(source, item)
    except (AttributeError, LookupError, OverflowError, TypeError, ValueError, DecodeError, RecursionError) as error:
        raise AuroraError(MALFORMED_REQUEST, message="The body is not an export of OTLP logs") from error
    return delivery


def answer(outcome: Outcome, media_type: str) -> bytes:
    """An ExportLogsServiceResponse; it has a `partial_success` when records were rejected."""
    told = "; ".join(outcome.problems[:_MAX_PROBLEMS])
    if media_type != PROTOBUF:
        partial = {"rejectedLogRecords": str(outcome.rejected), "errorMessage": told}
        return orjson.dumps({"partialSuccess": partial} if outcome.rejected else {})
    if not outcome.rejected:
        return ExportLogsServiceResponse().SerializeToString()
    said = ExportLogsPartialSuccess(rejected_log_records=outcome.rejected, error_message=told)
    return ExportLogsServiceResponse(partial_success=said).SerializeToString()


def _request(body: bytes, media_type: str) -> Mapping[str, Any]:
    """The request as OTLP's JSON form; in protobuf's, ids are base64 instead of hexadecimal."""
    if media_type == PROTOBUF:
        check_protobuf(body, ExportLogsServiceRequest)
        request = ExportLogsServiceRequest()
        request.ParseFromString(body)
        document: Any = MessageToDict(request)
    else:
        check_json(body)
        document = orjson.loads(body)
    if not isinstance(document, dict):
        raise TypeError("not an object")
    return document


def _records(request: Mapping[str, Any], *, packed: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    for of_resource in request.get("resourceLogs") or ():
        resource = attributes(of_resource.get("resource", {}).get("attributes") or ())
        source = source_name(resource.get("service.name"), resource.get("host.name"), default="otlp")
        for of_scope in of_resource.get("scopeLogs") or ():
            scope = of_scope.get("scope", {}).get("name")
            fields = {**resource, "log.logger": scope} if scope else resource
            for record in of_scope.get("logRecords") or ():
                yield source, _item(record, fields, packed=packed)


def _item(record: Mapping[str, Any], inherited: Mapping[str, Any], *, packed: bool) -> dict[str, Any]:
    fields = {**inherited, **attributes(record.get("attributes") or ())}
    if level := record.get("severityText"):
        fields["log.level"] = str(level)
    if event := record.get("eventName"):
        fields.setdefault("event.action", str(event))
    for theirs, ours in _TRACE_IDS.items():
        if value := record.get(theirs):
            fields[ours] = base64.b64decode(value).hex() if packed else str(value)
    when = moment(record.get("timeUnixNano")) or moment(record.get("observedTimeUnixNano"))
    body = record.get("body")
    return record_of(None if body is None else plain_value(body), when, fields)


def attributes(pairs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """OTLP's list of keys and values as a dict. Raises TypeError or ValueError for anything else."""
    return {str(pair["key"]): plain_value(pair.get("value") or {}) for pair in pairs if "key" in pair}


def plain_value(value: Mapping[str, Any], depth: int = 0) -> Any:
    """An AnyValue as plain data; bytes become text where they are text, else base64."""
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deeply")
    if "arrayValue" in value:
        return [plain_value(item, depth + 1) for item in value["arrayValue"].get("values") or ()]
    if "kvlistValue" in value:
        pairs = value["kvlistValue"].get("values") or ()
        return {str(pair["key"]): plain_value(pair.get("value") or {}, depth + 1) for pair in pairs}
    if "intValue" in value:
        return int(value["intValue"])
    if "bytesValue" in value:
        return _text_of(value["bytesValue"])
    return next((value[name] for name in ("stringValue", "boolValue", "doubleValue") if name in value), None)


def _text_of(packed: str) -> str:
    try:
        return base64.b64decode(packed, validate=True).decode()
    except (Base64Error, UnicodeDecodeError):
        return packed
