"""Loki's push API: streams with labels, as JSON or as snappy-packed protobuf, and what each entry is to intake.

Owns the two wire forms and Loki's label syntax. The source of a stream is its job, service or app label.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import cramjam
import orjson
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from services.siem.bounds import check_json, check_protobuf
from services.siem.doors.streams import Delivery, moment, record_of, source_name
from shared.contracts.doors_loki import LOKI_MAX_BODY
from shared.errors import MALFORMED_REQUEST, PAYLOAD_TOO_LARGE, AuroraError

_SOURCE_LABELS = ("job", "service_name", "app", "application", "service", "container", "unit")
_HOST_LABELS = ("host", "hostname", "nodename", "node_name", "node", "instance")
_LABEL = re.compile(r'\s*([a-zA-Z_][\w.]*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*,?')
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_NANOSECONDS = 10**9
_STRING, _MESSAGE, _INT64, _INT32, _UINT64 = 9, 11, 3, 5, 4
_ONE, _MANY = 1, 3
#: logproto.PushRequest: message -> its fields as (name, number, type, how often, type's name).
_SCHEMA: dict[str, tuple[tuple[str, int, int, int, str], ...]] = {
    "PushRequest": (("streams", 1, _MESSAGE, _MANY, "Stream"),),
    "Stream": (
        ("labels", 1, _STRING, _ONE, ""),
        ("entries", 2, _MESSAGE, _MANY, "Entry"),
        ("hash", 3, _UINT64, _ONE, ""),
    ),
    "Entry": (
        ("timestamp", 1, _MESSAGE, _ONE, "Time"),
        ("line", 2, _STRING, _ONE, ""),
        ("metadata", 3, _MESSAGE, _MANY, "Label"),
    ),
    "Time": (("seconds", 1, _INT64, _ONE, ""), ("nanos", 2, _INT32, _ONE, "")),
    "Label": (("name", 1, _STRING, _ONE, ""), ("value", 2, _STRING, _ONE, "")),
}


def read_push(body: bytes, media_type: str) -> Delivery:
    """The entries of a push. Raises AURORA-4000 for a body that isn't one, 4130 for one that unpacks to too much."""
    read = _from_protobuf if media_type == "application/x-protobuf" else _from_json
    delivery = Delivery()
    try:
        for labels, when, line, metadata in read(body):
            delivery.add(_source(labels), record_of(line, when, _fields(labels, metadata)))
    except (AttributeError, LookupError, OverflowError, TypeError, ValueError) as error:
        raise AuroraError(MALFORMED_REQUEST, message="The body is not a push of Loki's") from error
    return delivery


Entry = tuple[Mapping[str, Any], str | None, str, Mapping[str, Any]]


def _from_json(body: bytes) -> Iterator[Entry]:
    check_json(body)
    for stream in orjson.loads(body)["streams"]:
        if "values" not in stream:
            yield from _old_form(stream)
            continue
        for when, line, *rest in stream["values"]:
            yield stream["stream"], moment(when), str(line), rest[0] if rest and isinstance(rest[0], dict) else {}


def _old_form(stream: Mapping[str, Any]) -> Iterator[Entry]:
    """What clients older than Loki 0.4 send."""
    labels = read_labels(stream["labels"])
    for entry in stream["entries"]:
        yield labels, str(entry["ts"]), str(entry["line"]), {}


def _from_protobuf(body: bytes) -> Iterator[Entry]:
    request, message = _PUSH_REQUEST(), _unpack(body)
    check_protobuf(message, _PUSH_REQUEST)
    try:
        request.ParseFromString(message)
    except DecodeError as error:
        raise ValueError("not a PushRequest") from error
    for stream in MessageToDict(request).get("streams", ()):
        labels = read_labels(stream.get("labels", ""))
        for entry in stream.get("entries", ()):
            time = entry.get("timestamp", {})
            when = moment(int(time.get("seconds", 0)) * _NANOSECONDS + int(time.get("nanos", 0)))
            metadata = {pair.get("name", ""): pair.get("value", "") for pair in entry.get("metadata", ())}
            yield labels, when, entry.get("line", ""), metadata


def _unpack(body: bytes) -> bytes:
    try:
        size = cramjam.snappy.decompress_raw_len(body)
        if size > LOKI_MAX_BODY:  # said by the first bytes, before anything is unpacked
            raise AuroraError(PAYLOAD_TOO_LARGE, {"limit_bytes": LOKI_MAX_BODY})
        return bytes(cramjam.snappy.decompress_raw(body))
    except cramjam.DecompressionError as error:
        raise ValueError("not packed with snappy") from error


def read_labels(text: str) -> dict[str, str]:
    """`{job="app", host="web1"}`. Raises ValueError for anything else."""
    inner = text.strip()
    if not (inner.startswith("{") and inner.endswith("}")):
        raise ValueError("labels must stand in braces")
    inner, place, labels = inner[1:-1].strip(), 0, {}
    while place < len(inner):
        match = _LABEL.match(inner, place)
        if match is None:
            raise ValueError('a label must be name="value"')
        labels[match[1]] = _ESCAPED.sub(lambda escaped: "\n" if escaped[1] == "n" else escaped[1], match[2])
        place = match.end()
    return labels


def _source(labels: Mapping[str, Any]) -> str:
    return source_name(*(labels.get(name) for name in _SOURCE_LABELS), default="loki")


def _fields(labels: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, Any]:
    kept = {str(name): value if isinstance(value, str) else str(value) for name, value in labels.items()}
    fields: dict[str, Any] = {"labels": kept}
    if metadata:
        fields["metadata"] = {str(name): str(value) for name, value in metadata.items()}
    host = next((kept[name] for name in _HOST_LABELS if kept.get(name)), None)
    if host is not None:
        fields["host"] = {"name": host}
    return fields


def _push_request() -> type[Message]:
    file = descriptor_pb2.FileDescriptorProto(name="aurora/loki_push.proto", package="logproto", syntax="proto3")
    for name, fields in _SCHEMA.items():
        message = file.message_type.add(name=name)
        for field_name, number, kind, label, type_name in fields:
            added = message.field.add(name=field_name, number=number)
            added.type, added.label = kind, label  # type: ignore[assignment]  # enum values by number
            if type_name:
                added.type_name = f".logproto.{type_name}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName("logproto.PushRequest"))


_PUSH_REQUEST = _push_request()
