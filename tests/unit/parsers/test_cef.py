"""CEF and LEEF, alone and inside syslog lines."""

from datetime import UTC, datetime

import pytest

from tests.unit.parsers.parsing import event, view

CEF = (
    "CEF:0|Acme|Guard\\|One|2.1|4711|Malware found|8|src=192.0.2.8 spt=4444 dst=198.51.100.2 dpt=443 suser=eve "
    "msg=a \\= b found in C:\\\\tmp cs1Label=Threat Name cs1=Evil.Bot rt=1795341600000 act=blocked"
)
LEEF1 = "LEEF:1.0|Acme|Proxy|5|block|src=192.0.2.8\tdst=198.51.100.2\tdstPort=8080\tusrName=eve\tsev=7\tcat=web"
LEEF2 = "LEEF:2.0|Acme|Proxy|5|block|^|src=192.0.2.8^dst=198.51.100.2^devTime=Nov 22 2026 10:00:00.000 GMT"
HEADERS = (
    "<134>Nov 22 10:00:01 relay1 ",
    "<134>1 2026-11-22T10:00:01Z relay1 guard - - - ",
    "2026-11-22T10:00:01+00:00 relay1 ",
)


def test_a_cef_message_has_its_header_and_its_keys() -> None:
    found = event(CEF)
    assert found.dataset == "cef"
    assert found.timestamp == datetime(2026, 11, 22, 10, tzinfo=UTC)
    assert (found.ecs["observer.product"], found.ecs["event.code"], found.ecs["event.severity"]) == (
        "Guard|One",
        "4711",
        8,
    )
    assert (found.ecs["source.ip"], found.ecs["destination.port"], found.ecs["user.name"]) == (
        "192.0.2.8",
        443,
        "eve",
    )
    assert found.ecs["cef.Threat Name"] == "Evil.Bot"
    assert found.ecs["cef.msg"] == "a = b found in C:\\tmp"


def test_sigma_sees_vendor_and_product() -> None:
    (seen,) = event(CEF).views
    assert (seen.product, seen.services) == ("acme", ("guard_one", "cef"))
    assert (seen.fields["Name"], seen.fields["act"]) == ("Malware found", "blocked")


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("line", [CEF, LEEF1, LEEF2])
def test_a_syslog_header_adds_the_host_alone(header: str, line: str) -> None:
    alone, found = event(line), event(header + line)
    assert found.dataset == alone.dataset
    assert found.ecs["host.name"] == "relay1"
    assert found.views[0].fields == alone.views[0].fields
    assert found.raw == header + line


def test_a_priority_alone_may_stand_before() -> None:
    assert event("<134>" + CEF).dataset == "cef"


def test_a_firewalls_message_is_of_that_category() -> None:
    seen = view(
        event("CEF:0|Palo Alto Networks|PAN-OS|11|end|TRAFFIC|1|src=192.0.2.8 dst=198.51.100.2 dpt=21 act=allow"),
        "firewall",
    )
    assert (seen.fields["dst_port"], seen.fields["action"]) == (21, "accept")


@pytest.mark.parametrize("line", [LEEF1, LEEF2, LEEF2.replace("|^|", "|x5E|"), LEEF2.replace("|^|", "|0x5e|")])
def test_leef_is_read_with_any_separator(line: str) -> None:
    found = event(line)
    assert found.dataset == "leef"
    assert (found.ecs["source.ip"], found.ecs["destination.ip"]) == ("192.0.2.8", "198.51.100.2")
    assert found.ecs["event.code"] == "block"


def test_leef_without_a_separator_is_parted_by_tabs() -> None:
    found = event("LEEF:2.0|Acme|Proxy|5|block|src=192.0.2.8\tusrName=eve")
    assert (found.ecs["source.ip"], found.ecs["user.name"]) == ("192.0.2.8", "eve")


def test_a_written_time_counts_with_its_zone() -> None:
    assert event(LEEF2).timestamp == datetime(2026, 11, 22, 10, tzinfo=UTC)
    late = LEEF2.replace("GMT", "+02:00")
    assert event(late).timestamp == datetime(2026, 11, 22, 8, tzinfo=UTC)


@pytest.mark.parametrize("line", ["CEF:0|Acme|Guard|1", "LEEF:1.0|Acme", "talk about CEF:0| and LEEF:1.0|"])
def test_an_incomplete_message_is_text(line: str) -> None:
    assert event(line).dataset == "generic.text"
