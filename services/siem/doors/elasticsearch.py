"""The wire forms of Elasticsearch: bulk bodies read into documents, what became of them, and what it says of itself.

Owns actions, items and error types. An index is a source. Documents are only ever added: an id that a client chose is
answered and names nothing here. Whoever stores is streams.py's Intake; the routes are routes.py's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

from services.siem.doors.streams import MAX_RECORDS, MAX_SOURCES, Intake, source_name
from shared.contracts.doors_elasticsearch import BulkAnswer
from shared.errors import MALFORMED_REQUEST, PAYLOAD_TOO_LARGE, RATE_LIMITED, AuroraError
from shared.http import json_response

#: On every answer: the language clients speak to nothing without it.
PRODUCT = {"X-Elastic-Product": "Elasticsearch"}
_ACTIONS = ("index", "create", "update", "delete")
_DEFAULT_SOURCE = "elasticsearch"
#: What is longer is refused by intake, whatever is in it.
_WORTH_READING = 1024 * 1024
_VERSION = "9.1.0"
_SHARDS = {"total": 1, "successful": 1, "failed": 0}
_BASIC = {"uid": "aurora", "type": "basic", "mode": "basic", "status": "active"}

INFO = {
    "name": "aurora",
    "cluster_name": "aurora",
    "cluster_uuid": "aurora",
    "version": {
        "number": _VERSION,
        "build_flavor": "default",
        "build_type": "docker",
        "build_hash": "aurora",
        "build_date": "2025-07-24T00:00:00Z",
        "build_snapshot": False,
        "lucene_version": "10.2.2",
        "minimum_wire_compatibility_version": "8.19.0",
        "minimum_index_compatibility_version": "8.0.0",
    },
    "tagline": "You Know, for Search",
}
LICENSE = {"license": {**_BASIC, "issued_to": "aurora", "issuer": "aurora"}}
XPACK = {
    "build": {"hash": "aurora", "date": "2025-07-24T00:00:00Z"},
    "license": _BASIC,
    "features": {"ilm": {"available": False, "enabled": False}, "security": {"available": True, "enabled": True}},
    "tagline": "You know, for X",
}
HEALTH = {
    "cluster_name": "aurora",
    "status": "green",
    "timed_out": False,
    "number_of_nodes": 1,
    "number_of_data_nodes": 1,
    "active_primary_shards": 1,
    "active_shards": 1,
    "relocating_shards": 0,
    "initializing_shards": 0,
    "unassigned_shards": 0,
    "active_shards_percent_as_number": 100.0,
}


def cat_health() -> str:
    """`GET /_cat/health`: the columns that Elasticsearch has there by default."""
    now = time.time()
    clock = time.strftime("%H:%M:%S", time.gmtime(now))
    return f"{int(now)} {clock} aurora green 1 1 1 1 0 0 0 0 - 100.0%\n"


def answer(value: Any, status: int = 200) -> web.Response:
    """A JSON answer that clients take for Elasticsearch's."""
    response = json_response(value, status)
    response.headers.update(PRODUCT)
    return response


@dataclass(slots=True)
class Action:
    """One action of a bulk body, and what became of it: a log id, or an error with its status."""

    kind: str
    index: str
    id: str | None
    document: bytes = b""
    log_id: str | None = None
    status: int = 201
    error_type: str = ""
    reason: str = ""

    def refuse(self, status: int, error_type: str, reason: str) -> None:
        """Keeps why this one isn't stored."""
        self.status, self.error_type, self.reason = status, error_type, reason

    def told(self) -> dict[str, Any]:
        """The action's entry in the answer."""
        entry: dict[str, Any] = {"_index": self.index, "_id": self.id or self.log_id, "status": self.status}
        if self.error_type:
            entry["error"] = {"type": self.error_type, "reason": self.reason}
            return entry
        done = {"_version": 1, "result": "created", "_shards": _SHARDS, "_seq_no": 0, "_primary_term": 1}
        return {**entry, **done}


