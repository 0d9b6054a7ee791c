"""Cisco ASA messages."""

from datetime import UTC, datetime

import pytest

from tests.unit.parsers.parsing import event, view

DENIED = (
    '<164>Nov 22 2026 10:00:00 fw1 : %ASA-4-106023: Deny tcp src outside:203.0.113.9/51000 dst inside:192.0.2.10/3389 '
    'by access-group "outside_in" [0x0, 0x0]'
)  # fmt: skip
BUILT = (
    "<166>Nov 22 10:00:01 fw1 %ASA-6-302013: Built outbound TCP connection 77 for outside:198.51.100.7/23 "
    "(198.51.100.7/23) to inside:192.0.2.10/51500 (203.0.113.1/51500)"
)


def test_a_refused_packet_has_its_ends_and_its_list() -> None:
    found = event(DENIED)
    assert found.dataset == "cisco.asa"
    assert found.timestamp == datetime(2026, 11, 22, 10, tzinfo=UTC)
    assert (found.ecs["source.ip"], found.ecs["source.port"]) == ("203.0.113.9", 51000)
    assert (found.ecs["destination.ip"], found.ecs["destination.port"]) == ("192.0.2.10", 3389)
    assert found.ecs["rule.name"] == "outside_in"
    assert found.ecs["event.type"] == ["denied"]
    seen = view(found, "firewall")
    assert (seen.fields["action"], seen.fields["blocked"], seen.fields["dst_port"]) == ("deny", "true", 3389)


def test_an_outbound_connection_begins_inside() -> None:
    found = event(BUILT)
    assert (found.ecs["source.ip"], found.ecs["destination.port"]) == ("192.0.2.10", 23)
    assert found.ecs["network.direction"] == "outbound"
    assert found.ecs["network.transport"] == "tcp"
    assert found.ecs["host.name"] == "fw1"
    assert view(found, "firewall").fields["action"] == "accept"


def test_an_inbound_connection_begins_outside() -> None:
    found = event(BUILT.replace("outbound", "inbound"))
    assert found.ecs["source.ip"] == "198.51.100.7"


def test_an_access_list_tells_its_decision() -> None:
    found = event(
        "%ASA-6-106100: access-list inside_out denied udp inside/192.0.2.10(5353) -> outside/198.51.100.7(53) "
        "hit-cnt 1 first hit [0x1, 0x2]"
    )
    assert found.ecs["destination.port"] == 53
    assert view(found, "firewall").fields["blocked"] == "true"


@pytest.mark.parametrize(
    ("line", "user", "outcome"),
    [
        ('%ASA-6-605005: Login permitted from 192.0.2.3/4000 to inside:192.0.2.1/ssh for user "ops"', "ops", "success"),
        ("%ASA-6-113015: AAA user authentication Rejected : reason = Invalid password : local database : user = eve",
         "eve", "failure"),
        ("%ASA-5-111008: User 'ops' executed the 'no logging enable' command.", "ops", "success"),
    ],
)  # fmt: skip
def test_logins_and_commands_name_the_account(line: str, user: str, outcome: str) -> None:
    found = event(line)
    assert (found.ecs["user.name"], found.ecs["event.outcome"]) == (user, outcome)


def test_a_command_is_seen_by_rules_for_cisco_commands() -> None:
    found = event("%ASA-5-111008: User 'ops' executed the 'no logging enable' command.")
    assert found.ecs["process.command_line"] == "no logging enable"
    assert "aaa" in found.views[0].services


def test_a_message_of_another_number_keeps_its_text() -> None:
    found = event("%ASA-3-999999: something else")
    assert (found.message, found.ecs["event.code"]) == ("%ASA-3-999999: something else", "999999")


def test_ios_messages_are_not_the_asas() -> None:
    assert event("%SYS-5-CONFIG_I: Configured from console").dataset == "cisco.ios"
