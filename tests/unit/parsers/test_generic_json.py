"""JSON of no known format, and ECS documents."""

from datetime import UTC, datetime
from typing import Any

import pytest

from services.siem.logs.parsers.interface import MAX_FIELDS, MAX_NAME, MAX_VALUE
from tests.unit.parsers.parsing import RECEIVED, event, view


def test_an_object_is_flattened_to_dotted_names() -> None:
    found = event({"a": {"b": 1, "c": {"d": "x", "n": None}}, "list": [1, 2], "objects": [{"k": 1}, {"k": 2}, [3]]})
    assert found.dataset == "generic.json"
    expected = {"a.b": 1, "a.c.d": "x", "list": [1, 2], "objects.k": [1, 2], "objects": "[3]"}
    assert {name: found.ecs.get(name) for name in expected} == expected
    assert found.views[0].fields == expected
    assert "a.c.n" not in found.ecs


@pytest.mark.parametrize("name", ["@timestamp", "timestamp", "time", "ts", "eventTime"])
def test_the_time_is_taken_from_where_loggers_put_it(name: str) -> None:
    assert event({name: "2025-11-01T00:00:00Z", "x": 1}).timestamp == datetime(2025, 11, 1, tzinfo=UTC)
    assert event({name: 1761955200000}).timestamp == datetime(2025, 11, 1, tzinfo=UTC)


@pytest.mark.parametrize("value", ["soon", -5, True, None, {"a": 1}, [1]])
def test_without_a_readable_time_it_is_the_receipt(value: Any) -> None:
    assert event({"time": value, "x": 1}).timestamp == RECEIVED


def test_common_names_also_get_their_ecs_name() -> None:
    found = event({"host": "web01", "src_ip": "192.0.2.7", "src_port": "99", "level": "warn", "msg": "over\nflow"})
    expected = {"host.name": "web01", "source.ip": "192.0.2.7", "source.port": 99, "log.level": "warn"}
    assert {name: found.ecs.get(name) for name in expected} == expected
    assert found.ecs["src_ip"] == "192.0.2.7"
    assert "host" not in found.ecs
    assert found.message == "over flow"


def test_an_alias_never_replaces_an_ecs_field_nor_makes_a_wrong_one() -> None:
    found = event({"src_ip": "not an address", "pid": "many", "hostname": "a", "host": {"name": "b"}})
    assert "source.ip" not in found.ecs
    assert "process.pid" not in found.ecs
    assert found.ecs["host.name"] == "b"


def test_an_ecs_document_passes_and_names_its_dataset() -> None:
    found = event({"@timestamp": "2026-11-01T00:00:00Z", "event": {"dataset": "zeek.dns"}, "dns": {"id": "5"}})
    assert found.dataset == "zeek.dns"
    assert found.ecs["dns.id"] == "5"
    assert "@timestamp" not in found.ecs
    assert (found.views[0].product, found.views[0].services) == ("zeek", ("dns", "zeek.dns"))


PROCESS = {
    "pid": 5,
    "executable": "/bin/sh",
    "command_line": "sh -c id",
    "parent": {"pid": 1, "executable": "/sbin/init"},
}


def test_an_ecs_process_start_has_sigmas_view() -> None:
    found = event({"event": {"category": ["process"], "type": ["start"]}, "process": PROCESS, "user": {"name": "bob"}})
    sigma = view(found, "process_creation")
    assert sigma.product == "linux"
    assert sigma.fields == {
        "Image": "/bin/sh",
        "ProcessId": 5,
        "User": "bob",
        "CommandLine": "sh -c id",
        "ParentImage": "/sbin/init",
        "ParentProcessId": 1,
    }


def test_the_platform_of_an_ecs_document_is_sigmas_product() -> None:
    found = event(
        {"event": {"category": "process", "type": "start"}, "process": PROCESS, "host": {"os": {"type": "macos"}}}
    )
    assert view(found, "process_creation").product == "macos"


def test_an_ecs_process_end_has_no_view_of_a_start() -> None:
    found = event({"event": {"category": ["process"], "type": ["end"]}, "process": PROCESS})
    assert [each.category for each in found.views] == [None]


def test_an_ecs_connection_and_query_have_sigmas_views() -> None:
    connection = event(
        {
            "event": {"category": ["network"], "type": ["connection", "start"]},
            "destination": {"ip": "192.0.2.7", "port": 443},
            "network": {"direction": "ingress"},
        }
    )
    assert view(connection, "network_connection").fields["Initiated"] == "false"
    query = event({"event": {"category": ["network"], "type": ["protocol"]}, "dns": {"question": {"name": "x.test"}}})
    assert view(query, "dns_query").fields["QueryName"] == "x.test"


def test_a_shipped_line_becomes_the_event_it_is() -> None:
    line = "Nov  1 08:19:44 web01 sshd[1]: Accepted password for bob from 192.0.2.7 port 5 ssh2"
    found = event({"message": line, "host": {"name": "shipper"}, "agent": {"type": "filebeat"}})
    assert found.dataset == "linux.auth"
    assert found.ecs["source.ip"] == "192.0.2.7"
    assert found.ecs["host.name"] == "shipper"
    assert found.ecs["agent.type"] == "filebeat"
    assert found.raw.startswith("{")


def test_nesting_fields_names_and_values_are_bounded() -> None:
    deep: dict[str, Any] = {"end": 1}
    for _ in range(60):
        deep = {"d": deep}
    found = event({"deep": deep, "long": "x" * (MAX_VALUE + 5), "n" * 2000: {"under": {"it": 1}}})
    assert max(name.count(".") for name in found.ecs) < 20
    assert len(found.ecs["long"]) == MAX_VALUE
    assert len(found.raw) > MAX_VALUE
    assert max(map(len, found.ecs)) == MAX_NAME
    many = event({f"f{n}": n for n in range(MAX_FIELDS + 500)})
    assert len(many.ecs) <= MAX_FIELDS
    assert len(many.views[0].fields) <= MAX_FIELDS


def test_what_json_or_a_store_cannot_hold_becomes_text() -> None:
    found = event({"nan": float("nan"), "nul": "a\0b", "half": "\udc80", "big": 10**30})
    assert found.ecs["nan"] == "nan"
    assert found.ecs["nul"] == "a\N{SYMBOL FOR NULL}b"
    assert found.ecs["half"] == "\\udc80"
    assert found.ecs["big"] == str(10**30)