@dataclass(slots=True)
class Bulk:
    """The actions of a request, in the order sent."""

    actions: list[Action] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    async def store(self, intake: Intake) -> BulkAnswer:
        """Stores every document that can be. Raises the refusal of intake when it refused all of them."""
        by_source: dict[str, list[Action]] = {}
        for action in self.actions:
            if not action.error_type:
                by_source.setdefault(source_name(action.index, default=_DEFAULT_SOURCE), []).append(action)
        if len(by_source) > MAX_SOURCES:
            raise AuroraError(PAYLOAD_TOO_LARGE, {"max_sources": MAX_SOURCES})
        refusals = await asyncio.gather(*(_store(intake, *group) for group in by_source.items()))
        if refusals and None not in refusals:
            raise next(refusal for refusal in refusals if refusal is not None)
        failed = any(action.error_type for action in self.actions)
        took = int((time.monotonic() - self.started) * 1000)
        return BulkAnswer(took, failed, [{action.kind: action.told()} for action in self.actions])


async def _store(intake: Intake, source: str, actions: list[Action]) -> AuroraError | None:
    """Stores the documents of one source, and writes what became of each into its action."""
    try:
        stored = await intake.store_items([action.document for action in actions], source=source)
    except AuroraError as error:
        full = error.code is RATE_LIMITED
        for action in actions:
            kind = "es_rejected_execution_exception" if full else "unavailable_shards_exception"
            action.refuse(error.code.status, kind, error.message)
        return error
    for number, (action, log_id) in enumerate(zip(actions, stored.ids, strict=True)):
        action.log_id = log_id
        if log_id is None:
            action.refuse(400, "document_parsing_exception", stored.problems.get(number, "could not be read"))
    return None


def read_bulk(body: bytes, index: str | None) -> Bulk:
    """The actions of a bulk body; `index` is the one of the path. Raises AURORA-4000 for a line that is no action,
    4130 for an action too many."""
    if body.count(b"\n") > 4 * MAX_RECORDS:
        raise AuroraError(PAYLOAD_TOO_LARGE, {"max_actions": MAX_RECORDS})
    bulk = Bulk()
    lines = _lines(body)
    for number, line in lines:
        action = _action(line, number, index)
        bulk.actions.append(action)
        if len(bulk.actions) > MAX_RECORDS:
            raise AuroraError(PAYLOAD_TOO_LARGE, {"max_actions": MAX_RECORDS})
        if action.kind == "delete":
            action.refuse(400, "illegal_argument_exception", "logs are only ever added")
            continue
        _, action.document = next(lines, (0, b""))
        _check(action)
    return bulk


def one_document(body: bytes, index: str, document_id: str | None) -> Bulk:
    """A single document as a bulk of one."""
    action = Action("create", index, document_id, body)
    _check(action)
    return Bulk([action])


def _lines(body: bytes) -> Iterator[tuple[int, bytes]]:
    start = number = 0
    while start < len(body):
        end = body.find(b"\n", start)
        end = len(body) if end < 0 else end
        number += 1
        line = body[start:end].strip()
        start = end + 1
        if line:
            yield number, line


def _action(line: bytes, number: int, index: str | None) -> Action:
    try:
        parsed = orjson.loads(line)
    except orjson.JSONDecodeError:
        parsed = None
    match parsed:
        case {**entries} if len(entries) == 1:
            kind, about = next(iter(entries.items()))
            if kind in _ACTIONS and isinstance(about, dict):
                return Action(kind, _text(about.get("_index")) or index or "", _text(about.get("_id")))
    raise AuroraError(MALFORMED_REQUEST, message=f"Malformed action/metadata line [{number}]")


def _text(value: object) -> str | None:
    return value[:512] if isinstance(value, str) and value else None


def _check(action: Action) -> None:
    """Refuses what can't become a log: only an object can, and only to be added."""
    if action.kind == "update":
        action.refuse(400, "illegal_argument_exception", "logs are only ever added")
    elif not action.index:
        action.refuse(400, "action_request_validation_exception", "index is missing")
    elif len(action.document) <= _WORTH_READING:
        try:
            document = orjson.loads(action.document)
        except orjson.JSONDecodeError as error:
            action.refuse(400, "document_parsing_exception", f"not valid JSON at column {error.colno}")
            return
        if not isinstance(document, dict):
            action.refuse(400, "document_parsing_exception", "must be a JSON object")
