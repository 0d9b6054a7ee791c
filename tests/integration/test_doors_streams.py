"""The doors of Loki and OpenTelemetry, and file upload, on a real siem."""

from __future__ import annotations

import asyncio
import gzip
import io
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import cramjam
import orjson
import pytest_asyncio
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse

from services.siem.doors import loki
from shared.clock import new_id
from shared.contracts.alerts import LIST_ALERTS, Alert, AlertQuery
from tests import stack
from tests.outside_rules import members
from tests.siem import Siem, siem
from tests.stack import Servers

PUSH, EXPORT, UPLOAD = "/loki/api/v1/push", "/v1/logs", "/api/v1/siem/logs/upload"
ATTACK = "Mar  1 12:00:0{} web01 sshd[812]: Failed password for root from 192.0.2.7 port 40022 ssh2"
RULE = """
title: Root password guessed at
id: {rule}
level: high
logsource:
  product: linux
  service: sshd
detection:
  selection:
    message|contains: 'Failed password for root'
  condition: selection
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def service(servers: Servers) -> AsyncIterator[Siem]:
    """One siem for the tests of this file; each keeps apart by its source."""
    with stack.data_folder() as folder:
        async with siem(servers, folder) as running:
            yield running


async def post(
    service: Siem, path: str, body: bytes, content_type: str, **headers: str
) -> tuple[int, bytes, aiohttp.ClientResponse]:
    sent = {"Content-Type": content_type, **service.headers(), **headers}
    async with service.http().post(service.url + path, data=io.BytesIO(body), headers=sent) as response:
        return response.status, await response.read(), response


def loki_protobuf(labels: str, *lines: str) -> bytes:
    """A push as promtail packs it."""
    request: Any = loki._PUSH_REQUEST()
    stream = request.streams.add(labels=labels)
    for line in lines:
        entry = stream.entries.add(line=line)
        entry.timestamp.seconds = int(time.time())
    return bytes(cramjam.snappy.compress_raw(request.SerializeToString()))


async def test_a_json_push_of_lines_is_parsed_as_lines_and_keeps_its_labels(service: Siem) -> None:
    job = f"job-{new_id()}"
    stream = {"job": job, "host": "edge07", "env": "prod"}
    values = [["1772366400123456789", ATTACK.format(1), {"pod": "a"}], ["1772366401000000000", "plain words"]]
    status, answer, _ = await post(
        service, PUSH, orjson.dumps({"streams": [{"stream": stream, "values": values}]}), "application/json"
    )
    assert (status, answer) == (204, b"")
    plain, ssh = await service.search(source=job)
    if ssh.message == "plain words":
        plain, ssh = ssh, plain
    assert (ssh.ecs["event.dataset"], ssh.ecs["source.ip"], ssh.ecs["host.name"]) == (
        "linux.auth", "192.0.2.7", "edge07",
    )  # fmt: skip
    assert (ssh.ecs["labels.env"], ssh.ecs["metadata.pod"]) == ("prod", "a")
    assert (plain.message, plain.timestamp.isoformat()) == ("plain words", "2026-03-01T12:00:01+00:00")


async def test_a_snappy_protobuf_push_is_taken(service: Siem) -> None:
    job = f"job-{new_id()}"
    body = loki_protobuf(f'{{app="x", job="{job}", quoted="a \\"b\\""}}', ATTACK.format(2), '{"EventID": 1}')
    status, answer, _ = await post(service, PUSH, body, "application/x-protobuf")
    assert status == 204, answer
    found = await service.search(source=job)
    assert len(found) == 2
    assert {event.ecs["labels.quoted"] for event in found} == {'a "b"'}


async def test_a_push_that_unpacks_to_too_much_is_refused_before_it_is_unpacked(service: Siem) -> None:
    bomb = bytes(cramjam.snappy.compress_raw(b"a" * (33 * 1024 * 1024)))
    status, answer, _ = await post(service, PUSH, bomb, "application/x-protobuf")
    assert (status, len(bomb) < 4 * 1024 * 1024) == (413, True), answer
    liar = b"\xff\xff\xff\xff\x0fabc"  # says that it holds 4 GiB
    assert (await post(service, PUSH, liar, "application/x-protobuf"))[0] == 413
    for body in (b"", b"nonsense"):
        status, answer, _ = await post(service, PUSH, body, "application/x-protobuf")
        assert status == 400, (body, answer)
    for body in (b"[]", b"{}", b'{"streams":[{"stream":1,"values":[["1","x"]]}]}', b'{"streams":[{"values":[[]]}]}'):
        assert (await post(service, PUSH, body, "application/json"))[0] == 400, body


async def test_an_entry_that_is_rejected_is_told_and_the_others_are_stored(service: Siem) -> None:
    job = f"job-{new_id()}"
    values = [["1772366400000000000", "x" * 300_000], ["1772366400000000000", "short"]]
    body = orjson.dumps({"streams": [{"stream": {"job": job}, "values": values}]})
    status, answer, _ = await post(
        service, PUSH, gzip.compress(body), "application/json", **{"Content-Encoding": "gzip"}
    )
    assert status == 400
    assert b"1 entry of 2 was rejected: larger than 256 KiB" in answer
    assert [event.message for event in await service.search(source=job)] == ["short"]


def export(service_name: str, *bodies: str) -> ExportLogsServiceRequest:
    """An export of one resource."""
    request = ExportLogsServiceRequest()
    resource = request.resource_logs.add()
    for key, value in (("service.name", service_name), ("host.name", "otel01")):
        attribute = resource.resource.attributes.add(key=key)
        attribute.value.string_value = value
    scope = resource.scope_logs.add()
    scope.scope.name = "app.login"
    for body in bodies:
        record = scope.log_records.add(time_unix_nano=1772366400123456789, severity_text="WARN", trace_id=b"\x01" * 16)
        record.body.string_value = body
        attribute = record.attributes.add(key="http.response.status_code")
        attribute.value.int_value = 404
    return request


async def test_an_otlp_export_in_protobuf_is_answered_in_protobuf(service: Siem) -> None:
    name = f"shop {new_id()}"
    body = export(name, ATTACK.format(3), "x" * 300_000).SerializeToString()
    status, answer, response = await post(
        service, EXPORT, gzip.compress(body), "application/x-protobuf", **{"Content-Encoding": "gzip"}
    )
    assert (status, response.content_type) == (200, "application/x-protobuf")
    said = ExportLogsServiceResponse.FromString(answer).partial_success
    assert (said.rejected_log_records, said.error_message) == (1, "larger than 256 KiB")
    [found] = await service.search(source=name)
    assert (found.ecs["host.name"], found.ecs["source.ip"]) == ("otel01", "192.0.2.7")
    assert (found.ecs["trace.id"], found.ecs["log.logger"]) == ("01" * 16, "app.login")
    assert found.ecs["http.response.status_code"] == 404


async def test_an_otlp_export_in_json_is_answered_in_json(service: Siem) -> None:
    name = f"shop-{new_id()}"
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": name}}]}
    pairs = [{"key": "user", "value": {"stringValue": "eve"}}, {"key": "tries", "value": {"intValue": "3"}}]
    records = [
        {"timeUnixNano": "1772366400000000000", "traceId": "5b8efff798038103d269b633813fc60c",
         "body": {"kvlistValue": {"values": pairs}}},
        {"observedTimeUnixNano": "1772366401000000000", "body": {"arrayValue": {"values": [{"boolValue": True}]}}},
    ]  # fmt: skip
    body = orjson.dumps({"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": records}]}]})
    assert (await post(service, EXPORT, body, "application/json"))[:2] == (200, b"{}")
    second, first = await service.search(source=name)
    assert (first.ecs["user.name"], first.ecs["tries"]) == ("eve", 3)
    assert first.ecs["trace.id"] == "5b8efff798038103d269b633813fc60c"
    assert (second.message, second.timestamp.isoformat()) == ("[true]", "2026-03-01T12:00:01+00:00")
    for broken in (b"[]", b"{", b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[3]}]}]}'):
        assert (await post(service, EXPORT, broken, "application/json"))[0] == 400, broken
    assert (await post(service, EXPORT, b"\xff\xff", "application/x-protobuf"))[0] == 400
    assert (await post(service, EXPORT, b"{}", "text/plain"))[0] == 415


async def test_an_attack_by_either_door_becomes_an_alert(service: Siem) -> None:
    rule = new_id()
    sent = {"Content-Type": "application/yaml", **service.headers()}
    async with service.http().post(
        f"{service.url}/api/v1/detections/rules", data=RULE.format(rule=rule), headers=sent
    ) as response:
        assert response.status == 201, await response.text()
    body = export("attacked", ATTACK.format(4)).SerializeToString()
    assert (await post(service, EXPORT, body, "application/x-protobuf"))[0] == 200
    push = loki_protobuf('{job="attacked"}', ATTACK.format(5))
    assert (await post(service, PUSH, push, "application/x-protobuf"))[0] == 204
    async with service.client() as client, asyncio.timeout(20):
        found: list[Alert] = []
        while sum(alert.count for alert in found) < 2:
            page = await client.call(LIST_ALERTS, query=AlertQuery(limit=200))
            found = [alert for alert in page.items if alert.rule_id == rule]


async def test_a_windows_event_log_is_taken_as_a_file(service: Siem) -> None:
    path, content = next(members("sigma-regression-dev.tar.xz", ".evtx"))
    source = f"evtx-{new_id()}"
    for name, body in ((path.name, content), (f"{path.name}.gz", gzip.compress(content))):
        url = f"{UPLOAD}?source={source}&filename={name}"
        status, answer, _ = await post(service, url, body, "application/octet-stream")
        assert status == 202, answer
    found = await service.search(source=source)
    assert len(found) >= 2
    assert all(event.ecs["event.code"] for event in found)


async def test_a_file_is_read_as_what_it_is(service: Siem) -> None:
    source = f"files-{new_id()}"
    files = [
        ("a.json", b'[{"message": "json"}]'),
        ("b.ndjson.gz", gzip.compress(b'{"message": "nd1"}\n{"message": "nd2"}\n')),
        ("c.log", b"text one\ntext two\n"),
        ("", b'{"message": "untold"}\n{"message": "untold too"}\n'),
    ]
    for name, body in files:
        url = f"{UPLOAD}?source={source}&filename={name}"
        status, answer, _ = await post(service, url, body, "application/octet-stream")
        assert status == 202, (name, answer)
    assert {event.message for event in await service.search(source=source)} == {
        "json", "nd1", "nd2", "text one", "text two", "untold", "untold too",
    }  # fmt: skip
    cut = gzip.compress(b"a line of a file\n" * 1000)[:-20]
    assert (await post(service, UPLOAD, cut, "application/gzip"))[0] == 400
    assert (await post(service, UPLOAD, b"\x1f\x8bnonsense", "application/gzip"))[0] == 400
    huge = gzip.compress(b"a\n" * (33 * 1024 * 1024))
    assert (await post(service, UPLOAD, huge, "application/gzip"))[0] == 413
