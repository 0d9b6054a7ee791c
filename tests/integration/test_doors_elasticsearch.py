"""Elasticsearch's door on a real siem: bulk bodies, single documents, and what clients ask before they send."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
import pytest_asyncio

from tests.siem import Siem, siem
from tests.stack import Servers

SSHD = "Mar  3 06:00:01 web1 sshd[812]: Failed password for root from 203.0.113.9 port 41022 ssh2"
READ = "sshd: Failed password for root from 203.0.113.9 port 41022 ssh2"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running(servers: Servers, tmp_path_factory: Any) -> AsyncIterator[Siem]:
    async with siem(servers, tmp_path_factory.mktemp("siem")) as started:
        yield started


async def _ask(running: Siem, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any]:
    sent = {"Content-Type": "application/x-ndjson", **running.headers(), **headers}
    async with running.http().request(method, running.url + path, data=body, headers=sent) as response:
        assert response.headers["X-Elastic-Product"] == "Elasticsearch"
        data = await response.read()
        return response.status, orjson.loads(data) if data and response.content_type.endswith("json") else data


def _bulk(*lines: Any) -> bytes:
    return b"".join((line if isinstance(line, bytes) else orjson.dumps(line)) + b"\n" for line in lines)


async def test_every_action_of_a_bulk_has_its_own_status(running: Siem) -> None:
    body = _bulk(
        {"create": {"_index": "linux"}},
        {"message": SSHD, "@timestamp": "2026-03-03T06:00:01Z"},
        {"index": {"_index": "linux", "_id": "mine"}},
        {"message": "second"},
        {"create": {"_index": "linux"}},
        b"{broken",
        {"delete": {"_index": "linux", "_id": "mine"}},
        {"update": {"_index": "linux", "_id": "mine"}},
        {"doc": {}},
        {"create": {}},
        {"message": "no index"},
        {"create": {"_index": "linux"}},
        [1],
    )
    status, answer = await _ask(running, "POST", "/_bulk", body)
    assert status == 200
    assert answer["errors"] is True
    kinds = [next(iter(item)) for item in answer["items"]]
    assert kinds == ["create", "index", "create", "delete", "update", "create", "create"]
    entries = [next(iter(item.values())) for item in answer["items"]]
    assert [entry["status"] for entry in entries] == [201, 201, 400, 400, 400, 400, 400]
    assert entries[1]["_id"] == "mine"
    assert entries[2]["error"]["type"] == "document_parsing_exception"
    found = await running.search(source="linux")
    assert {event.message for event in found} == {READ, "second"}
    assert entries[0]["_id"] in {event.id for event in found}


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_the_index_of_the_path_is_the_source(running: Siem, method: str) -> None:
    body = _bulk({"create": {}}, {"message": f"by {method}"})
    status, answer = await _ask(running, method, "/filebeat-9.1.0/_bulk", body)
    assert (status, answer["errors"]) == (200, False)
    assert answer["items"][0]["create"]["_index"] == "filebeat-9.1.0"
    assert f"by {method}" in {event.message for event in await running.search(source="filebeat-9.1.0")}


async def test_a_packed_bulk_without_a_last_newline_is_read(running: Siem) -> None:
    body = gzip.compress(_bulk({"create": {"_index": "packed"}}, {"message": "packed"}).rstrip())
    status, answer = await _ask(running, "PUT", "/_bulk", body, **{"Content-Encoding": "gzip"})
    assert (status, answer["errors"]) == (200, False)


async def test_a_large_bulk_keeps_its_order(running: Siem) -> None:
    lines = [line for n in range(3000) for line in ({"create": {"_index": f"large-{n % 3}"}}, {"message": f"n {n}"})]
    status, answer = await _ask(running, "POST", "/_bulk", _bulk(*lines))
    assert (status, answer["errors"], len(answer["items"])) == (200, False, 3000)
    assert [item["create"]["_index"] for item in answer["items"][:4]] == ["large-0", "large-1", "large-2", "large-0"]
    (event,) = await running.search('message:"n 2999"', source="large-2")
    assert event.id == answer["items"][2999]["create"]["_id"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/single/_doc"),
        ("PUT", "/single/_doc/a"),
        ("POST", "/single/_create/a"),
        ("PUT", "/single/_create/a"),
    ],
)
async def test_a_single_document_is_stored(running: Siem, method: str, path: str) -> None:
    document = orjson.dumps({"message": f"{method} {path}"})
    status, answer = await _ask(running, method, path, document, **{"Content-Type": "application/json"})
    assert (status, answer["result"], answer["_index"]) == (201, "created", "single")
    assert f"{method} {path}" in {event.message for event in await running.search(source="single")}


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'"text"'])
async def test_what_is_no_document_is_refused_in_elasticsearchs_form(running: Siem, body: bytes) -> None:
    status, answer = await _ask(running, "POST", "/single/_doc", body)
    assert (status, answer["status"], answer["error"]["type"]) == (400, 400, "illegal_argument_exception")


@pytest.mark.parametrize("line", [b"{", b"[]", b'{"create":{},"index":{}}', b'{"drop":{}}', b'{"create":1}'])
async def test_a_line_that_is_no_action_refuses_the_bulk(running: Siem, line: bytes) -> None:
    status, answer = await _ask(running, "POST", "/_bulk", line + b"\n{}\n")
    assert (status, answer["error"]["reason"]) == (400, "Malformed action/metadata line [1]")


async def test_clients_are_told_what_they_ask_before_they_send(running: Siem) -> None:
    status, info = await _ask(running, "GET", "/")
    assert (status, info["tagline"]) == (200, "You Know, for Search")
    assert (await _ask(running, "HEAD", "/"))[0] == 200
    assert (await _ask(running, "GET", "/_license"))[1]["license"]["status"] == "active"
    assert (await _ask(running, "GET", "/_xpack"))[1]["features"]["ilm"] == {"available": False, "enabled": False}
    assert (await _ask(running, "GET", "/_cluster/health"))[1]["status"] == "green"
    assert b" aurora green " in (await _ask(running, "GET", "/_cat/health"))[1]


@pytest.mark.parametrize(
    "path",
    ["/_index_template/x", "/_template/x", "/_component_template/x", "/_ilm/policy/x", "/_ingest/pipeline/x"],
)
async def test_settings_are_acknowledged_and_not_kept(running: Siem, path: str) -> None:
    for _ in range(2):
        status, answer = await _ask(running, "GET", path)
        assert (status, answer["error"]["type"]) == (404, "resource_not_found_exception")
        assert await _ask(running, "PUT", path, b"{}") == (200, {"acknowledged": True})
