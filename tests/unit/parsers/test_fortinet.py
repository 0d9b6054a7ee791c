"""FortiGate logs."""

from datetime import UTC, datetime

from tests.unit.parsers.parsing import event, view

TRAFFIC = (
    'date=2026-11-22 time=11:00:00 devname="edge" devid="FGT60FTK00000001" eventtime=1795341600123456000 tz="+0100" '
    'logid="0000000013" type="traffic" subtype="forward" level="notice" vd="root" srcip=192.0.2.20 srcport=50100 '
    'srcintf="lan" dstip=198.51.100.30 dstport=21 dstintf="wan1" proto=6 action="accept" policyid=5 service="FTP" '
    "sentbyte=1200 rcvdbyte=3400"
)
CHANGE = (
    'date=2026-11-22 time=11:00:00 devname="edge" devid="FGT60FTK00000001" tz="+0100" logid="0100044546" type="event" '
    'subtype="system" level="information" logdesc="Attribute configured" user="eve" ui="GUI(192.0.2.5)" action="Add" '
    'cfgpath="system.admin" cfgobj="back\\"door" msg="Add system.admin backdoor"'
)


def test_traffic_is_a_firewalls_decision() -> None:
    found = event(TRAFFIC)
    assert found.dataset == "fortinet.traffic"
    assert found.timestamp == datetime(2026, 11, 22, 10, 0, 0, 123456, tzinfo=UTC)
    assert (found.ecs["source.ip"], found.ecs["destination.port"]) == ("192.0.2.20", 21)
    assert found.ecs["network.transport"] == "tcp"
    assert found.ecs["fortinet.policyid"] == "5"
    seen = view(found, "firewall")
    assert (seen.product, seen.services) == ("fortigate", ("traffic", "forward"))
    assert (seen.fields["dst_port"], seen.fields["action"], seen.fields["blocked"]) == (21, "accept", "false")


def test_refused_traffic_is_marked() -> None:
    found = event(TRAFFIC.replace('action="accept"', 'action="deny"'))
    assert found.ecs["event.type"] == ["connection", "denied"]


def test_a_change_is_seen_with_its_own_names() -> None:
    found = event(CHANGE)
    (seen,) = found.views
    assert (seen.product, seen.category, seen.services) == ("fortigate", None, ("event", "system"))
    assert (seen.fields["action"], seen.fields["cfgpath"]) == ("Add", "system.admin")
    assert seen.fields["cfgobj"] == 'back"door'
    assert found.ecs["event.category"] == ["configuration"]


def test_the_local_time_counts_with_its_zone() -> None:
    assert event(CHANGE).timestamp == datetime(2026, 11, 22, 10, tzinfo=UTC)
    assert event(CHANGE.replace(' tz="+0100"', "")).timestamp == datetime(2026, 11, 22, 11, tzinfo=UTC)


def test_a_header_before_it_does_not_matter() -> None:
    for header in ("<189>", "<189>Nov 22 10:00:01 edge "):
        assert event(header + TRAFFIC).dataset == "fortinet.traffic"


def test_pairs_of_other_programs_are_not_fortigates() -> None:
    assert event("date=2026-11-22 time=11:00:00 job=backup").dataset == "generic.text"
