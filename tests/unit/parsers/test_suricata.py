"""Suricata's EVE records."""

from typing import Any

import orjson

from tests.unit.parsers.parsing import event, view

FLOW: dict[str, Any] = {
    "timestamp": "2026-11-22T12:30:00.100000+0100",
    "flow_id": 1234567890123456,
    "in_iface": "eth0",
    "src_ip": "192.0.2.5",
    "src_port": 51000,
    "dest_ip": "198.51.100.9",
    "dest_port": 80,
    "proto": "TCP",
}
ALERT = {**FLOW, "event_type": "alert", "alert": {
    "action": "allowed", "signature_id": 9000001, "rev": 2, "signature": "LOCAL beacon", "category": "Trojan",
    "severity": 1}}  # fmt: skip
DNS = {**FLOW, "event_type": "dns", "dns": {
    "type": "query", "rrname": "pool.minexmr.com", "rrtype": "A", "id": 7}}  # fmt: skip
HTTP = {**FLOW, "event_type": "http", "http": {
    "hostname": "files.example.org", "url": "/a/run.exe?x=1", "http_user_agent": "WebDAV", "http_method": "GET",
    "status": 200, "length": 12}}  # fmt: skip


def test_an_alert_names_its_rule_and_its_ends() -> None:
    found = event(ALERT)
    assert found.dataset == "suricata.eve"
    assert found.ecs["event.kind"] == "alert"
    assert (found.ecs["rule.name"], found.ecs["rule.id"]) == ("LOCAL beacon", "9000001")
    assert (found.ecs["source.ip"], found.ecs["destination.port"]) == ("192.0.2.5", 80)
    assert found.message == "alert: LOCAL beacon 192.0.2.5:51000 -> 198.51.100.9:80"


def test_the_time_is_normalised_with_its_zone() -> None:
    assert event(ALERT).timestamp.isoformat() == "2026-11-22T11:30:00.100000+00:00"


def test_a_dns_record_is_seen_by_rules_for_dns() -> None:
    seen = view(event(DNS), "dns")
    assert (seen.fields["query"], seen.fields["record_type"]) == ("pool.minexmr.com", "A")


def test_the_newer_form_of_dns_records_is_read_too() -> None:
    found = event({**DNS, "dns": {"version": 3, "queries": [{"rrname": "a.example.org", "rrtype": "TXT"}]}})
    assert view(found, "dns").fields["query"] == "a.example.org"


def test_an_http_record_is_seen_by_rules_for_proxies() -> None:
    seen = view(event(HTTP), "proxy")
    assert seen.fields["c-uri"] == "http://files.example.org/a/run.exe?x=1"
    assert seen.fields["c-uri-extension"] == "exe"
    assert (seen.fields["cs-method"], seen.fields["sc-status"]) == ("GET", 200)


def test_a_record_inside_a_syslog_line_is_the_same_event() -> None:
    found = event(f"<134>Nov 22 11:30:01 sensor1 suricata[77]: {orjson.dumps(ALERT).decode()}")
    assert found.dataset == "suricata.eve"
    assert found.ecs["host.name"] == "sensor1"
